//! What the chains of many nodes in one process have in common, stored and computed once: bodies
//! and undo data by hash, ledger states that are equal, and their transitions: what a block or header
//! makes of a state.
//!
//! When thousands of nodes in one state take in the same block, the first validates it; the others
//! find here what came of it, and hold the same state afterwards. What a node does is never changed
//! by that: an answer is kept only for what it is a function of, namely the state (by its
//! [`Fingerprint`]) and the block. The clock is no part of it, so whatever a clock could decide is
//! computed anew (see [`super::cached_chain`]).
//!
//! Bounded: bodies and undo data are the ledger itself and stay; every other table forgets its older
//! half when it is full, and holds states and transitions by weak references, so that a state dies
//! with the last node that is in it. To forget costs a computation, no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};

use super::generations::{FoldMap, Generations};
use crate::chain::activate::{BlockAccepted, HeadersAccepted};
use crate::chain::coin::CoinSet;
use crate::chain::error::{BlockError, HeaderError};
use crate::chain::fingerprint::Fingerprint;
use crate::chain::ledger::Ledger;
use crate::chain::named_block::NamedBlock;
use crate::chain::scripts::ScriptCache;
use crate::chain::storage::Storage;
use crate::chain::store::{BlockUndo, StoreError};

/// States, and transitions between them, of which half are remembered at least: with a hundred classes
/// of nodes that saw forks differently, some forty blocks' worth.
const TRANSITIONS_MAX: usize = 4_096;
/// Coin sets remembered by their tip. Each holds on to what differs from its neighbours, so few:
/// the tips of all branches that are alive, and a margin.
const COIN_SETS_MAX: usize = 64;
/// Headers whose hash is remembered, some 200 bytes each.
const HEADERS_MAX: usize = 4_096;

/// What came of a block, and what it made of the state.
type BlockTransition = (Weak<Ledger>, Result<BlockAccepted, BlockError>);
/// The same of a header.
type HeaderTransition = (Weak<Ledger>, Result<HeadersAccepted, HeaderError>);

/// What chains have in common. Cheap to copy; every copy is the same. Several threads may use one,
/// and wait for each other; or each has its own, since nothing but time and memory depends on it.
#[derive(Clone, Default)]
pub struct SharedChainCache(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    bodies: FoldMap<BlockHash, NamedBlock>,
    undos: FoldMap<BlockHash, Arc<BlockUndo>>,
    scripts: Arc<Mutex<ScriptCache>>,
    header_hashes: Generations<Header, BlockHash, HEADERS_MAX>,
    states: Generations<Fingerprint, Weak<Ledger>, TRANSITIONS_MAX>,
    block_transitions: Generations<(Fingerprint, BlockHash), BlockTransition, TRANSITIONS_MAX>,
    header_transitions: Generations<(Fingerprint, BlockHash), HeaderTransition, TRANSITIONS_MAX>,
    reopened: Generations<Fingerprint, Weak<Ledger>, TRANSITIONS_MAX>,
    coins: Generations<BlockHash, CoinSet, COIN_SETS_MAX>,
    computed: u64,
}

impl SharedChainCache {
    /// Empty.
    pub fn new() -> SharedChainCache {
        SharedChainCache::default()
    }

    /// How many transitions were really computed, not found here.
    pub fn computed_count(&self) -> u64 {
        self.tables().computed
    }

    /// The body of a block, if any chain took it in: sound in itself, though its place in the
    /// chain may be not. For drivers and relays that make a block from parts and would else hold a
    /// copy of it per node.
    pub fn block(&self, hash: &BlockHash) -> Option<Arc<Block>> {
        self.body(hash).map(|body| Arc::clone(body.block()))
    }

