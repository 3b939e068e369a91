//! The chain's own data, and the bookkeeping that every change of it shares: reading bodies,
//! gathering changes into a batch, making the batch durable.

use std::sync::{Arc, LazyLock, Mutex};

use bitcoin::constants::genesis_block;
use bitcoin::params::Params;
use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Wtxid};

use super::coin::{Coin, CoinChange, CoinSet};
use super::entry::HeaderEntry;
use super::keeper::Keeper;
use super::ledger::Ledger;
use super::named_block::NamedBlock;
use super::scripts::{ScriptCache, ScriptError, verify_scripts};
use super::store::{BlockUndo, Store, StoreError};
use super::tree::HeaderTree;

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
    pub(super) ledger: Arc<Ledger>,
    pub(super) keeper: Keeper,
    pub(super) scripts: Arc<Mutex<ScriptCache>>,
    /// Whether the branch that was adopted first is never left.
    #[cfg(feature = "planted-bugs")]
    pub(super) keeps_first_branch: bool,
}

impl Chain {
    /// A chain of genesis alone, in a store of its own.
    pub(super) fn at_genesis(store: Box<dyn Store>) -> Chain {
        let (hash, block) = &*GENESIS;
        Chain {
            ledger: Ledger::at_genesis(&block.header, *hash),
            keeper: Keeper::of_store(store),
            scripts: Arc::default(),
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
        self.keeper.bare_body(hash)
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
    pub(super) fn body(&self, hash: &BlockHash) -> Result<NamedBlock, StoreError> {
        self.keeper
            .body(hash)?
            .ok_or_else(|| StoreError::Damaged(format!("block {hash} is gone")))
    }

    pub(super) fn undo(&self, hash: &BlockHash) -> Result<Arc<BlockUndo>, StoreError> {
        self.keeper
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
            self.keeper.keep_entry(entry);
        }
    }

    pub(super) fn apply(&mut self, change: &CoinChange) {
        self.ledger_mut().coins.apply(change);
        self.keeper.keep_coins(change, false);
    }

    pub(super) fn revert(&mut self, change: &CoinChange) {
        self.ledger_mut().coins.revert(change);
        self.keeper.keep_coins(change, true);
    }

    /// Makes everything gathered durable; where states are shared, shares this one.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        self.share_state();
        self.keeper.flush(self.ledger.tip(), &self.ledger.coins)
    }
}
