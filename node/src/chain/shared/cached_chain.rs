//! A chain that takes blocks and headers in by looking up what came of them in the same state
//! elsewhere, where there is a [`SharedChainCache`]; where there is none, the chain alone.

use std::ops::Deref;
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};

use super::cache::SharedChainCache;
use crate::chain::activate::{BlockAccepted, HeadersAccepted};
use crate::chain::core::Chain;
use crate::chain::error::{BlockError, HeaderError};
use crate::chain::header_check::is_too_new;
use crate::chain::import::{ImportError, Imported};
use crate::chain::ledger::Ledger;
use crate::chain::open::parents_first;
use crate::chain::storage::Storage;
use crate::chain::store::IndexRecord;

/// A chain, asked as [`Chain`] is and changed here only, so that equal states stay one.
pub struct CachedChain {
    chain: Chain,
    cache: Option<SharedChainCache>,
}

impl From<Chain> for CachedChain {
    /// With no cache.
    fn from(chain: Chain) -> CachedChain {
        CachedChain { chain, cache: None }
    }
}

impl Deref for CachedChain {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.chain
    }
}

impl CachedChain {
    /// A chain of genesis alone whose bodies and states are shared with all others of the same
    /// cache. Nothing of it is on any disk.
    pub fn new(cache: &SharedChainCache) -> CachedChain {
        let mut ledger = Ledger::at_genesis();
        cache.intern(&mut ledger);
        CachedChain::in_state(ledger, cache)
    }

    fn in_state(ledger: Arc<Ledger>, cache: &SharedChainCache) -> CachedChain {
        CachedChain {
            chain: Chain::new(ledger, Box::new(cache.clone()), cache.scripts()),
            cache: Some(cache.clone()),
        }
    }

    /// A second chain in the same state, for another node; it costs next to nothing.
    ///
    /// # Panics
    /// If this chain has a store of its own ([`Chain::open`]): that cannot be copied.
    pub fn fork(&self) -> CachedChain {
        CachedChain::in_state(Arc::clone(&self.chain.ledger), self.expect_cache())
    }

    /// The chain that a node finds after its process was killed and started again: all that is
    /// durable, so everything but headers that neither had a body nor carried one.
    ///
    /// # Panics
    /// As [`CachedChain::fork`].
    pub fn reopened(&self) -> CachedChain {
        let mut chain = self.fork();
        let cache = self.expect_cache();
        let from = self.chain.ledger.fingerprint;
        if let Some(known) = cache.reopened(from) {
            chain.chain.ledger = known;
            return chain;
        }
        chain.chain.ledger = restarted(&self.chain.ledger);
        cache.intern(&mut chain.chain.ledger);
        cache.keep_reopened(from, &chain.chain.ledger);
        chain
    }

    fn expect_cache(&self) -> &SharedChainCache {
        match &self.cache {
            Some(cache) => cache,
            None => panic!("a chain with a store of its own cannot be copied"),
        }
    }

    /// The cache that it shares, if it does.
    pub fn cache(&self) -> Option<&SharedChainCache> {
        self.cache.as_ref()
    }

    /// Names the state in memory: chains that live at the same time and have the same name hold
    /// the very same state.
    pub fn state_name(&self) -> usize {
        Arc::as_ptr(&self.chain.ledger) as usize
    }

    /// The hash of a header, which nodes of one cache compute once.
    pub fn hash_of(&self, header: &Header) -> BlockHash {
        match &self.cache {
            Some(cache) => cache.hash_of(header),
            None => header.block_hash(),
        }
    }

    /// See [`Chain::accept_block`].
    pub fn accept_block(
        &mut self,
        unix_secs: u32,
        block: Arc<Block>,
    ) -> Result<BlockAccepted, BlockError> {
        let CachedChain { chain, cache } = self;
        let Some(cache) = cache else {
            return chain.accept_block(unix_secs, block);
        };
        let hash = cache.hash_of(&block.header);
        let from = chain.ledger.fingerprint;
        // Only a body that was found sound before is named by its hash.
        let clock_matters = is_too_new(&block.header, unix_secs);
        // What a chain with a bug makes of a block is not what others make of it.
        #[cfg(feature = "planted-bugs")]
        let clock_matters = clock_matters || chain.keeps_first_branch;
        if !clock_matters
            && let Some((to, outcome)) = cache.block_transition(from, hash)
            && cache.has_body(&hash, &block)
        {
            chain.ledger = to;
            return outcome;
        }
        let outcome = chain.accept_named_block(unix_secs, hash, Arc::clone(&block));
        cache.intern(&mut chain.ledger);
        if !clock_matters && cache.has_body(&hash, &block) {
            cache.keep_block_transition(from, hash, &chain.ledger, &outcome);
        }
        outcome
    }

    /// See [`Chain::accept_headers`].
    pub fn accept_headers(
        &mut self,
        unix_secs: u32,
        headers: &[Header],
    ) -> Result<HeadersAccepted, HeaderError> {
        let CachedChain { chain, cache } = self;
        let Some(cache) = cache else {
            return chain.accept_headers(unix_secs, headers);
        };
        let [header] = headers else {
            let outcome = chain.accept_headers(unix_secs, headers);
            cache.intern(&mut chain.ledger);
            return outcome;
        };
        let from = chain.ledger.fingerprint;
        let hash = cache.hash_of(header);
        if let Some(known) = chain.entry(&hash)
            && !known.status.is_invalid()
        {
            // As it would come out below, by far the most often: every peer announces it.
            return Ok(HeadersAccepted {
                new: 0,
                last: Some(known.hash),
                best_changed: false,
            });
        }
        let clock_matters = is_too_new(header, unix_secs);
        if !clock_matters && let Some((to, outcome)) = cache.header_transition(from, hash) {
            chain.ledger = to;
            return outcome;
        }
        let outcome = chain.accept_headers(unix_secs, headers);
        cache.intern(&mut chain.ledger);
        if !clock_matters {
            cache.keep_header_transition(from, hash, &chain.ledger, &outcome);
        }
        outcome
    }

    /// See [`Chain::import`].
    pub fn import<E>(
        &mut self,
        unix_secs: u32,
        source: impl IntoIterator<Item = Result<Block, E>>,
    ) -> Result<Imported, ImportError<E>> {
        let imported = self.chain.import(unix_secs, source);
        if let Some(cache) = &self.cache {
            cache.intern(&mut self.chain.ledger);
        }
        imported
    }

    /// See [`Chain::keep_first_branch`].
    #[cfg(feature = "planted-bugs")]
    pub fn keep_first_branch(&mut self) {
        self.chain.keep_first_branch();
    }
}

/// A state as it is put back from what a store would have kept of it.
fn restarted(ledger: &Ledger) -> Arc<Ledger> {
    let noted = ledger.tree.iter().filter(|entry| entry.noted);
    let index = noted
        .filter(|entry| entry.height > 0)
        .map(|entry| (entry.hash, IndexRecord::of(entry)))
        .collect();
    let mut fresh = Ledger::at_genesis();
    let state = Arc::make_mut(&mut fresh);
    for hash in parents_first(&index) {
        state.tree.restore(hash, &index[&hash]);
    }
    state.set_active(ledger.active().clone());
    state.coins = ledger.coins.clone();
    state.tree.prune_candidates(&ledger.tip());
    fresh
}
