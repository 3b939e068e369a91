//! How well compact blocks served this node, since its start: how many led to the block with what
//! was here, and what the others cost. Data only; nothing is decided by it.

use std::time::Duration;

use bitcoin::BlockHash;

use crate::io::Time;

/// Blocks at once of which it is remembered since when more of them is awaited; of others the wait
/// is not counted. As many as are put together at once, and some that are asked for as a whole.
const OPEN_MAX: usize = 8;

/// Sums over the compact blocks of new blocks that this node began to put together.
#[derive(Clone, Debug, Default)]
pub struct CompactTally {
    /// Put together from what was here.
    pub rebuilt: u64,
    /// More had to be asked for: single transactions, or the whole block.
    pub asked: u64,
    /// Transactions that were not here, of those.
    pub missing: u64,
    /// From the compact block to the block, of those.
    pub waited: Duration,
    /// Blocks of which more is awaited, and since when.
    open: Vec<(BlockHash, Time)>,
}

impl CompactTally {
    /// More of a block is asked for: so many of its transactions are not here.
    pub(in crate::sync) fn asks(&mut self, hash: BlockHash, missing: usize, now: Time) {
        if self.is_open(&hash) {
            return;
        }
        self.asked += 1;
        self.missing += missing as u64;
        if self.open.len() < OPEN_MAX {
            self.open.push((hash, now));
        }
    }

    /// A block was put together: at once, unless more of it had been asked for.
    pub(in crate::sync) fn put_together(&mut self, hash: &BlockHash) {
        if !self.is_open(hash) {
            self.rebuilt += 1;
        }
    }

    /// A block is here, in whatever way.
    pub(in crate::sync) fn arrived(&mut self, hash: &BlockHash, now: Time) {
        if let Some(at) = self.open.iter().position(|(open, _)| open == hash) {
            let (_, since) = self.open.swap_remove(at);
            self.waited += now.since(since);
        }
    }

    fn is_open(&self, hash: &BlockHash) -> bool {
        self.open.iter().any(|(open, _)| open == hash)
    }
}
