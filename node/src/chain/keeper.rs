//! Where a chain's data goes: into a store of its own, gathered into durable batches, or to the
//! [`Commons`] that all nodes of a process share.

use std::sync::Arc;

use bitcoin::BlockHash;

use super::coin::{CoinChange, CoinSet};
use super::commons::Commons;
use super::entry::HeaderEntry;
use super::named_block::NamedBlock;
use super::recent::RecentBlocks;
use super::store::{Batch, BlockUndo, IndexRecord, State, Store, StoreError};

/// A store, and what is on its way to it.
pub struct Stored {
    store: Box<dyn Store>,
    recent: RecentBlocks,
    /// Changes not yet durable; empty between calls of the chain.
    pending: Batch,
}

/// See the head of this file.
pub enum Keeper {
    Store(Box<Stored>),
    Common(Commons),
}

impl Keeper {
    pub fn of_store(store: Box<dyn Store>) -> Keeper {
        Keeper::Store(Box::new(Stored {
            store,
            recent: RecentBlocks::default(),
            pending: Batch::default(),
        }))
    }

    /// The body of a block that the tree says is here.
    pub fn body(&self, hash: &BlockHash) -> Result<Option<NamedBlock>, StoreError> {
        let stored = match self {
            Keeper::Common(commons) => return Ok(commons.body(hash)),
            Keeper::Store(stored) => stored,
        };
        if let Some(recent) = stored.recent.get(hash) {
            return Ok(Some(recent.clone()));
        }
        let block = match stored.pending.blocks.get(hash) {
            Some(pending) => Some(Arc::clone(pending)),
            None => stored.store.block(hash)?,
        };
        Ok(block.map(|block| NamedBlock::new(*hash, block)))
    }

    /// As [`Keeper::body`], where the names do not matter.
    pub fn bare_body(&self, hash: &BlockHash) -> Result<Option<Arc<bitcoin::Block>>, StoreError> {
        match self {
            Keeper::Common(commons) => Ok(commons.body(hash).map(|b| Arc::clone(b.block()))),
            Keeper::Store(stored) => match stored.recent.get(hash) {
                Some(recent) => Ok(Some(Arc::clone(recent.block()))),
                None => match stored.pending.blocks.get(hash) {
                    Some(pending) => Ok(Some(Arc::clone(pending))),
                    None => stored.store.block(hash),
                },
            },
        }
    }

    pub fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError> {
        match self {
            Keeper::Common(commons) => Ok(commons.undo(hash)),
            Keeper::Store(stored) => match stored.pending.undos.get(hash) {
                Some(pending) => Ok(pending.clone()),
                None => stored.store.undo(hash),
            },
        }
    }

    pub fn keep_body(&mut self, block: NamedBlock) {
        match self {
            Keeper::Common(commons) => commons.keep_body(block),
            Keeper::Store(stored) => {
                let bytes = block.total_size();
                let body = Arc::clone(block.block());
                stored.pending.blocks.insert(block.hash(), body);
                stored.pending.block_bytes += bytes;
                stored.recent.push(block, bytes);
            }
        }
    }

    /// A body turned out invalid. What nodes share stays, since another may not know it yet.
    pub fn drop_body(&mut self, hash: BlockHash) {
        if let Keeper::Store(stored) = self {
            stored.pending.blocks.remove(&hash);
            stored.pending.dropped_blocks.insert(hash);
        }
    }

    /// Keeps undo data of a block that was connected (`Some`), or drops it (`None`). What nodes
    /// share stays, since the block is connected elsewhere.
    pub fn keep_undo(&mut self, hash: BlockHash, undo: Option<Arc<BlockUndo>>) {
        match (self, undo) {
            (Keeper::Store(stored), undo) => {
                stored.pending.undos.insert(hash, undo);
            }
            (Keeper::Common(commons), Some(undo)) => commons.keep_undo(hash, undo),
            (Keeper::Common(_), None) => {}
        }
    }

    /// Writes an entry of the tree as it now stands.
    pub fn keep_entry(&mut self, entry: &HeaderEntry) {
        if let Keeper::Store(stored) = self {
            let record = IndexRecord::of(entry);
            stored.pending.index.insert(entry.hash, record);
        }
    }

    /// Writes a change of the coins: what `gone` lists is gone, what `come` lists is there.
    pub fn keep_coins(&mut self, change: &CoinChange, reverted: bool) {
        if let Keeper::Store(stored) = self {
            let (gone, come) = match reverted {
                false => (&change.spent, &change.created),
                true => (&change.created, &change.spent),
            };
            let gone = gone.iter().map(|(outpoint, _)| (*outpoint, None));
            let come = come
                .iter()
                .map(|(outpoint, coin)| (*outpoint, Some(coin.clone())));
            stored.pending.coins.extend(gone.chain(come));
        }
    }

    /// Bytes of bodies that are not durable yet.
    pub fn pending_bytes(&self) -> usize {
        match self {
            Keeper::Common(_) => 0,
            Keeper::Store(stored) => stored.pending.block_bytes,
        }
    }

    /// Makes everything gathered durable.
    pub fn flush(&mut self, tip: BlockHash, coins: &CoinSet) -> Result<(), StoreError> {
        let Keeper::Store(stored) = self else {
            return Ok(());
        };
        if stored.pending.is_empty() {
            return Ok(());
        }
        stored.pending.state = Some(State {
            tip,
            coins: coins.len() as u64,
            muhash: coins.muhash().clone(),
        });
        let batch = std::mem::take(&mut stored.pending);
        stored.store.commit(&batch)
    }

    /// See [`Store::seal`].
    pub fn seal(&mut self) -> Result<Option<String>, StoreError> {
        match self {
            Keeper::Common(_) => Ok(None),
            Keeper::Store(stored) => stored.store.seal(),
        }
    }

    /// The store itself, for starting over; what was pending is lost.
    pub fn into_store(self) -> Option<Box<dyn Store>> {
        match self {
            Keeper::Common(_) => None,
            Keeper::Store(stored) => Some(stored.store),
        }
    }

    pub fn commons(&self) -> Option<&Commons> {
        match self {
            Keeper::Common(commons) => Some(commons),
            Keeper::Store(_) => None,
        }
    }
}
