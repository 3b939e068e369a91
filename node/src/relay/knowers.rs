//! Which connections know which transaction, so that nobody is told twice. One table of a node rather
//! than one of each connection: a transaction is looked up once for all of them, and a node with many
//! connections has as much of it as one with few. A peer that announces thousands of transactions
//! makes the node forget what others know, too: they are told of a few again, no more.

use super::recent::Recent;
use crate::context::{PeerSlot, PeerSlots};

/// The slot of the node itself: it has the transaction, in its mempool or in a block.
const OURS: PeerSlot = PeerSlot::at(0);

/// Transactions remembered at most, some 40 bytes each: minutes of a busy network.
const TRANSACTIONS_MAX: u32 = 4_096;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Knowers {
    by_transaction: Recent<PeerSlots>,
    taken: PeerSlots,
    /// How many transactions the mempool had lost when it was last asked.
    losses: u64,
}

impl Default for Knowers {
    fn default() -> Knowers {
        let mut taken = PeerSlots::default();
        taken.add(OURS);
        Knowers {
            by_transaction: Recent::new(TRANSACTIONS_MAX),
            taken,
            losses: 0,
        }
    }
}

impl Knowers {
    /// A slot for a new connection.
    pub(super) fn take_slot(&mut self) -> PeerSlot {
        let free = self.taken.first_missing();
        self.taken.add(free);
        free
    }

    /// The connection is gone; who gets its slot knows nothing.
    pub(super) fn release_slot(&mut self, slot: PeerSlot) {
        self.taken.remove(slot);
        self.forget(slot);
    }

    fn forget(&mut self, slot: PeerSlot) {
        let knowers = self.by_transaction.values_mut();
        knowers.for_each(|slots| slots.remove(slot));
    }

    /// Whether a connection is known to know a transaction.
    pub(super) fn knows(&self, slot: PeerSlot, id: u64) -> bool {
        let knowers = self.by_transaction.get(id);
        knowers.is_some_and(|knowers| knowers.has(slot))
    }

    /// Where in memory it is noted who knows a transaction.
    pub(super) fn line(&self, id: u64) -> Option<*const u8> {
        self.by_transaction.line(id)
    }

    /// A connection told of a transaction, or was told. Returns whether this node is known to have
    /// it.
    pub(super) fn note(&mut self, slot: Option<PeerSlot>, id: u64) -> bool {
        let Some(slot) = slot else {
            return false;
        };
        let knowers = self.by_transaction.entry(id);
        knowers.add(slot);
        knowers.has(OURS)
    }

    /// This node has a transaction. Returns who is known to know it, itself among them.
    pub(super) fn note_ours(&mut self, id: u64) -> PeerSlots {
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
        let slots: Vec<_> = (0..300).map(|_| knowers.take_slot()).collect();
        assert_eq!(slots[299], PeerSlot::at(300));
        assert!(!knowers.knows(slots[0], id(0)));
        for n in 0..298 {
            let (one, next, other) = (slots[n], slots[n + 1], slots[n + 2]);
            knowers.note(Some(one), id(n as u64));
            knowers.note(Some(next), id(n as u64));
            assert!(knowers.knows(one, id(n as u64)) && knowers.knows(next, id(n as u64)));
            assert!(!knowers.knows(other, id(n as u64)));
        }
        let kept = (0..298).filter(|n| knowers.knows(slots[*n], id(*n as u64)));
        assert!(kept.count() > 200);
    }

    #[test]
    fn what_the_node_has_is_known_until_the_mempool_lost_something() {
        let mut knowers = Knowers::default();
        let slot = Some(knowers.take_slot());
        assert!(!knowers.note(slot, id(1)));
        knowers.note_ours(id(1));
        assert!(knowers.note(slot, id(1)));
        assert!(!knowers.note(None, id(1)) && !knowers.note(slot, id(2)));
        knowers.note_losses(0);
        assert!(knowers.note(slot, id(1)));
        knowers.note_losses(1);
        assert!(!knowers.note(slot, id(1)));
        knowers.note_ours(id(1));
        knowers.note_losses(1);
        assert!(knowers.note(slot, id(1)));
    }

    #[test]
    fn the_lowest_slot_is_given_away_again_empty() {
        let mut knowers = Knowers::default();
        let slots: Vec<_> = (0..130).map(|_| knowers.take_slot()).collect();
        for gone in [129, 64, 3] {
            let (gone, other) = (slots[gone], slots[70]);
            knowers.note(Some(gone), id(3));
            knowers.note(Some(other), id(3));
            knowers.release_slot(gone);
            assert_eq!(knowers.take_slot(), gone);
            assert!(!knowers.knows(gone, id(3)));
            assert!(knowers.knows(other, id(3)));
        }
    }
}
