//! Chains that share a [`Commons`]: how they begin, are copied and start again, and how they take in
//! blocks and headers by looking up what came of these elsewhere.

use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};

use super::activate::{BlockAccepted, HeadersAccepted};
use super::commons::Commons;
use super::core::Chain;
use super::error::{BlockError, HeaderError};
use super::header_check::is_too_new;
use super::keeper::Keeper;
use super::ledger::Ledger;
use super::open::parents_first;
use super::store::IndexRecord;

impl Chain {
    /// A chain of genesis alone whose bodies and states are shared with all others of the same
    /// commons. Nothing of it is on any disk.
    pub fn in_common(commons: &Commons) -> Chain {
        Chain {
            ledger: commons.genesis(),
            scripts: commons.scripts(),
            keeper: Keeper::Common(commons.clone()),
            #[cfg(feature = "planted-bugs")]
            keeps_first_branch: false,
        }
    }

    /// A second chain in the same state, for another node; it costs next to nothing.
    ///
    /// # Panics
    /// If this chain has a store of its own ([`Chain::open`]): that cannot be copied.
    pub fn fork(&self) -> Chain {
        let commons = self.expect_commons();
        Chain {
            ledger: Arc::clone(&self.ledger),
            scripts: Arc::clone(&self.scripts),
            keeper: Keeper::Common(commons.clone()),
            #[cfg(feature = "planted-bugs")]
            keeps_first_branch: self.keeps_first_branch,
        }
    }

    /// The chain that a node finds after its process was killed and started again: all that is
    /// durable, so everything but headers that neither had a body nor carried one.
    ///
    /// # Panics
    /// As [`Chain::fork`].
    pub fn reopened(&self) -> Chain {
        let mut chain = self.fork();
        let commons = self.expect_commons();
        let from = self.ledger.fingerprint;
        if let Some(known) = commons.reopened(from) {
            chain.ledger = known;
            return chain;
        }
        chain.ledger = restarted(&self.ledger);
        chain.share_state();
        commons.keep_reopened(from, &chain.ledger);
        chain
    }

    fn expect_commons(&self) -> &Commons {
        match self.keeper.commons() {
            Some(commons) => commons,
            None => panic!("a chain with a store of its own cannot be copied"),
        }
    }

    /// Names the state in memory: chains that live at the same time and have the same name hold
    /// the very same state.
    pub fn state_name(&self) -> usize {
        Arc::as_ptr(&self.ledger) as usize
    }

    /// The commons that it shares, if it does.
    pub fn commons(&self) -> Option<&Commons> {
        self.keeper.commons()
    }

    /// The hash of a header, which nodes of one commons compute once.
    pub fn hash_of(&self, header: &Header) -> BlockHash {
        match self.keeper.commons() {
            Some(commons) => commons.hash_of(header),
            None => header.block_hash(),
        }
    }

    /// [`Chain::accept_block`] for a chain with commons.
    pub(super) fn accept_shared_block(
        &mut self,
        commons: &Commons,
        unix_secs: u32,
        hash: BlockHash,
        block: Arc<Block>,
    ) -> Result<BlockAccepted, BlockError> {
        let from = self.ledger.fingerprint;
        // Only a body that was found sound before is named by its hash.
        let clock_matters = is_too_new(&block.header, unix_secs);
        // What a chain with a bug makes of a block is not what others make of it.
        #[cfg(feature = "planted-bugs")]
        let clock_matters = clock_matters || self.keeps_first_branch;
        if !clock_matters
            && let Some((to, outcome)) = commons.block_move(from, hash)
            && commons.sound(&hash, &block).is_some()
        {
            self.ledger = to;
            return outcome;
        }
        let outcome = self.stage_block(unix_secs, hash, Arc::clone(&block));
        self.settle()?;
        if !clock_matters && commons.sound(&hash, &block).is_some() {
            commons.keep_block_move(from, hash, &self.ledger, &outcome);
        }
        outcome
    }

    /// [`Chain::accept_headers`] of one header for a chain with commons.
    pub(super) fn accept_shared_header(
        &mut self,
        commons: &Commons,
        unix_secs: u32,
        header: &Header,
    ) -> Result<HeadersAccepted, HeaderError> {
        let from = self.ledger.fingerprint;
        let hash = commons.hash_of(header);
        if let Some(known) = self.entry(&hash).filter(|known| !known.status.is_invalid()) {
            // As it would come out below, by far the most often: every peer tells of it.
            return Ok(HeadersAccepted {
                new: 0,
                last: Some(known.hash),
                best_changed: false,
            });
        }
        if is_too_new(header, unix_secs) {
            let outcome = self.stage_headers(unix_secs, std::slice::from_ref(header));
            self.share_state();
            return outcome;
        }
        if let Some((to, outcome)) = commons.header_move(from, hash) {
            self.ledger = to;
            return outcome;
        }
        let outcome = self.stage_headers(unix_secs, std::slice::from_ref(header));
        self.share_state();
        commons.keep_header_move(from, hash, &self.ledger, &outcome);
        outcome
    }

    /// A state has come to rest: from now on it is the one that all equal ones are.
    pub(super) fn share_state(&mut self) {
        if let Some(commons) = self.keeper.commons() {
            commons.intern(&mut self.ledger);
        }
    }
}

/// A state as it is put back from what a store would have kept of it.
fn restarted(ledger: &Ledger) -> Arc<Ledger> {
    let noted = ledger.tree.iter().filter(|entry| entry.noted);
    let index = noted
        .filter(|entry| entry.height > 0)
        .map(|entry| (entry.hash, IndexRecord::of(entry)))
        .collect();
    let (hash, block) = &*super::core::GENESIS;
    let mut fresh = Ledger::at_genesis(&block.header, *hash);
    let state = Arc::make_mut(&mut fresh);
    for hash in parents_first(&index) {
        state.tree.restore(hash, &index[&hash]);
    }
    state.set_active(ledger.active().clone());
    state.coins = ledger.coins.clone();
    state.tree.prune_candidates(&ledger.tip());
    fresh
}
