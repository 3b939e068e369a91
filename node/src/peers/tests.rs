//! The sub-protocol alone: what it sends, and what it notes for others.

use std::net::SocketAddr;

use super::Peers;
use crate::chain::fixture::Ledger;
use crate::context::Fact;
use crate::context::samples::{context, take_facts, take_sent, version};
use crate::io::PeerId;
use crate::wire::Command;

#[test]
fn a_handshake_sends_nothing_of_headers_or_transactions_but_notes_that_it_is_done() {
    let mut ctx = context(Ledger::new());
    let mut peers = Peers::new(&ctx.config);
    let (id, addr) = (PeerId(1), SocketAddr::from(([10, 0, 0, 1], 50_000)));
    peers.connected(&mut ctx, id, addr, true);
    let version = version(&ctx);
    peers.received_version(&mut ctx, id, version);
    assert!(take_facts(&mut ctx).is_empty());
    peers.received_verack(&mut ctx, id);
    let sent = take_sent(&mut ctx).into_iter();
    let sent: Vec<_> = sent.map(|(_, message)| message.command()).collect();
    use Command::{SendAddrV2, Verack, Version, WtxidRelay};
    assert_eq!(sent, [Version, WtxidRelay, SendAddrV2, Verack]);
    assert!(matches!(take_facts(&mut ctx)[..], [Fact::PeerReady(ready)] if ready == id));
}

#[test]
fn a_second_connection_of_the_same_moment_is_closed_before_it_takes_part() {
    let mut ctx = context(Ledger::new());
    ctx.config.listen_port = Some(18_444);
    let mut peers = Peers::new(&ctx.config);
    let ids = [PeerId(1), PeerId(2)];
    for (id, inbound) in ids.into_iter().zip([true, false]) {
        let addr = SocketAddr::from(([10, 0, 0, 1], if inbound { 50_000 } else { 18_444 }));
        peers.connected(&mut ctx, id, addr, inbound);
        let mut version = version(&ctx);
        version.receiver = SocketAddr::from(([10, 0, 0, 2], 18_444));
        version.nonce = id.0;
        peers.received_version(&mut ctx, id, version);
        peers.received_verack(&mut ctx, id);
    }
    let facts = take_facts(&mut ctx);
    // Ours is the higher address: the one that the other opened is kept.
    assert!(matches!(facts[..], [Fact::PeerReady(a), Fact::PeerClosing(b)] if [a, b] == ids));
}
