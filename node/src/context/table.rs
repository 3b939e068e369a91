//! All connections of a node, by name, and for each a time before which it needs nothing.
//!
//! After most inputs nothing is due, and in a simulator each node's data has to be fetched from far:
//! so names and times lie side by side, apart from the connections themselves, and a connection is
//! only asked for its deadlines after it was in hand for a change, or when its time has come.

use std::net::SocketAddr;

use super::memory::lines_of;
use super::peer::Peer;
use crate::io::{PeerId, Time};

/// The time of a connection that was in hand: it is to be asked.
const ASK: Time = Time(0);

#[derive(Clone, Debug)]
struct Entry {
    id: PeerId,
    /// The connection needs nothing before; a bound, since what was due may have been put off.
    due: Time,
    peer: Box<Peer>,
}

/// Connections in the order of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerTable {
    entries: Vec<Entry>,
    /// Names of connections that were in hand, some perhaps twice.
    touched: Vec<PeerId>,
}

impl PeerTable {
    fn position(&self, id: &PeerId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(id, |entry| entry.id)
    }

    pub(crate) fn contains_key(&self, id: &PeerId) -> bool {
        self.position(id).is_ok()
    }

    pub(crate) fn get(&self, id: &PeerId) -> Option<&Peer> {
        self.position(id).ok().map(|at| &*self.entries[at].peer)
    }

    /// To change a connection.
    pub(crate) fn get_mut(&mut self, id: &PeerId) -> Option<&mut Peer> {
        let at = self.position(id).ok()?;
        let entry = &mut self.entries[at];
        if entry.due != ASK {
            entry.due = ASK;
            self.touched.push(*id);
        }
        Some(&mut entry.peer)
    }

    /// To change of a connection what lets nothing be due earlier: its time stays a bound.
    pub(crate) fn get_mut_later(&mut self, id: &PeerId) -> Option<&mut Peer> {
        let at = self.position(id).ok()?;
        Some(&mut self.entries[at].peer)
    }

    /// Adds a connection with a new name.
    pub(crate) fn insert(&mut self, peer: Peer) {
        let id = peer.id;
        let entry = Entry {
            id,
            due: ASK,
            peer: Box::new(peer),
        };
        self.touched.push(id);
        match self.position(&id) {
            Ok(at) => self.entries[at] = entry,
            Err(at) => self.entries.insert(at, entry),
        }
    }

    pub(crate) fn remove(&mut self, id: &PeerId) -> Option<Peer> {
        let at = self.position(id).ok()?;
        Some(*self.entries.remove(at).peer)
    }

    /// Whether there is one to this listening address, whoever opened it.
    pub(crate) fn has_address(&self, addr: &SocketAddr) -> bool {
        self.values()
            .any(|p| p.addr == *addr || p.listen_addr() == Some(*addr))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All, by name.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Peer> + Clone {
        self.entries.iter().map(|entry| &*entry.peer)
    }

    /// Those that may need something now, by name.
    pub(crate) fn due(&self, now: Time) -> impl Iterator<Item = &Peer> {
        let due = self.entries.iter().filter(move |entry| entry.due <= now);
        due.map(|entry| &*entry.peer)
    }

    /// The ids of all of whom this is true.
    pub(crate) fn ids(&self, holds: impl Fn(&Peer) -> bool) -> Vec<PeerId> {
        let peers = self.values().filter(|peer| holds(peer));
        peers.map(|peer| peer.id).collect()
    }

    /// Where the table itself lies in memory.
    pub(crate) fn lines(&self) -> impl Iterator<Item = *const u8> {
        lines_of(&self.entries)
    }

    /// Their names.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &PeerId> {
        self.entries.iter().map(|entry| &entry.id)
    }

    /// Asks those that were in hand for their deadlines. The first of these.
    pub(crate) fn ask_touched(&mut self, deadline: impl Fn(&Peer) -> Time) -> Time {
        let mut first = Time::NEVER;
        while let Some(id) = self.touched.pop() {
            if let Ok(at) = self.position(&id) {
                let entry = &mut self.entries[at];
                entry.due = deadline(&entry.peer);
                first = first.min(entry.due);
            }
        }
        first
    }

    /// Asks those whose time has come for their deadlines. The first of all times.
    pub(crate) fn ask_due(&mut self, now: Time, deadline: impl Fn(&Peer) -> Time) -> Time {
        self.touched.clear();
        let mut first = Time::NEVER;
        for entry in &mut self.entries {
            if entry.due <= now {
                entry.due = deadline(&entry.peer);
            }
            first = first.min(entry.due);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::ConnectionKind;
    use super::*;

    fn peer(id: u64) -> Peer {
        let addr = SocketAddr::from(([10, 0, 0, 1], 1));
        Peer::new(PeerId(id), addr, ConnectionKind::Inbound, 0, Time(0))
    }

    /// Connection n has something to do at 10 n.
    fn deadline(peer: &Peer) -> Time {
        Time(peer.id.0 * 10)
    }

    #[test]
    fn it_is_ordered_and_asks_only_who_was_in_hand_or_is_due() {
        let mut table = PeerTable::default();
        for id in [5, 2, 9] {
            table.insert(peer(id));
        }
        let ids: Vec<_> = table.keys().map(|id| id.0).collect();
        assert_eq!(ids, [2, 5, 9]);
        let due = |table: &PeerTable, now| -> Vec<u64> {
            table.due(Time(now)).map(|peer| peer.id.0).collect()
        };
        assert_eq!(due(&table, 1), [2, 5, 9]);
        assert_eq!(table.ask_touched(deadline), Time(20));
        assert_eq!(table.ask_touched(deadline), Time::NEVER);
        assert_eq!(due(&table, 49), [2]);
        assert!(table.get(&PeerId(2)).is_some());
        assert!(table.get_mut(&PeerId(7)).is_none());
        table.get_mut(&PeerId(9));
        table.get_mut(&PeerId(9));
        assert_eq!(due(&table, 1), [9]);
        assert_eq!(table.ask_touched(deadline), Time(90));
        // In hand for something later: not asked.
        assert!(table.get_mut_later(&PeerId(9)).is_some());
        assert_eq!(table.ask_touched(deadline), Time::NEVER);
        // Put off: found when its time has come.
        let later = |peer: &Peer| Time(peer.id.0 * 10 + 100);
        assert_eq!(table.ask_due(Time(30), later), Time(50));
        assert_eq!(due(&table, 60), [5]);
        assert!(table.remove(&PeerId(5)).is_some() && !table.contains_key(&PeerId(5)));
        assert_eq!(table.ask_due(Time(60), later), Time(90));
    }
}
