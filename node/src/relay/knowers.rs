//! Which connections know which transaction, so that nobody is told twice. One table of a node rather
//! than one of each connection: a transaction is looked up once for all of them, and a node with many
//! connections has as much of it as one with few. A peer that announces thousands of transactions
//! makes the node forget what others know, too: they are told of a few again, no more.

use super::recent::Recent;
use crate::context::{Place, Places};

/// The place of the node itself: it has the transaction, in its mempool or in a block.
const OURS: Place = Place::at(0);

/// Transactions remembered at most, some 40 bytes each: minutes of a busy network.
const TRANSACTIONS_MAX: u32 = 4_096;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Knowers {
    by_transaction: Recent<Places>,
    taken: Places,
    /// How many transactions the mempool had lost when it was last asked.
    losses: u64,
}

impl Default for Knowers {
    fn default() -> Knowers {
        let mut taken = Places::default();
        taken.add(OURS);
        Knowers {
            by_transaction: Recent::new(TRANSACTIONS_MAX),
            taken,
            losses: 0,
        }
    }
}

impl Knowers {
    /// A place for a new connection.
    pub(super) fn take_place(&mut self) -> Place {
        let free = self.taken.first_missing();
        self.taken.add(free);
        free
    }

    /// The connection is gone; who gets its place knows nothing.
    pub(super) fn give_back(&mut self, place: Place) {
        self.taken.remove(place);
        self.forget(place);
    }

    fn forget(&mut self, place: Place) {
        let knowers = self.by_transaction.values_mut();
        knowers.for_each(|places| places.remove(place));
    }

    /// Whether a connection is known to know a transaction.
    pub(super) fn knows(&self, place: Place, id: u64) -> bool {
        let knowers = self.by_transaction.get(id);
        knowers.is_some_and(|knowers| knowers.has(place))
    }

    /// Where in memory it is noted who knows a transaction.
    pub(super) fn line(&self, id: u64) -> Option<*const u8> {
        self.by_transaction.line(id)
    }

    /// A connection told of a transaction, or was told. Returns whether this node is known to have
    /// it.
    pub(super) fn note(&mut self, place: Option<Place>, id: u64) -> bool {
        let Some(place) = place else {
            return false;
        };
        let knowers = self.by_transaction.entry(id);
        knowers.add(place);
        knowers.has(OURS)
    }

    /// This node has a transaction. Returns who is known to know it, itself among them.
    pub(super) fn note_ours(&mut self, id: u64) -> Places {
        let knowers = self.by_transaction.entry(id);
        knowers.add(OURS);
        knowers.clone()
    }

    /// So many transactions has the mempool lost to no block of the active chain: if they are more
    /// than they were, it is no longer known which this node has.
    pub(super) fn note_losses(&mut self, losses: u64) {
        if std::mem::replace(&mut self.losses, losses) != losses {
            self.forget(OURS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads small numbers as a keyed hash would.
    fn id(n: u64) -> u64 {
        (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
    }

    #[test]
    fn each_connection_knows_what_it_was_told() {
        let mut knowers = Knowers::default();
        // More connections than have room at once.
        let places: Vec<_> = (0..300).map(|_| knowers.take_place()).collect();
        assert_eq!(places[299], Place::at(300));
        assert!(!knowers.knows(places[0], id(0)));
        for n in 0..298 {
            let (one, next, other) = (places[n], places[n + 1], places[n + 2]);
            knowers.note(Some(one), id(n as u64));
            knowers.note(Some(next), id(n as u64));
            assert!(knowers.knows(one, id(n as u64)) && knowers.knows(next, id(n as u64)));
            assert!(!knowers.knows(other, id(n as u64)));
        }
        let kept = (0..298).filter(|n| knowers.knows(places[*n], id(*n as u64)));
        assert!(kept.count() > 200);
    }

    #[test]
    fn what_the_node_has_is_known_until_the_mempool_lost_something() {
        let mut knowers = Knowers::default();
        let place = Some(knowers.take_place());
        assert!(!knowers.note(place, id(1)));
        knowers.note_ours(id(1));
        assert!(knowers.note(place, id(1)));
        assert!(!knowers.note(None, id(1)) && !knowers.note(place, id(2)));
        knowers.note_losses(0);
        assert!(knowers.note(place, id(1)));
        knowers.note_losses(1);
        assert!(!knowers.note(place, id(1)));
        knowers.note_ours(id(1));
        knowers.note_losses(1);
        assert!(knowers.note(place, id(1)));
    }

    #[test]
    fn the_lowest_place_is_given_away_again_empty() {
        let mut knowers = Knowers::default();
        let places: Vec<_> = (0..130).map(|_| knowers.take_place()).collect();
        for gone in [129, 64, 3] {
            let (gone, other) = (places[gone], places[70]);
            knowers.note(Some(gone), id(3));
            knowers.note(Some(other), id(3));
            knowers.give_back(gone);
            assert_eq!(knowers.take_place(), gone);
            assert!(!knowers.knows(gone, id(3)));
            assert!(knowers.knows(other, id(3)));
        }
    }
}
