//! The chain's own data, and the bookkeeping that every change of it shares: reading bodies,
//! gathering changes into a batch, making the batch durable.

use std::sync::{Arc, Mutex};

use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Wtxid};

use super::coin::{Coin, CoinChange, CoinSet};
use super::entry::HeaderEntry;
use super::genesis::GENESIS;
use super::ledger::Ledger;
use super::named_block::NamedBlock;
use super::scripts::{ScriptCache, ScriptError, verify_scripts};
use super::storage::Storage;
use super::store::{BlockUndo, StoreError};
use super::tree::HeaderTree;

/// The ledger of one node: all known headers, the active chain, its coins.
///
/// Whatever returns `Ok` is durable. After a [`StoreError`] the chain in memory may be ahead of
/// the one on disk: the node must end, and finds a consistent chain at its next start.
pub struct Chain {
    pub(super) ledger: Arc<Ledger>,
    pub(super) storage: Box<dyn Storage>,
    pub(super) scripts: Arc<Mutex<ScriptCache>>,
    /// Whether the branch that was adopted first is never left.
    #[cfg(feature = "planted-bugs")]
    pub(super) keeps_first_branch: bool,
}

impl Chain {
    /// A chain in a state that its storage has the data of.
    pub(super) fn new(
        ledger: Arc<Ledger>,
        storage: Box<dyn Storage>,
        scripts: Arc<Mutex<ScriptCache>>,
    ) -> Chain {
        Chain {
            ledger,
            storage,
            scripts,
            #[cfg(feature = "planted-bugs")]
            keeps_first_branch: false,
        }
    }

    /// Plants a bug: from now on the branch that was adopted first is never left.
    #[cfg(feature = "planted-bugs")]
    pub fn keep_first_branch(&mut self) {
        self.keeps_first_branch = true;
    }

    /// To change the state. Where it is shared, the others keep theirs.
    pub(super) fn ledger_mut(&mut self) -> &mut Ledger {
        Arc::make_mut(&mut self.ledger)
    }

    pub(super) fn tree(&self) -> &HeaderTree {
        &self.ledger.tree
    }

    /// The tip of the active chain.
    pub fn tip(&self) -> &HeaderEntry {
        self.entry(&self.ledger.tip())
            .unwrap_or_else(|| unreachable!("the active chain is in the tree"))
    }

    /// Its hash, without looking it up.
    pub fn tip_hash(&self) -> BlockHash {
        self.ledger.tip()
    }

    /// The body of a known block, if it is here.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError> {
        if *hash == GENESIS.0 {
            return Ok(Some(Arc::clone(&GENESIS.1)));
        }
        if !self
            .entry(hash)
            .is_some_and(|entry| entry.status.has_body())
        {
            return Ok(None);
        }
        self.storage.bare_body(hash)
    }

    /// The coin that an outpoint names, after the tip.
    pub fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.ledger.coins.get(outpoint)
    }

    /// All coins after the tip.
    pub fn coins(&self) -> &CoinSet {
        &self.ledger.coins
    }

    /// The record of transactions whose scripts are known to be good. Nodes in one process may
    /// share one.
    pub fn script_cache(&self) -> &Arc<Mutex<ScriptCache>> {
        &self.scripts
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
    pub(super) fn body(&self, hash: &BlockHash) -> Result<NamedBlock, StoreError> {
        self.storage
            .body(hash)?
            .ok_or_else(|| StoreError::Damaged(format!("block {hash} is gone")))
    }

    pub(super) fn undo(&self, hash: &BlockHash) -> Result<Arc<BlockUndo>, StoreError> {
        self.storage
            .undo(hash)?
            .ok_or_else(|| StoreError::Damaged(format!("undo data of block {hash} is gone")))
    }

    /// Writes an entry as it now stands with the next batch, after those that it stands on.
    pub(super) fn note_entry(&mut self, hash: &BlockHash) {
        let mut next = *hash;
        self.write_entry(&next);
        while self.ledger_mut().tree.note(&next)
            && let Some(entry) = self.entry(&next)
        {
            next = entry.parent();
            if self.entry(&next).is_some_and(|parent| !parent.noted) {
                self.write_entry(&next);
            }
        }
    }

    fn write_entry(&mut self, hash: &BlockHash) {
        if let Some(entry) = self.ledger.tree.get(hash) {
            self.storage.keep_entry(entry);
        }
    }

    pub(super) fn apply(&mut self, change: &CoinChange) {
        self.ledger_mut().coins.apply(change);
        self.storage.keep_coins(change);
    }

    /// Makes everything gathered durable.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        self.storage.flush(self.ledger.tip(), &self.ledger.coins)
    }
}
