//! The beginning of a connection: `version`, what both want, `verack`; and the connection's end.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use bitcoin::p2p::ServiceFlags;

use super::Peers;
use super::core::services;
use super::eviction::{self, Candidate};
use super::gossip::own_addr_for;
use crate::context::{ConnectionKind, Context, Fact, Handshake, Peer};
use crate::io::{Event, Output, PeerId};
use crate::wire::{Message, Version};

/// What this node speaks: 70016 has BIP130, BIP133, BIP152, BIP155 and BIP339.
pub const PROTOCOL_VERSION: u32 = 70_016;
/// Older peers are let go. They would need ways of speaking that nobody tests any more.
const PROTOCOL_VERSION_MIN: u32 = 70_016;

/// Connections between the same two nodes that were opened within this were dialled at the same
/// moment. A later one means that the other end has lost the earlier.
const SAME_MOMENT: Duration = Duration::from_secs(3);

impl Peers {
    /// A connection is open.
    pub(crate) fn connected(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        addr: SocketAddr,
        inbound: bool,
    ) {
        if ctx.peers.contains_key(&id) {
            return;
        }
        let kind = if inbound {
            ConnectionKind::Inbound
        } else {
            self.dialer.opened(&addr)
        };
        let refusal = self.refusal(ctx, addr, kind);
        let nonce = ctx.randomness.u64();
        ctx.peers.insert(Peer::new(id, addr, kind, nonce, ctx.now));
        if let Some(reason) = refusal {
            ctx.disconnect(id, reason);
        } else if !inbound {
            send_version(ctx, id);
        }
    }

    /// Why a new connection is not wanted.
    fn refusal(
        &mut self,
        ctx: &mut Context,
        addr: SocketAddr,
        kind: ConnectionKind,
    ) -> Option<&'static str> {
        if self.bans.is_banned(addr.ip(), ctx.now) {
            return Some("banned");
        }
        if !kind.is_inbound() {
            return None;
        }
        if self.unwelcome.contains(addr.ip(), ctx.now) {
            return Some("misbehaved lately");
        }
        let inbound = ctx
            .peers
            .values()
            .filter(|p| p.kind.is_inbound() && !p.closing);
        let kept_free = if ctx.config.connect_only {
            0
        } else {
            ctx.config.outbound_max
        };
        let inbound_max = ctx.config.connections_max.saturating_sub(kept_free);
        if inbound.clone().count() < inbound_max {
            return None;
        }
        let candidates = inbound
            .map(|p| Candidate {
                peer: p.id,
                connected_at: p.connected_at,
                ping_min: p.ping.min,
                last_transaction: p.last_transaction.get(),
                last_block: p.last_block.get(),
                was_sent_addresses: p.gossip.answered.is_some(),
            })
            .collect();
        match eviction::select(candidates, ctx.now) {
            Some(evicted) => {
                ctx.disconnect(evicted, "evicted for a new connection");
                None
            }
            None => Some("no place for another connection"),
        }
    }

    pub(crate) fn received_version(&mut self, ctx: &mut Context, id: PeerId, version: Version) {
        let Some(peer) = ctx.peers.get(&id) else {
            return;
        };
        if peer.version.is_some() {
            // Bitcoin Core ignores a second one as well.
            return;
        }
        if peer.kind.is_inbound() && is_own_nonce(ctx, version.nonce) {
            self.own_connection(ctx, id, version.nonce);
            return;
        }
        if version.protocol < PROTOCOL_VERSION_MIN {
            ctx.disconnect(
                id,
                &format!("obsolete protocol version {}", version.protocol),
            );
            return;
        }
        let kind = peer.kind;
        let serves = ServiceFlags::from(version.services).has(services());
        if matches!(kind, ConnectionKind::Automatic | ConnectionKind::Probe) && !serves {
            self.addresses.shun(&peer.addr.clone(), ctx.now);
            ctx.disconnect(id, "does not offer the services NETWORK and WITNESS");
            return;
        }
        if kind.is_inbound() {
            send_version(ctx, id);
        }
        if let Some(peer) = ctx.peers.get_mut(&id) {
            // The port is believed, the host is where the connection comes from.
            if kind.is_inbound() {
                peer.listen_port = NonZeroU16::new(version.sender.port());
            }
            peer.time_offset_secs = version
                .time_secs
                .saturating_sub(i64::from(ctx.now.unix_secs()));
            peer.transactions.wanted = version.relay && ctx.config.relay_transactions;
            peer.handshake = Handshake::Verack;
            peer.introduced(version);
        }
        ctx.send(id, Message::WtxidRelay);
        ctx.send(id, Message::SendAddrV2);
        ctx.send(id, Message::Verack);
    }

    /// A connection to oneself: both ends go, and the address is not dialled again.
    fn own_connection(&mut self, ctx: &mut Context, inbound: PeerId, nonce: u64) {
        let dialled: Vec<_> = ctx
            .peers
            .values()
            .filter(|p| !p.kind.is_inbound() && p.our_nonce == nonce)
            .map(|p| (p.id, p.addr))
            .collect();
        for (id, addr) in dialled {
            self.note_own_addr(addr);
            self.dialer.remove(&addr);
            ctx.disconnect(id, "connected to self");
        }
        ctx.disconnect(inbound, "connected to self");
    }

    /// What is only allowed between `version` and `verack`.
    pub(crate) fn received_feature(ctx: &mut Context, id: PeerId, message: &Message) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        match peer.handshake {
            Handshake::Version => {}
            Handshake::Verack => match message {
                Message::WtxidRelay => peer.transactions.by_wtxid = true,
                _ => peer.gossip.v2 = true,
            },
            Handshake::Ready => {
                let reason = format!("{} after verack", message.command().name());
                ctx.misbehaved(id, &reason);
            }
        }
    }

    pub(crate) fn received_verack(&mut self, ctx: &mut Context, id: PeerId) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        if peer.handshake != Handshake::Verack {
            return;
        }
        peer.handshake = Handshake::Ready;
        let (kind, addr, services) = (peer.kind, peer.addr, peer.services());
        let alone = ctx.peers.values().filter(|p| p.is_ready()).count() <= 1;
        let came_back =
            !kind.is_inbound() && self.addresses.worked(&addr, services.to_u64(), ctx.now);
        if alone || came_back {
            // The network may just have healed.
            self.addresses.wake_all();
            self.search_again(ctx.now);
        }
        ctx.push(Output::Event(Event::PeerReady { peer: id }));
        if !end_double(ctx, id) {
            ctx.note(Fact::PeerReady(id));
        }
    }

    /// A peer did what no honest one does: it is avoided for a while.
    pub(crate) fn shun(&mut self, ctx: &Context, id: PeerId) {
        if let Some(peer) = ctx.peers.get(&id) {
            let addr = peer.listen_addr().unwrap_or(peer.addr);
            self.unwelcome.add(addr.ip(), ctx.now);
            self.addresses.shun(&addr, ctx.now);
            self.dialer.shun(&addr);
        }
    }

    /// A connection is closed: from now on nothing is sent over it.
    pub(crate) fn lost(&mut self, ctx: &mut Context, id: PeerId) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        if !peer.closing && peer.kind.is_kept() {
            self.dialer.unsettle(ctx.now);
        }
        peer.closing = true;
    }

    /// Forgets a closed connection, but for its bytes and for what it says of its address.
    pub(crate) fn forget(&mut self, ctx: &mut Context, id: PeerId) {
        if let Some(peer) = ctx.peers.remove(&id) {
            self.former.add(&peer.traffic);
            self.outbound_lost(ctx, &peer);
        }
    }
}

