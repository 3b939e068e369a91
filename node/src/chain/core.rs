//! The chain's own data, and the bookkeeping that every change of it shares: reading bodies,
//! gathering changes into a batch, making the batch durable.

use std::sync::{Arc, LazyLock, Mutex};

use bitcoin::constants::genesis_block;
use bitcoin::params::Params;
use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Wtxid};

use super::coin::{Coin, CoinChange, CoinSet};
use super::entry::HeaderEntry;
use super::recent::RecentBlocks;
use super::scripts::{ScriptCache, ScriptError, verify_scripts};
use super::tree::HeaderTree;
use crate::store::{Batch, BlockUndo, IndexRecord, State, Store, StoreError};

/// The first block of regtest, and its hash; the same for all.
pub(crate) static GENESIS: LazyLock<(BlockHash, Arc<Block>)> = LazyLock::new(|| {
    let block = genesis_block(Params::REGTEST);
    (block.block_hash(), Arc::new(block))
});

/// The hash of regtest's first block.
pub fn genesis_hash() -> BlockHash {
    GENESIS.0
}

/// The ledger of one node: all known headers, the active chain, its coins.
///
/// Whatever returns `Ok` is durable. After a [`StoreError`] the chain in memory may be ahead of
/// the one on disk: the node must end, and finds a consistent chain at its next start.
pub struct Chain {
    pub(super) store: Box<dyn Store>,
    pub(super) tree: HeaderTree,
    /// The active chain, by height; genesis first, never empty.
    pub(super) active: Vec<BlockHash>,
    pub(super) coins: CoinSet,
    pub(super) scripts: Arc<Mutex<ScriptCache>>,
    pub(super) recent: RecentBlocks,
    /// Changes not yet durable; empty between calls.
    pub(super) pending: Batch,
}

impl Chain {
    /// A chain of genesis alone.
    pub(super) fn at_genesis(store: Box<dyn Store>) -> Chain {
        let (hash, block) = &*GENESIS;
        Chain {
            store,
            tree: HeaderTree::new(&block.header),
            active: vec![*hash],
            coins: CoinSet::default(),
            scripts: Arc::default(),
            recent: RecentBlocks::default(),
            pending: Batch::default(),
        }
    }

    /// The tip of the active chain.
    pub fn tip(&self) -> &HeaderEntry {
        let hash = self
            .active
            .last()
            .unwrap_or_else(|| unreachable!("holds genesis"));
        self.tree
            .get(hash)
            .unwrap_or_else(|| unreachable!("the active chain is in the tree"))
    }

    /// The body of a known block, if it is here.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError> {
        if *hash == GENESIS.0 {
            return Ok(Some(Arc::clone(&GENESIS.1)));
        }
        if !self
            .tree
            .get(hash)
            .is_some_and(|entry| entry.status.has_body())
        {
            return Ok(None);
        }
        match self
            .pending
            .blocks
            .get(hash)
            .or_else(|| self.recent.get(hash))
        {
            Some(block) => Ok(Some(Arc::clone(block))),
            None => self.store.block(hash),
        }
    }

    /// The coin that an outpoint names, after the tip.
    pub fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    /// All coins after the tip.
    pub fn coins(&self) -> &CoinSet {
        &self.coins
    }

    /// The record of transactions whose scripts are known to be good. Nodes in one process may
    /// share one, see [`Chain::share_script_cache`].
    pub fn script_cache(&self) -> &Arc<Mutex<ScriptCache>> {
        &self.scripts
    }

    /// Replaces the script cache by a shared one.
    pub fn share_script_cache(&mut self, cache: Arc<Mutex<ScriptCache>>) {
        self.scripts = cache;
    }

    /// Verifies the scripts of a transaction that spends these outputs, in the order of its
    /// inputs, under the rules of the next block; or remembers that they were.
    pub fn verify_scripts(
        &self,
        tx: &Transaction,
        wtxid: Wtxid,
        spent: &[TxOut],
    ) -> Result<(), ScriptError> {
        verify_scripts(&self.scripts, tx, wtxid, spent)
    }

    /// A body that must be here, since the tree says so.
    pub(super) fn body(&self, hash: &BlockHash) -> Result<Arc<Block>, StoreError> {
        self.block(hash)?
            .ok_or_else(|| StoreError::Damaged(format!("block {hash} is gone")))
    }

    pub(super) fn undo(&self, hash: &BlockHash) -> Result<Arc<BlockUndo>, StoreError> {
        let found = match self.pending.undos.get(hash) {
            Some(pending) => pending.clone(),
            None => self.store.undo(hash)?,
        };
        found.ok_or_else(|| StoreError::Damaged(format!("undo data of block {hash} is gone")))
    }

    /// Writes an entry as it now stands with the next batch, after those that it stands on.
    pub(super) fn note_entry(&mut self, hash: &BlockHash) {
        let mut next = *hash;
        self.write_entry(&next);
        while self.tree.note(&next)
            && let Some(entry) = self.tree.get(&next)
        {
            next = entry.parent();
            if self.tree.get(&next).is_some_and(|parent| !parent.noted) {
                self.write_entry(&next);
            }
        }
    }

    fn write_entry(&mut self, hash: &BlockHash) {
        if let Some(entry) = self.tree.get(hash) {
            let record = IndexRecord {
                header: entry.header,
                status: entry.status,
                tx_count: entry.tx_count,
                sequence: entry.sequence,
            };
            self.pending.index.insert(*hash, record);
        }
    }

    pub(super) fn apply(&mut self, change: &CoinChange) {
        self.coins.apply(change);
        let spent = change.spent.iter().map(|(outpoint, _)| (*outpoint, None));
        let created = change
            .created
            .iter()
            .map(|(outpoint, coin)| (*outpoint, Some(coin.clone())));
        self.pending.coins.extend(spent.chain(created));
    }

    pub(super) fn revert(&mut self, change: &CoinChange) {
        self.coins.revert(change);
        let created = change.created.iter().map(|(outpoint, _)| (*outpoint, None));
        let spent = change
            .spent
            .iter()
            .map(|(outpoint, coin)| (*outpoint, Some(coin.clone())));
        self.pending.coins.extend(created.chain(spent));
    }

    /// Makes everything gathered durable.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.state = Some(State {
            tip: self.tip().hash,
            coins: self.coins.len() as u64,
            muhash: self.coins.muhash().clone(),
        });
        let batch = std::mem::take(&mut self.pending);
        self.store.commit(&batch)
    }
}
