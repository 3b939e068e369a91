//! The bodies that were accepted last, kept because peers ask for them next. Small: older ones
//! are read from the store.

use std::collections::VecDeque;

use bitcoin::BlockHash;

use super::named_block::NamedBlock;

/// Bytes of bodies kept at most. Two full blocks' worth of room would be 8 MB, the whole of the
/// node's memory target; the blocks of a test network are a few kilobytes.
const MAX_BYTES: usize = 512 * 1024;

/// Bodies kept at most: peers that keep up ask for the newest few.
const MAX_BLOCKS: usize = 16;

/// A bounded queue of bodies, newest last.
#[derive(Clone, Debug, Default)]
pub struct RecentBlocks {
    blocks: VecDeque<(NamedBlock, usize)>,
    bytes: usize,
}

impl RecentBlocks {
    /// Keeps a body, and lets the oldest go. One too big for the cache is not kept.
    pub fn push(&mut self, block: NamedBlock, bytes: usize) {
        if bytes > MAX_BYTES {
            return;
        }
        self.bytes += bytes;
        self.blocks.push_back((block, bytes));
        while self.bytes > MAX_BYTES || self.blocks.len() > MAX_BLOCKS {
            let Some((_, bytes)) = self.blocks.pop_front() else {
                break;
            };
            self.bytes -= bytes;
        }
    }

    /// A body, if it is kept.
    pub fn get(&self, hash: &BlockHash) -> Option<&NamedBlock> {
        self.blocks
            .iter()
            .rev()
            .find(|(kept, _)| kept.hash() == *hash)
            .map(|(block, _)| block)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chain::genesis::GENESIS;
    use bitcoin::hashes::Hash;

    #[test]
    fn it_is_bounded_in_number_and_in_bytes() {
        let mut recent = RecentBlocks::default();
        let name = |n: u8| BlockHash::from_byte_array([n; 32]);
        let block = |n: u8| NamedBlock::new(name(n), Arc::clone(&GENESIS.1));
        for n in 0..40 {
            recent.push(block(n), 100);
        }
        assert!(recent.get(&name(39)).is_some());
        assert!(recent.get(&name(39 - MAX_BLOCKS as u8)).is_none());
        recent.push(block(50), MAX_BYTES);
        assert!(recent.get(&name(50)).is_some());
        assert!(recent.get(&name(39)).is_none());
        recent.push(block(51), MAX_BYTES + 1);
        assert!(recent.get(&name(51)).is_none());
        assert!(recent.get(&name(50)).is_some());
    }
}
