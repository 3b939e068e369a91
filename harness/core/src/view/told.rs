//! What tests have a view told of.

use crate::event::{Block, Tip, What};

/// A block's or the base's, of a two-letter name.
pub fn tip(name: &str, height: u32) -> Tip {
    Tip {
        hash: name.repeat(32),
        height,
    }
}

pub fn block(name: &str, prev: &str, height: u32) -> What {
    What::Block(Block {
        tip: tip(name, height),
        prev: prev.repeat(32),
        miner: None,
        size: 1,
        txs: 1,
        txids: Vec::new(),
    })
}
