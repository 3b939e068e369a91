//! A block together with the names of itself and of its transactions, computed once however many
//! places, or nodes of one process, want them.

use std::ops::Deref;
use std::sync::Arc;

use bitcoin::{Block, BlockHash, Transaction, Txid, Wtxid};

use super::block_check::TxIds;

/// A block and its names. Cheap to copy.
#[derive(Clone, Debug)]
pub struct NamedBlock {
    hash: BlockHash,
    block: Arc<Block>,
    ids: Arc<TxIds>,
}

impl NamedBlock {
    /// Hashes every transaction; the block's own hash is known.
    pub(super) fn new(hash: BlockHash, block: Arc<Block>) -> NamedBlock {
        let ids = Arc::new(TxIds::of(&block));
        NamedBlock { hash, block, ids }
    }

    /// Hashes the header and every transaction.
    pub fn of(block: Arc<Block>) -> NamedBlock {
        NamedBlock::new(block.block_hash(), block)
    }

    /// Its hash.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The block.
    pub fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Its transactions with their names.
    pub fn named_transactions(&self) -> impl Iterator<Item = (&Transaction, Txid, Wtxid)> {
        let ids = self.ids.txids.iter().zip(&self.ids.wtxids);
        let named = self.block.txdata.iter().zip(ids);
        named.map(|(tx, (txid, wtxid))| (tx, *txid, *wtxid))
    }

    pub(super) fn ids(&self) -> &TxIds {
        &self.ids
    }
}

impl Deref for NamedBlock {
    type Target = Block;

    fn deref(&self) -> &Block {
        &self.block
    }
}
