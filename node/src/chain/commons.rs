//! What the chains of many nodes in one process have in common, stored and computed once: bodies
//! and undo data by hash, ledger states that are equal, and what a block or header does to a state.
//!
//! When thousands of nodes in one state take in the same block, the first validates it; the others
//! find here what came of it, and hold the same state afterwards. What a node does is never changed
//! by that: an answer is kept only for what it is a function of, namely the state (by its
//! [`Fingerprint`]) and the block. The clock is no part of it, so whatever a clock could decide is
//! computed anew (see [`super::shared`]).
//!
//! Bounded: bodies and undo data are the ledger itself and stay; every other table forgets its older
//! half when it is full, and holds states and moves by weak references, so that a state dies with
//! the last node that is in it. To forget costs a computation, no more.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};

use super::activate::{BlockAccepted, HeadersAccepted};
use super::coin::CoinSet;
use super::core::GENESIS;
use super::error::{BlockError, HeaderError};
use super::fingerprint::{Fingerprint, fold};
use super::ledger::Ledger;
use super::named_block::NamedBlock;
use super::scripts::ScriptCache;
use super::store::BlockUndo;

/// States, and moves between them, of which half are remembered at least: with a hundred classes of
/// nodes that saw forks differently, some forty blocks' worth.
const MOVES_MAX: usize = 4_096;
/// Coin sets remembered by their tip. Each holds on to what differs from its neighbours, so few:
/// the tips of all branches that are alive, and a margin.
const COIN_SETS_MAX: usize = 64;
/// Headers whose hash is remembered, some 200 bytes each.
const HEADERS_MAX: usize = 4_096;

/// What came of a block, and what it made of the state.
type BlockMove = (Weak<Ledger>, Result<BlockAccepted, BlockError>);
/// The same of a header.
type HeaderMove = (Weak<Ledger>, Result<HeadersAccepted, HeaderError>);

/// What chains have in common. Cheap to copy; every copy is the same. Several threads may use one,
/// and wait for each other; or each has its own, since nothing but time and memory depends on it.
#[derive(Clone, Default)]
pub struct Commons(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    bodies: FoldMap<BlockHash, NamedBlock>,
    undos: FoldMap<BlockHash, Arc<BlockUndo>>,
    scripts: Arc<Mutex<ScriptCache>>,
    header_hashes: Generations<Header, BlockHash, HEADERS_MAX>,
    states: Generations<Fingerprint, Weak<Ledger>, MOVES_MAX>,
    block_moves: Generations<(Fingerprint, BlockHash), BlockMove, MOVES_MAX>,
    header_moves: Generations<(Fingerprint, BlockHash), HeaderMove, MOVES_MAX>,
    reopened: Generations<Fingerprint, Weak<Ledger>, MOVES_MAX>,
    coins: Generations<BlockHash, CoinSet, COIN_SETS_MAX>,
    computed: u64,
}

impl Commons {
    /// Empty.
    pub fn new() -> Commons {
        Commons::default()
    }

    /// How many moves of a chain were really computed, not found here.
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

    pub(super) fn body(&self, hash: &BlockHash) -> Option<NamedBlock> {
        self.tables().bodies.get(hash).cloned()
    }

    /// Whether this very body was found sound in itself before. A body of the same header that was
    /// tampered with is another one.
    pub(super) fn sound(&self, hash: &BlockHash, block: &Arc<Block>) -> Option<NamedBlock> {
        let known = self.body(hash)?;
        let same = Arc::ptr_eq(known.block(), block) || **known.block() == **block;
        same.then_some(known)
    }

    pub(super) fn keep_body(&self, block: NamedBlock) {
        self.tables().bodies.entry(block.hash()).or_insert(block);
    }

    pub(super) fn undo(&self, hash: &BlockHash) -> Option<Arc<BlockUndo>> {
        self.tables().undos.get(hash).cloned()
    }

    pub(super) fn keep_undo(&self, hash: BlockHash, undo: Arc<BlockUndo>) {
        self.tables().undos.entry(hash).or_insert(undo);
    }

