//! A store that keeps bodies and undo data in memory and forgets all at the end: for the
//! simulator and for tests. Index and coins are not kept twice, since the chain has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Block, BlockHash};

use super::store::{Batch, BlockUndo, Loaded, Salvage, Store, StoreError};

/// Bodies and undo data by hash.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    blocks: BTreeMap<BlockHash, Arc<Block>>,
    undos: BTreeMap<BlockHash, Arc<BlockUndo>>,
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for (hash, block) in &batch.blocks {
            self.blocks.insert(*hash, Arc::clone(block));
        }
        for hash in &batch.dropped_blocks {
            self.blocks.remove(hash);
        }
        for (hash, undo) in &batch.undos {
            match undo {
                Some(undo) => self.undos.insert(*hash, Arc::clone(undo)),
                None => self.undos.remove(hash),
            };
        }
        Ok(())
    }

    fn block(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError> {
        Ok(self.blocks.get(hash).cloned())
    }

    fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError> {
        Ok(self.undos.get(hash).cloned())
    }

    fn start_over(&mut self) -> Result<Salvage, StoreError> {
        self.blocks.clear();
        self.undos.clear();
        Ok(Salvage {
            index: BTreeMap::new(),
            bodies: Box::new(std::iter::empty()),
        })
    }

    fn seal(&mut self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}
