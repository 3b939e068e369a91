//! Which announced transactions are wanted, who announced them, and who was asked. Each is asked of
//! one announcer at a time; when that one does not deliver, of the next. Data only.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Txid, Wtxid};

use crate::io::{PeerId, Time};

/// Announcements that wait per peer (Bitcoin Core's `MAX_PEER_TX_ANNOUNCEMENTS`).
const ANNOUNCED_PER_PEER_MAX: usize = 5_000;
/// Transactions asked of one peer at once (`MAX_PEER_TX_REQUEST_IN_FLIGHT`).
const ASKED_PER_PEER_MAX: usize = 100;
/// Announcers remembered per transaction besides the one that is asked.
const OTHERS_MAX: usize = 7;

/// A transaction by the name under which it was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TxName {
    /// Without witnesses.
    Txid(Txid),
    /// With them.
    Wtxid(Wtxid),
}

/// One wanted transaction.
#[derive(Clone, Debug)]
struct Want {
    /// Who is asked, or will be as soon as it has room.
    holder: PeerId,
    /// Until when the holder may take, once it was asked.
    deadline: Option<Time>,
    others: Vec<PeerId>,
}

#[derive(Clone, Debug, Default)]
struct Load {
    /// Wants that name the peer.
    announced: usize,
    /// Wants that it was asked for.
    asked: usize,
    /// Wants that it holds and was not asked for yet.
    waiting: BTreeSet<TxName>,
}

/// All wanted transactions.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct TxRequests {
    wants: BTreeMap<TxName, Want>,
    loads: BTreeMap<PeerId, Load>,
    deadlines: BTreeSet<(Time, TxName)>,
    /// The first of them. It stands last, beside the other deadlines of [`super::core::Relay`]: they are
    /// asked for after every input.
    first_deadline: Option<Time>,
}

impl TxRequests {
    /// Whether a transaction is wanted: then it is not here.
    pub(crate) fn wants(&self, name: &TxName) -> bool {
        self.wants.contains_key(name)
    }

    /// A peer announced a transaction that is not here; false if it has announced too many.
    pub(crate) fn announced(&mut self, name: TxName, peer: PeerId) -> bool {
        let load = self.loads.entry(peer).or_default();
        if load.announced >= ANNOUNCED_PER_PEER_MAX {
            return false;
        }
        match self.wants.get_mut(&name) {
            Some(want) => {
                let known = want.holder == peer || want.others.contains(&peer);
                if !known && want.others.len() < OTHERS_MAX {
                    want.others.push(peer);
                    load.announced += 1;
                }
            }
            None => {
                self.wants.insert(
                    name,
                    Want {
                        holder: peer,
                        deadline: None,
                        others: Vec::new(),
                    },
                );
                load.announced += 1;
                load.waiting.insert(name);
            }
        }
        true
    }

    /// What is to be asked of a peer now, which must answer before the deadline.
    pub(crate) fn take_due(&mut self, peer: PeerId, deadline: Time) -> Vec<TxName> {
        let Some(load) = self.loads.get_mut(&peer) else {
            return Vec::new();
        };
        let mut due = Vec::new();
        while load.asked < ASKED_PER_PEER_MAX
            && let Some(name) = load.waiting.pop_first()
        {
            load.asked += 1;
            if let Some(want) = self.wants.get_mut(&name) {
                want.deadline = Some(deadline);
            }
            self.deadlines.insert((deadline, name));
            due.push(name);
        }
        self.find_first_deadline();
        due
    }

    /// The transaction is here, or no longer wanted. Returns the peer that now has more room.
    pub(crate) fn settled(&mut self, name: TxName) -> Option<PeerId> {
        let want = self.wants.remove(&name)?;
        self.unhold(&name, &want);
        for other in &want.others {
            self.forget_announcement(*other);
        }
        Some(want.holder)
    }

    /// The peer does not have it. Returns the next one to ask, if another announced it.
    pub(crate) fn failed(&mut self, name: TxName, peer: PeerId) -> Option<PeerId> {
        let want = self.wants.get(&name).filter(|w| w.holder == peer)?.clone();
        self.unhold(&name, &want);
        let mut others = want.others;
        if others.is_empty() {
            self.wants.remove(&name);
            return None;
        }
        let holder = others.remove(0);
        self.wants.insert(
            name,
            Want {
                holder,
                deadline: None,
                others,
            },
        );
        self.loads.entry(holder).or_default().waiting.insert(name);
        Some(holder)
    }

