//! The sub-protocol alone: what it sends, and what it notes for others.

use bitcoin::p2p::message_blockdata::Inventory;

use super::{Relay, TxName};
use crate::chain::fixture::Ledger;
use crate::context::samples::{context, ready_peer, take_facts, take_sent};
use crate::context::{Context, Fact};
use crate::io::PeerId;
use crate::wire::{Message, NamedTransaction};

/// A node with two peers, and a transaction that pays this fee.
fn node(fee: u64) -> (Context, Relay, [PeerId; 2], NamedTransaction) {
    let (ledger, coins) = Ledger::with_mature(1);
    let tx = NamedTransaction::of(std::sync::Arc::new(ledger.spend(&coins, fee)));
    let mut ctx = context(ledger);
    let mut relay = Relay::new();
    let peers = [1, 2].map(|n| ready_peer(&mut ctx, n));
    peers.iter().for_each(|id| relay.begin(&mut ctx, *id));
    (ctx, relay, peers, tx)
}

/// Whom the transaction was asked of.
fn asked(ctx: &mut Context, tx: &NamedTransaction) -> Vec<PeerId> {
    let wanted = [Inventory::WTx(tx.wtxid())];
    let asks = |message: &Message| matches!(message, Message::GetData(list) if **list == wanted);
    let sent = take_sent(ctx).into_iter();
    sent.filter(|(_, message)| asks(message))
        .map(|(id, _)| id)
        .collect()
}

#[test]
fn a_transaction_is_asked_of_one_announcer_and_of_the_next_once_that_one_is_released() {
    let (mut ctx, mut relay, [first, second], tx) = node(1_000);
    for id in [first, second] {
        relay.received_tx_inv(&mut ctx, id, &[TxName::Wtxid(tx.wtxid())]);
    }
    assert_eq!(asked(&mut ctx, &tx), [first]);
    ctx.disconnect(first, "story");
    assert_eq!(asked(&mut ctx, &tx), [], "it is for the machine to say so");
    assert!(matches!(take_facts(&mut ctx)[..], [Fact::PeerClosing(id)] if id == first));
    relay.release(&mut ctx, first);
    assert_eq!(asked(&mut ctx, &tx), [second]);
}

#[test]
fn what_the_mempool_refuses_is_noted_since_a_block_may_have_it() {
    let (mut ctx, mut relay, [first, _], tx) = node(0);
    relay.received_tx(&mut ctx, first, tx.clone());
    let facts = take_facts(&mut ctx);
    assert!(
        matches!(&facts[..], [Fact::TransactionDropped(dropped)] if dropped.txid() == tx.txid())
    );
}

#[test]
fn who_announces_to_a_node_that_wants_no_transactions_has_misbehaved() {
    let (mut ctx, mut relay, [first, _], tx) = node(1_000);
    ctx.config.relay_transactions = false;
    relay.received_tx_inv(&mut ctx, first, &[TxName::Wtxid(tx.wtxid())]);
    let facts = take_facts(&mut ctx);
    assert!(
        matches!(facts[..], [Fact::PeerMisbehaved(a), Fact::PeerClosing(b)] if a == first && b == first)
    );
    assert_eq!(asked(&mut ctx, &tx), []);
}
