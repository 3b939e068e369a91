//! The chain that nodes begin with: some blocks whose coinbases anyone may spend.

use std::cell::RefCell;
use std::sync::Arc;

use bitcoin::ScriptBuf;
use bitcoin::opcodes::OP_TRUE;
use peerlab_node::chain::{CachedChain, SharedChainCache, template};
use peerlab_node::io::Time;
use peerlab_node::mempool::Mempool;

/// Blocks; the coinbases of the first ten are mature.
const BLOCKS: u32 = 110;
/// When the first is mined (in 2020), and the time from one to the next.
const BEGIN_SECS: u32 = 1_600_000_000;
const SPACING_SECS: u32 = 600;
/// Chains share all that any of them has seen: after so many, anew.
const FORKS_MAX: u32 = 5_000;

thread_local! {
    static BEGUN: RefCell<Option<(CachedChain, u32)>> = const { RefCell::new(None) };
}

/// When the last block is mined.
pub fn now() -> Time {
    Time::from_unix_secs(BEGIN_SECS + BLOCKS * SPACING_SECS)
}

/// A chain of its own.
pub fn begun() -> CachedChain {
    BEGUN.with_borrow_mut(|begun| {
        if begun.as_ref().is_some_and(|(_, forks)| *forks >= FORKS_MAX) {
            *begun = None;
        }
        let (chain, forks) = begun.get_or_insert_with(|| (mined(), 0));
        *forks += 1;
        chain.fork()
    })
}

fn mined() -> CachedChain {
    let mut chain = CachedChain::new(&SharedChainCache::new());
    let anyone = ScriptBuf::from_bytes(vec![OP_TRUE.to_u8()]);
    for height in 1..=BLOCKS {
        let secs = BEGIN_SECS + height * SPACING_SECS;
        let template = Mempool::new().template(&chain, anyone.clone(), u64::from(height));
        let mut block = template.assemble(&chain, secs);
        assert!(template::mine(&mut block));
        let accepted = chain.accept_block(secs, Arc::new(block));
        assert!(accepted.is_ok(), "{accepted:?}");
    }
    chain
}
