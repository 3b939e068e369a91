//! The known-transaction index: which connections have which transaction, so that none is announced to
//! them twice. One table of a node rather than one of each connection: a transaction is looked up once
//! for all of them, and a node with many connections has as much of it as one with few. A peer that
//! announces thousands of transactions makes the node forget what others know, too: a few are announced
//! to them again, no more.

use super::recent::Recent;
use crate::context::{PeerSlot, PeerSlots};

/// The slot of the node itself: it has the transaction, in its mempool or in a block.
const OURS: PeerSlot = PeerSlot::at(0);

/// Transactions remembered at most, some 40 bytes each: minutes of a busy network.
const TRANSACTIONS_MAX: u32 = 4_096;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct KnownTransactions {
    by_transaction: Recent<PeerSlots>,
    taken: PeerSlots,
    /// How many transactions the mempool had lost when it was last asked.
    losses: u64,
}

impl Default for KnownTransactions {
    fn default() -> KnownTransactions {
        let mut taken = PeerSlots::default();
        taken.add(OURS);
        KnownTransactions {
            by_transaction: Recent::new(TRANSACTIONS_MAX),
            taken,
            losses: 0,
        }
    }
}

impl KnownTransactions {
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
        let all = self.by_transaction.values_mut();
        all.for_each(|slots| slots.remove(slot));
    }

    /// Whether a connection is known to know a transaction.
    pub(super) fn knows(&self, slot: PeerSlot, id: u64) -> bool {
        let known_by = self.by_transaction.get(id);
        known_by.is_some_and(|known_by| known_by.has(slot))
    }

    /// Where in memory it is noted who knows a transaction.
    pub(super) fn line(&self, id: u64) -> Option<*const u8> {
        self.by_transaction.line(id)
    }

    /// A connection announced a transaction, or had it announced. Returns whether this node is known to have
    /// it.
    pub(super) fn note(&mut self, slot: Option<PeerSlot>, id: u64) -> bool {
        let Some(slot) = slot else {
            return false;
        };
        let known_by = self.by_transaction.entry(id);
        known_by.add(slot);
        known_by.has(OURS)
    }

    /// This node has a transaction. Returns who is known to know it, itself among them.
    pub(super) fn note_ours(&mut self, id: u64) -> PeerSlots {
        let known_by = self.by_transaction.entry(id);
        known_by.add(OURS);
        known_by.clone()
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
    fn each_connection_knows_what_was_announced_to_it() {
        let mut known = KnownTransactions::default();
        // More connections than have room at once.
        let slots: Vec<_> = (0..300).map(|_| known.take_slot()).collect();
        assert_eq!(slots[299], PeerSlot::at(300));
        assert!(!known.knows(slots[0], id(0)));
        for n in 0..298 {
            let (one, next, other) = (slots[n], slots[n + 1], slots[n + 2]);
            known.note(Some(one), id(n as u64));
            known.note(Some(next), id(n as u64));
            assert!(known.knows(one, id(n as u64)) && known.knows(next, id(n as u64)));
            assert!(!known.knows(other, id(n as u64)));
        }
        let kept = (0..298).filter(|n| known.knows(slots[*n], id(*n as u64)));
        assert!(kept.count() > 200);
    }

    #[test]
    fn what_the_node_has_is_known_until_the_mempool_lost_something() {
        let mut known = KnownTransactions::default();
        let slot = Some(known.take_slot());
        assert!(!known.note(slot, id(1)));
        known.note_ours(id(1));
        assert!(known.note(slot, id(1)));
        assert!(!known.note(None, id(1)) && !known.note(slot, id(2)));
        known.note_losses(0);
        assert!(known.note(slot, id(1)));
        known.note_losses(1);
        assert!(!known.note(slot, id(1)));
        known.note_ours(id(1));
        known.note_losses(1);
        assert!(known.note(slot, id(1)));
    }

    #[test]
    fn the_lowest_slot_is_given_away_again_empty() {
        let mut known = KnownTransactions::default();
        let slots: Vec<_> = (0..130).map(|_| known.take_slot()).collect();
        for gone in [129, 64, 3] {
            let (gone, other) = (slots[gone], slots[70]);
            known.note(Some(gone), id(3));
            known.note(Some(other), id(3));
            known.release_slot(gone);
            assert_eq!(known.take_slot(), gone);
            assert!(!known.knows(gone, id(3)));
            assert!(known.knows(other, id(3)));
        }
    }
}