    /// A panic elsewhere leaves no table half changed, so a poisoned lock is as good as any.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn scripts(&self) -> Arc<Mutex<ScriptCache>> {
        Arc::clone(&self.tables().scripts)
    }

    pub(super) fn hash_of(&self, header: &Header) -> BlockHash {
        let mut tables = self.tables();
        if let Some(hash) = tables.header_hashes.get(header) {
            return *hash;
        }
        let hash = header.block_hash();
        tables.header_hashes.insert(*header, hash);
        hash
    }

    fn body(&self, hash: &BlockHash) -> Option<NamedBlock> {
        self.tables().bodies.get(hash).cloned()
    }

    /// Replaces a state that has come to rest by the one copy of all equal ones.
    pub(super) fn intern(&self, ledger: &mut Arc<Ledger>) {
        let print = ledger.compute_fingerprint();
        let mut tables = self.tables();
        if let Some(known) = tables.states.get(&print).and_then(Weak::upgrade) {
            *ledger = known;
            return;
        }
        if ledger.fingerprint != print {
            Arc::make_mut(ledger).fingerprint = print;
        }
        tables.states.insert(print, Arc::downgrade(ledger));
    }

    /// What a block does in a state, if that was computed before and its result still lives.
    pub(super) fn block_transition(
        &self,
        from: Fingerprint,
        hash: BlockHash,
    ) -> Option<(Arc<Ledger>, Result<BlockAccepted, BlockError>)> {
        let mut tables = self.tables();
        let (to, outcome) = tables.block_transitions.get(&(from, hash))?;
        Some((to.upgrade()?, outcome.clone()))
    }

    pub(in crate::chain) fn keep_block_transition(
        &self,
        from: Fingerprint,
        hash: BlockHash,
        to: &Arc<Ledger>,
        outcome: &Result<BlockAccepted, BlockError>,
    ) {
        let mut tables = self.tables();
        tables.computed += 1;
        let entry = (Arc::downgrade(to), outcome.clone());
        tables.block_transitions.insert((from, hash), entry);
    }

    /// What a header does in a state, as [`SharedChainCache::block_transition`].
    pub(super) fn header_transition(
        &self,
        from: Fingerprint,
        hash: BlockHash,
    ) -> Option<(Arc<Ledger>, Result<HeadersAccepted, HeaderError>)> {
        let mut tables = self.tables();
        let (to, outcome) = tables.header_transitions.get(&(from, hash))?;
        Some((to.upgrade()?, outcome.clone()))
    }

    pub(super) fn keep_header_transition(
        &self,
        from: Fingerprint,
        hash: BlockHash,
        to: &Arc<Ledger>,
        outcome: &Result<HeadersAccepted, HeaderError>,
    ) {
        let mut tables = self.tables();
        tables.computed += 1;
        let entry = (Arc::downgrade(to), outcome.clone());
        tables.header_transitions.insert((from, hash), entry);
    }

    /// What is left of a state after a new start, as [`SharedChainCache::block_transition`].
    pub(super) fn reopened(&self, from: Fingerprint) -> Option<Arc<Ledger>> {
        self.tables().reopened.get(&from)?.upgrade()
    }

    pub(super) fn keep_reopened(&self, from: Fingerprint, to: &Arc<Ledger>) {
        self.tables().reopened.insert(from, Arc::downgrade(to));
    }
}

impl Storage for SharedChainCache {
    fn body(&self, hash: &BlockHash) -> Result<Option<NamedBlock>, StoreError> {
        Ok(SharedChainCache::body(self, hash))
    }

    fn bare_body(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError> {
        Ok(self.block(hash))
    }

    fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError> {
        Ok(self.tables().undos.get(hash).cloned())
    }

    fn keep_body(&mut self, block: NamedBlock) {
        self.tables().bodies.entry(block.hash()).or_insert(block);
    }

    fn keep_undo(&mut self, hash: BlockHash, undo: Arc<BlockUndo>) {
        self.tables().undos.entry(hash).or_insert(undo);
    }

    /// A body of the same header that was tampered with is another one.
    fn has_body(&self, hash: &BlockHash, block: &Arc<Block>) -> bool {
        SharedChainCache::body(self, hash)
            .is_some_and(|known| Arc::ptr_eq(known.block(), block) || **known.block() == **block)
    }

    fn coins_after(&self, hash: &BlockHash) -> Option<CoinSet> {
        self.tables().coins.get(hash).cloned()
    }

    fn keep_coins_after(&mut self, hash: BlockHash, coins: &CoinSet) {
        self.tables().coins.insert(hash, coins.clone());
    }
}
