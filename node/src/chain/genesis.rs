//! The first block of regtest, the same for all.

use std::sync::{Arc, LazyLock};

use bitcoin::constants::genesis_block;
use bitcoin::params::Params;
use bitcoin::{Block, BlockHash};

/// Its hash, and itself.
pub static GENESIS: LazyLock<(BlockHash, Arc<Block>)> = LazyLock::new(|| {
    let block = genesis_block(Params::REGTEST);
    (block.block_hash(), Arc::new(block))
});

/// The hash of regtest's first block.
pub fn genesis_hash() -> BlockHash {
    GENESIS.0
}
