//! The storage backend of a chain: where its data goes to and comes from. The one here gathers changes
//! into durable batches for a [`Store`]; another may be shared by many chains and know more than one of
//! them has stored.

use std::sync::Arc;

use bitcoin::{Block, BlockHash};

use super::coin::{CoinChange, CoinSet};
use super::entry::HeaderEntry;
use super::named_block::NamedBlock;
use super::recent::RecentBlocks;
use super::store::{Batch, BlockUndo, IndexRecord, State, Store, StoreError};

/// Keeps bodies and undo data, and makes what a chain says durable if it can.
pub trait Storage: Send {
    /// The body of a block that the tree says is here.
    fn body(&self, hash: &BlockHash) -> Result<Option<NamedBlock>, StoreError>;

    /// As [`Storage::body`], where the names of transactions do not matter.
    fn bare_body(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError>;

    /// Undo data of a connected block.
    fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError>;

    /// Keeps a body that is sound in itself.
    fn keep_body(&mut self, block: NamedBlock);

    /// Keeps undo data of a block that was connected.
    fn keep_undo(&mut self, hash: BlockHash, undo: Arc<BlockUndo>);

    /// A block was taken off: its undo data may go.
    fn drop_undo(&mut self, _hash: BlockHash) {}

    /// A body turned out invalid in its place: it may go.
    fn drop_body(&mut self, _hash: BlockHash) {}

    /// Keeps an entry of the tree as it now stands.
    fn keep_entry(&mut self, _entry: &HeaderEntry) {}

    /// Keeps a change of the coins: those that it spends are gone, those that it creates are there.
    fn keep_coins(&mut self, _change: &CoinChange) {}

    /// Bytes of bodies that are not durable yet.
    fn pending_bytes(&self) -> usize {
        0
    }

    /// Makes everything kept so far durable, for a chain with this tip and these coins.
    fn flush(&mut self, _tip: BlockHash, _coins: &CoinSet) -> Result<(), StoreError> {
        Ok(())
    }

    /// See [`Store::seal`].
    fn seal(&mut self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Whether this very body is kept already, so that it need not be checked in itself again.
    fn has_body(&self, _hash: &BlockHash, _block: &Arc<Block>) -> bool {
        false
    }

    /// The coins after a block, if it is known to be valid and its undo data is kept. They follow from
    /// the block alone, since it names its whole past.
    fn coins_after(&self, _hash: &BlockHash) -> Option<CoinSet> {
        None
    }

    /// A block was found valid, and leaves these coins.
    fn keep_coins_after(&mut self, _hash: BlockHash, _coins: &CoinSet) {}
}

/// A store of the chain's own, and what is on its way to it.
pub struct BatchedStorage {
    store: Box<dyn Store>,
    recent: RecentBlocks,
    /// Changes not yet durable; empty between calls of the chain.
    pending: Batch,
}

impl BatchedStorage {
    /// Nothing is on its way.
    pub fn new(store: Box<dyn Store>) -> BatchedStorage {
        BatchedStorage {
            store,
            recent: RecentBlocks::default(),
            pending: Batch::default(),
        }
    }
}

impl Storage for BatchedStorage {
    fn body(&self, hash: &BlockHash) -> Result<Option<NamedBlock>, StoreError> {
        if let Some(recent) = self.recent.get(hash) {
            return Ok(Some(recent.clone()));
        }
        let block = self.bare_body(hash)?;
        Ok(block.map(|block| NamedBlock::new(*hash, block)))
    }

    fn bare_body(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError> {
        if let Some(recent) = self.recent.get(hash) {
            return Ok(Some(Arc::clone(recent.block())));
        }
        match self.pending.blocks.get(hash) {
            Some(pending) => Ok(Some(Arc::clone(pending))),
            None => self.store.block(hash),
        }
    }

    fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError> {
        match self.pending.undos.get(hash) {
            Some(pending) => Ok(pending.clone()),
            None => self.store.undo(hash),
        }
    }

    fn keep_body(&mut self, block: NamedBlock) {
        let bytes = block.total_size();
        let body = Arc::clone(block.block());
        self.pending.blocks.insert(block.hash(), body);
        self.pending.block_bytes += bytes;
        self.recent.push(block, bytes);
    }

    fn keep_undo(&mut self, hash: BlockHash, undo: Arc<BlockUndo>) {
        self.pending.undos.insert(hash, Some(undo));
    }

    fn drop_undo(&mut self, hash: BlockHash) {
        self.pending.undos.insert(hash, None);
    }

    fn drop_body(&mut self, hash: BlockHash) {
        self.pending.blocks.remove(&hash);
        self.pending.dropped_blocks.insert(hash);
    }

    fn keep_entry(&mut self, entry: &HeaderEntry) {
        let record = IndexRecord::of(entry);
        self.pending.index.insert(entry.hash, record);
    }

    fn keep_coins(&mut self, change: &CoinChange) {
        let gone = change.spent.iter().map(|(outpoint, _)| (*outpoint, None));
        let come = change.created.iter();
        let come = come.map(|(outpoint, coin)| (*outpoint, Some(coin.clone())));
        self.pending.coins.extend(gone.chain(come));
    }

    fn pending_bytes(&self) -> usize {
        self.pending.block_bytes
    }

    fn flush(&mut self, tip: BlockHash, coins: &CoinSet) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.state = Some(State {
            tip,
            coins: coins.len() as u64,
            muhash: coins.muhash().clone(),
        });
        let batch = std::mem::take(&mut self.pending);
        self.store.commit(&batch)
    }

    fn seal(&mut self) -> Result<Option<String>, StoreError> {
        self.store.seal()
    }
}
