//! A context with connections, for the tests of one sub-protocol alone.

use std::net::SocketAddr;

use bitcoin::p2p::ServiceFlags;

use super::{Config, ConnectionKind, Context, Fact, Handshake, Peer};
use crate::chain::fixture::Ledger;
use crate::io::{Output, PeerId, Time};
use crate::mempool::Mempool;
use crate::wire::{Message, Version};

/// A node with this ledger and no connection.
pub(crate) fn context(ledger: Ledger) -> Context {
    let now = Time::from_unix_secs(ledger.now);
    Context::new(
        Config::default(),
        ledger.chain.into(),
        Mempool::new(),
        1,
        now,
    )
}

/// What a full node says of itself.
pub(crate) fn version(ctx: &Context) -> Version {
    let addr = SocketAddr::from(([10, 0, 0, 1], 18_444));
    Version {
        protocol: 70_016,
        services: (ServiceFlags::NETWORK | ServiceFlags::WITNESS).to_u64(),
        time_secs: i64::from(ctx.now.unix_secs()),
        receiver_services: 0,
        receiver: addr,
        sender: addr,
        nonce: 1,
        user_agent: "/samples/".into(),
        start_height: 0,
        relay: true,
    }
}

/// A connection that this node opened and whose handshake is done.
pub(crate) fn ready_peer(ctx: &mut Context, n: u8) -> PeerId {
    let id = PeerId(u64::from(n));
    let addr = SocketAddr::from(([10, 0, 0, n], 18_444));
    let mut peer = Peer::new(id, addr, ConnectionKind::Automatic, 0, ctx.now);
    peer.handshake = Handshake::Ready;
    peer.transactions.wanted = true;
    peer.transactions.by_wtxid = true;
    peer.introduced(version(ctx));
    ctx.peers.insert(peer);
    id
}

/// What was sent since the last call.
pub(crate) fn take_sent(ctx: &mut Context) -> Vec<(PeerId, Message)> {
    let outputs = std::mem::take(&mut ctx.outputs).into_iter();
    let sent = outputs.filter_map(|output| match output {
        Output::Send { peer, message } => Some((peer, message)),
        _ => None,
    });
    sent.collect()
}

/// What was found since the last call.
pub(crate) fn take_facts(ctx: &mut Context) -> Vec<Fact> {
    std::iter::from_fn(|| ctx.next_fact()).collect()
}
