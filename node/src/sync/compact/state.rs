//! What a node keeps for compact blocks, of all connections together. Data only.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::BlockHash;

use super::extra::ExtraTransactions;
use super::partial::Partial;
use super::tally::CompactTally;
use crate::io::PeerId;
use crate::wire::CompactBlock;

/// Blocks whose compact form is kept: the tip and the five below it can be asked for.
const RECENT_MAX: usize = 6;
/// Blocks that are being put together at once; of more, the whole block is asked for. Honest peers
/// come to one, rarely two; each may take as much memory as a compact block can have.
const PARTIALS_MAX: usize = 3;

/// A block of which a peer was asked for the missing transactions.
#[derive(Clone, Debug)]
struct Awaited {
    from: PeerId,
    partial: Partial,
}

/// Compact forms, partial blocks, and the peers of high bandwidth.
#[derive(Clone, Debug, Default)]
pub(in crate::sync) struct CompactBlocks {
    /// Peers that send compact blocks unasked, who was first with a block last at the end.
    pub(in crate::sync) chosen: VecDeque<PeerId>,
    pub(in crate::sync) extra: ExtraTransactions,
    recent: VecDeque<Arc<CompactBlock>>,
    awaited: Vec<Awaited>,
    pub(in crate::sync) tally: CompactTally,
}

impl CompactBlocks {
    /// Keeps the form of a block, as it is passed on.
    pub(in crate::sync) fn keep(&mut self, compact: Arc<CompactBlock>) {
        if self.recent(&compact.hash()).is_some() {
            return;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(compact);
    }

    /// The kept form of a block.
    pub(in crate::sync) fn recent(&self, hash: &BlockHash) -> Option<&Arc<CompactBlock>> {
        self.recent.iter().rev().find(|c| c.hash() == *hash)
    }

    /// Keeps a block until the peer has given what is missing; false if there are too many.
    pub(in crate::sync) fn wait_for(&mut self, from: PeerId, partial: Partial) -> bool {
        let room = self.awaited.len() < PARTIALS_MAX;
        if room {
            self.awaited.push(Awaited { from, partial });
        }
        room
    }

    /// The block that waits for this peer's transactions.
    pub(in crate::sync) fn take(&mut self, from: PeerId, hash: &BlockHash) -> Option<Partial> {
        let waits = |a: &Awaited| a.from == from && a.partial.compact().hash() == *hash;
        let at = self.awaited.iter().position(waits)?;
        Some(self.awaited.remove(at).partial)
    }

    /// Forgets the blocks that are no longer awaited of the peer that was asked.
    pub(in crate::sync) fn retain_awaited(
        &mut self,
        is_awaited: impl Fn(PeerId, &BlockHash) -> bool,
    ) {
        self.awaited
            .retain(|a| is_awaited(a.from, &a.partial.compact().hash()));
    }
}