fn send_version(ctx: &mut Context, id: PeerId) {
    let Some(peer) = ctx.peers.get(&id) else {
        return;
    };
    let unspecified = SocketAddr::from(([0, 0, 0, 0], ctx.config.listen_port.unwrap_or(0)));
    let version = Version {
        protocol: PROTOCOL_VERSION,
        services: services().to_u64(),
        time_secs: i64::from(ctx.now.unix_secs()),
        receiver_services: 0,
        receiver: peer.addr,
        sender: ctx.config.external_addr.unwrap_or(unspecified),
        nonce: peer.our_nonce,
        user_agent: ctx.config.user_agent.as_str().into(),
        start_height: i32::try_from(ctx.chain.tip().height).unwrap_or(i32::MAX),
        relay: ctx.config.relay_transactions,
    };
    ctx.send(id, Message::Version(Box::new(version)));
}

/// Whether one of our own unfinished outbound connections has this nonce.
fn is_own_nonce(ctx: &Context, nonce: u64) -> bool {
    ctx.peers
        .values()
        .any(|p| !p.kind.is_inbound() && p.our_nonce == nonce)
}

/// Two nodes that dialled each other at the same moment have two connections. Both keep the one
/// that the node with the lower address opened. Returns whether the one at hand went.
fn end_double(ctx: &mut Context, id: PeerId) -> bool {
    let double = ctx.peers.get(&id).and_then(|peer| {
        let other = ctx.peers.values().find(|other| {
            let apart = other.connected_at.since(peer.connected_at);
            let apart = apart.max(peer.connected_at.since(other.connected_at));
            other.id != id
                && other.is_ready()
                && other.kind.is_inbound() != peer.kind.is_inbound()
                && other.listen_addr() == peer.listen_addr()
                && apart < SAME_MOMENT
        })?;
        let (inbound, outbound) = if peer.kind.is_inbound() {
            (peer, other)
        } else {
            (other, peer)
        };
        let ours = own_addr_for(ctx, outbound.id)?;
        let theirs = outbound.listen_addr()?;
        Some(if ours < theirs {
            inbound.id
        } else {
            outbound.id
        })
    });
    if let Some(double) = double {
        ctx.disconnect(double, "connected twice");
    }
    double == Some(id)
}