    /// The coins after a block that was connected somewhere. They follow from the block alone,
    /// since it names its whole past.
    pub(super) fn coins_after(&self, hash: &BlockHash) -> Option<CoinSet> {
        self.tables().coins.get(hash).cloned()
    }

    pub(super) fn keep_coins_after(&self, hash: BlockHash, coins: CoinSet) {
        self.tables().coins.insert(hash, coins);
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
    pub(super) fn block_move(
        &self,
        from: Fingerprint,
        hash: BlockHash,
    ) -> Option<(Arc<Ledger>, Result<BlockAccepted, BlockError>)> {
        let mut tables = self.tables();
        let (to, outcome) = tables.block_moves.get(&(from, hash))?;
        Some((to.upgrade()?, outcome.clone()))
    }

    pub(super) fn keep_block_move(
        &self,
        from: Fingerprint,
        hash: BlockHash,
        to: &Arc<Ledger>,
        outcome: &Result<BlockAccepted, BlockError>,
    ) {
        let mut tables = self.tables();
        tables.computed += 1;
        let entry = (Arc::downgrade(to), outcome.clone());
        tables.block_moves.insert((from, hash), entry);
    }

    /// What a header does in a state, as [`Commons::block_move`].
    pub(super) fn header_move(
        &self,
        from: Fingerprint,
        hash: BlockHash,
    ) -> Option<(Arc<Ledger>, Result<HeadersAccepted, HeaderError>)> {
        let mut tables = self.tables();
        let (to, outcome) = tables.header_moves.get(&(from, hash))?;
        Some((to.upgrade()?, outcome.clone()))
    }

    pub(super) fn keep_header_move(
        &self,
        from: Fingerprint,
        hash: BlockHash,
        to: &Arc<Ledger>,
        outcome: &Result<HeadersAccepted, HeaderError>,
    ) {
        let mut tables = self.tables();
        tables.computed += 1;
        let entry = (Arc::downgrade(to), outcome.clone());
        tables.header_moves.insert((from, hash), entry);
    }

    /// What is left of a state after a new start, as [`Commons::block_move`].
    pub(super) fn reopened(&self, from: Fingerprint) -> Option<Arc<Ledger>> {
        self.tables().reopened.get(&from)?.upgrade()
    }

    pub(super) fn keep_reopened(&self, from: Fingerprint, to: &Arc<Ledger>) {
        self.tables().reopened.insert(from, Arc::downgrade(to));
    }

    /// The state of a chain of genesis alone.
    pub(super) fn genesis(&self) -> Arc<Ledger> {
        let (hash, block) = &*GENESIS;
        let mut ledger = Ledger::at_genesis(&block.header, *hash);
        self.intern(&mut ledger);
        ledger
    }
}

/// A table of bounded size. When its younger half is full, the older half is forgotten; what is
/// asked for becomes young again.
struct Generations<K, V, const MAX: usize> {
    young: FoldMap<K, V>,
    old: FoldMap<K, V>,
}

impl<K, V, const MAX: usize> Default for Generations<K, V, MAX> {
    fn default() -> Self {
        Generations {
            young: FoldMap::default(),
            old: FoldMap::default(),
        }
    }
}

impl<K: Hash + Eq + Copy, V, const MAX: usize> Generations<K, V, MAX> {
    fn get(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.insert(*key, value);
        }
        self.young.get(key)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// A hash map whose hasher is the same in every process, unlike the standard library's. Keys here are
/// hashes already, or hold some: a multiplication a word is enough.
#[expect(
    clippy::disallowed_types,
    reason = "the one alias, with a hasher of its own"
)]
type FoldMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FoldHasher>>;

#[derive(Default)]
struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, 0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_at_least_its_younger_half_and_what_is_asked_for() {
        let mut table = Generations::<u64, u64, 64>::default();
        for n in 0..10_000 {
            table.insert(n, n);
            assert_eq!(table.get(&0), Some(&0));
            assert!(table.young.len() + table.old.len() <= 64);
        }
        assert!((9_970..10_000).all(|n| table.get(&n) == Some(&n)));
        assert_eq!(table.get(&5_000), None);
    }
}
