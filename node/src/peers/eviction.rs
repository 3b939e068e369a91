//! Who has to go when an inbound connection comes and all places are taken. As in Bitcoin Core:
//! peers are protected for what an attacker cannot fake all at once (being near, having been
//! useful, having been here long); of the rest the youngest goes.

use std::time::Duration;

use crate::io::{PeerId, Time};

/// Peers that answer pings fastest.
const PROTECTED_BY_PING: usize = 8;
/// Peers that most recently gave transactions.
const PROTECTED_BY_TRANSACTIONS: usize = 4;
/// Peers that most recently gave blocks.
const PROTECTED_BY_BLOCKS: usize = 4;
/// A connection this young stays until it was sent addresses: when hundreds of newcomers crowd around
/// one bootstrap node, each gets what it came for before it has to go.
const GRACE: Duration = Duration::from_secs(3);

/// What decides over an inbound connection.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) peer: PeerId,
    pub(super) connected_at: Time,
    pub(super) ping_min: Option<Duration>,
    pub(super) last_transaction: Option<Time>,
    pub(super) last_block: Option<Time>,
    pub(super) was_sent_addresses: bool,
}

/// The inbound connection that goes, if any may.
pub(super) fn select(mut candidates: Vec<Candidate>, now: Time) -> Option<PeerId> {
    let peer = |c: &Candidate| c.peer;
    protect(&mut candidates, PROTECTED_BY_PING, |c| {
        (c.ping_min.unwrap_or(Duration::MAX), peer(c))
    });
    // None sorts before Some: reversed, the most recent comes first, then those that never gave.
    protect(&mut candidates, PROTECTED_BY_TRANSACTIONS, |c| {
        (std::cmp::Reverse(c.last_transaction), peer(c))
    });
    protect(&mut candidates, PROTECTED_BY_BLOCKS, |c| {
        (std::cmp::Reverse(c.last_block), peer(c))
    });
    let half = candidates.len() / 2;
    protect(&mut candidates, half, |c| (c.connected_at, peer(c)));
    candidates
        .iter()
        .filter(|c| c.was_sent_addresses || now.since(c.connected_at) >= GRACE)
        .max_by_key(|c| (c.connected_at, c.peer))
        .map(peer)
}

/// Takes the first `count` by `key` out of the candidates.
fn protect<K: Ord>(candidates: &mut Vec<Candidate>, count: usize, key: impl Fn(&Candidate) -> K) {
    candidates.sort_by_key(key);
    candidates.drain(..count.min(candidates.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: u64 = 1_000_000_000;

    fn idle(peer: u64, connected_secs: u64) -> Candidate {
        Candidate {
            peer: PeerId(peer),
            connected_at: Time(connected_secs * SEC),
            ping_min: Some(Duration::from_millis(100)),
            last_transaction: None,
            last_block: None,
            was_sent_addresses: false,
        }
    }

    #[test]
    fn the_youngest_of_the_useless_goes() {
        let candidates = (0..100).map(|n| idle(n, n)).collect();
        assert_eq!(select(candidates, Time(1_000 * SEC)), Some(PeerId(99)));
    }

    #[test]
    fn useful_and_near_peers_stay() {
        let mut candidates: Vec<_> = (0..100).map(|n| idle(n, n)).collect();
        candidates[99].last_block = Some(Time(SEC));
        candidates[98].last_transaction = Some(Time(SEC));
        candidates[97].ping_min = Some(Duration::from_millis(1));
        assert_eq!(select(candidates, Time(1_000 * SEC)), Some(PeerId(96)));
    }

    #[test]
    fn nobody_goes_from_a_handful_or_before_the_grace_is_over() {
        assert_eq!(
            select((0..16).map(|n| idle(n, n)).collect(), Time(1_000 * SEC)),
            None
        );
        let mut crowd: Vec<_> = (0..100).map(|n| idle(n, 999)).collect();
        assert_eq!(select(crowd.clone(), Time(1_000 * SEC)), None);
        crowd[70].was_sent_addresses = true;
        assert_eq!(select(crowd, Time(1_000 * SEC)), Some(PeerId(70)));
    }
}