    /// Those whose time is up, with the peer that did not deliver.
    pub(crate) fn late(&self, now: Time) -> Vec<(TxName, PeerId)> {
        self.deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= now)
            .filter_map(|(_, name)| self.wants.get(name).map(|want| (*name, want.holder)))
            .collect()
    }

    /// When the next request is late.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.first_deadline
    }

    /// Where in memory the first deadline stands.
    pub(super) fn line(&self) -> *const u8 {
        std::ptr::from_ref(&self.first_deadline).cast()
    }

    fn find_first_deadline(&mut self) {
        self.first_deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
    }

    /// A connection is gone. Returns the peers that are to be asked in its place.
    pub(crate) fn forget_peer(&mut self, peer: PeerId) -> BTreeSet<PeerId> {
        if !self.loads.contains_key(&peer) {
            return BTreeSet::new();
        }
        for want in self.wants.values_mut() {
            want.others.retain(|other| *other != peer);
        }
        let held: Vec<_> = self
            .wants
            .iter()
            .filter(|(_, w)| w.holder == peer)
            .map(|(name, _)| *name)
            .collect();
        let next = held
            .into_iter()
            .filter_map(|name| self.failed(name, peer))
            .collect();
        self.loads.remove(&peer);
        next
    }

    /// Undoes that a want counts as its holder's.
    fn unhold(&mut self, name: &TxName, want: &Want) {
        if let Some(deadline) = want.deadline {
            self.deadlines.remove(&(deadline, *name));
            self.find_first_deadline();
        }
        if let Some(load) = self.loads.get_mut(&want.holder) {
            load.waiting.remove(name);
            load.asked -= usize::from(want.deadline.is_some());
        }
        self.forget_announcement(want.holder);
    }

    fn forget_announcement(&mut self, peer: PeerId) {
        if let Some(load) = self.loads.get_mut(&peer) {
            load.announced = load.announced.saturating_sub(1);
            if load.announced == 0 {
                self.loads.remove(&peer);
            }
        }
    }

    #[cfg(test)]
    fn check(&self) {
        for (peer, load) in &self.loads {
            let names = self
                .wants
                .values()
                .filter(|w| w.holder == *peer || w.others.contains(peer));
            assert_eq!(names.count(), load.announced);
            let asked = self
                .wants
                .values()
                .filter(|w| w.holder == *peer && w.deadline.is_some());
            assert_eq!(asked.count(), load.asked);
            assert!(load.asked <= ASKED_PER_PEER_MAX);
        }
        let deadlines = self
            .wants
            .iter()
            .filter_map(|(n, w)| w.deadline.map(|d| (d, *n)));
        assert_eq!(deadlines.collect::<BTreeSet<_>>(), self.deadlines);
        let first = self.deadlines.first().map(|(deadline, _)| *deadline);
        assert_eq!(self.next_deadline(), first);
        for (name, want) in &self.wants {
            let waits = self.loads[&want.holder].waiting.contains(name);
            assert_eq!(waits, want.deadline.is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use proptest::prelude::*;

    use super::*;

    fn name(n: u16) -> TxName {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        TxName::Wtxid(Wtxid::from_byte_array(bytes))
    }

    const A: PeerId = PeerId(1);
    const B: PeerId = PeerId(2);

    #[test]
    fn the_next_announcer_is_asked_when_the_first_fails() {
        let mut requests = TxRequests::default();
        assert!(requests.announced(name(1), A));
        assert!(requests.announced(name(1), B));
        assert_eq!(requests.take_due(A, Time(10)), [name(1)]);
        assert_eq!(requests.take_due(B, Time(10)), []);
        assert_eq!(requests.late(Time(9)), []);
        assert_eq!(requests.late(Time(10)), [(name(1), A)]);
        assert_eq!(requests.failed(name(1), A), Some(B));
        assert_eq!(requests.take_due(B, Time(20)), [name(1)]);
        assert_eq!(requests.failed(name(1), B), None);
        assert_eq!(requests.next_deadline(), None);
        assert!(requests.wants.is_empty() && requests.loads.is_empty());
    }

    #[test]
    fn one_peer_is_asked_for_a_hundred_at_once_and_heard_for_five_thousand() {
        let mut requests = TxRequests::default();
        let heard = (0..6_000)
            .filter(|n| requests.announced(name(*n), A))
            .count();
        assert_eq!(heard, ANNOUNCED_PER_PEER_MAX);
        assert_eq!(requests.take_due(A, Time(1)).len(), ASKED_PER_PEER_MAX);
        assert_eq!(requests.take_due(A, Time(1)).len(), 0);
        assert_eq!(requests.settled(name(0)), Some(A));
        assert_eq!(requests.take_due(A, Time(1)).len(), 1);
        requests.check();
    }

    #[test]
    fn what_a_lost_peer_owes_is_asked_of_others() {
        let mut requests = TxRequests::default();
        requests.announced(name(1), A);
        requests.announced(name(1), B);
        requests.announced(name(2), A);
        requests.take_due(A, Time(5));
        assert_eq!(requests.forget_peer(A), BTreeSet::from([B]));
        assert_eq!(requests.take_due(B, Time(6)), [name(1)]);
        assert_eq!(requests.wants.len(), 1);
        requests.check();
    }

    proptest! {
        #[test]
        fn the_books_always_balance(
            steps in proptest::collection::vec((0u8..5, 0u16..6, 0u64..4), 0..200),
        ) {
            let mut requests = TxRequests::default();
            for (at, (step, tx, peer)) in steps.into_iter().enumerate() {
                let (name, peer) = (name(tx), PeerId(peer));
                match step {
                    0 => drop(requests.announced(name, peer)),
                    1 => drop(requests.take_due(peer, Time(at as u64))),
                    2 => drop(requests.settled(name)),
                    3 => drop(requests.failed(name, peer)),
                    _ => drop(requests.forget_peer(peer)),
                }
                requests.check();
            }
        }
    }
}
