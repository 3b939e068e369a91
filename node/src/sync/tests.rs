//! The sub-protocol alone: what it sends, and what it notes for others.

use std::sync::Arc;

use super::Sync;
use crate::chain::fixture::Ledger;
use crate::context::Fact;
use crate::context::samples::{context, ready_peer, take_facts, take_sent};

#[test]
fn a_block_is_noted_before_anything_follows_from_it() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    let hash = block.block_hash();
    let mut ctx = context(ledger);
    let mut sync = Sync::new(&ctx.config);
    let peer = ready_peer(&mut ctx, 1);
    sync.received_block(&mut ctx, peer, Arc::new(block));
    assert_eq!(ctx.chain.tip_hash(), hash);
    assert!(take_sent(&mut ctx).is_empty(), "others hear of it first");
    let facts = take_facts(&mut ctx);
    let [
        Fact::BlockAccepted {
            from,
            hash: noted,
            accepted,
        },
    ] = &facts[..]
    else {
        panic!("{facts:?}");
    };
    assert_eq!((*from, *noted, accepted.connected.len()), (peer, hash, 1));
}

#[test]
fn who_sends_headers_that_connect_to_nothing_again_and_again_has_misbehaved() {
    let mut ledger = Ledger::new();
    ledger.mine(2);
    let orphan = ledger.block(Vec::new()).header;
    let mut ctx = context(Ledger::new());
    ctx.now = crate::io::Time::from_unix_secs(ledger.now);
    let mut sync = Sync::new(&ctx.config);
    let peer = ready_peer(&mut ctx, 1);
    for _ in 0..10 {
        sync.received_headers(&mut ctx, peer, &[orphan]);
        assert!(take_facts(&mut ctx).is_empty());
    }
    sync.received_headers(&mut ctx, peer, &[orphan]);
    let facts = take_facts(&mut ctx);
    assert!(
        matches!(facts[..], [Fact::PeerMisbehaved(a), Fact::PeerClosing(b)] if a == peer && b == peer)
    );
}
