//! Gossip about addresses: asking, answering, telling one's own, and passing on what is new.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use super::Peers;
use super::addresses::is_dialable;
use super::core::services;
use crate::context::{ConnectionKind, Context};
use crate::io::PeerId;
use crate::time::OptionalTime;
use crate::wire::{ADDRESSES_PER_MESSAGE_MAX, Message, PeerAddress};

/// A peer that sent so many more than it may is flooding.
const RATE_LIMITED_MAX: u32 = 20_000;
/// A peer's `getaddr` is answered at most this often; a node that finds nobody asks again soon.
const ANSWER_EVERY: Duration = Duration::from_millis(500);
/// Share of the known addresses that an answer gives, percent. Bitcoin Core's: an answer is not to
/// be a map of the network, and a thousand nodes that start at once are not to send it each other.
const ANSWER_PERCENT: usize = 23;
/// An answer gives so many at least, so that a hundred nodes know each other at once.
const ANSWER_MIN: usize = 100;
/// A peer is asked at most this often: what it knows changes while the network is young.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Messages with more addresses than this are answers, not news, and are not passed on.
const NEWS_MAX: usize = 10;
/// Peers that news is passed on to.
const FANOUT: usize = 2;
/// Addresses that wait to be passed on to one peer; beyond it, news is dropped.
const PENDING_MAX: usize = 100;
/// This node's own address is sent anew after this, so that it stays fresh in others' books.
const ADVERTISE_EVERY: Duration = Duration::from_secs(600);
/// Own addresses remembered, to not dial oneself. A node has one or two.
const OWN_ADDRS_MAX: usize = 16;

/// The handshake is done: sends our address, and asks for others.
pub(super) fn begin_gossip(ctx: &mut Context, id: PeerId) {
    let Some(peer) = ctx.peers.get_mut(&id) else {
        return;
    };
    peer.gossip.enabled = !peer.kind.is_inbound();
    if ctx.config.connect_only {
        return;
    }
    advertise(ctx, id);
    // A probe is about blocks.
    let asks = ctx
        .peers
        .get(&id)
        .is_some_and(|p| !p.kind.is_inbound() && p.kind != ConnectionKind::Probe);
    if asks {
        send_getaddr(ctx, id);
    }
}

fn send_getaddr(ctx: &mut Context, id: PeerId) {
    if let Some(peer) = ctx.peers.get_mut(&id) {
        peer.gossip.expect_answer(ctx.now);
        ctx.send(id, Message::GetAddr);
    }
}

/// Asks one peer again, chosen by chance among those not asked lately.
pub(super) fn ask_for_addresses(ctx: &mut Context) {
    let candidates = ctx.peers.ids(|p| {
        p.is_ready()
            && p.gossip
                .asked
                .get()
                .is_none_or(|t| t + ASK_EVERY <= ctx.now)
    });
    if !candidates.is_empty() {
        let id = candidates[ctx.randomness.below(candidates.len())];
        send_getaddr(ctx, id);
    }
}

/// Queues news for a few peers, drawn by chance.
fn pass_on(ctx: &mut Context, from: PeerId, address: PeerAddress) {
    let mut takers = ctx.peers.ids(|p| {
        p.id != from && p.is_ready() && p.gossip.enabled && p.listen_addr() != Some(address.addr)
    });
    for _ in 0..FANOUT.min(takers.len()) {
        let id = takers.swap_remove(ctx.randomness.below(takers.len()));
        let delay = ctx.randomness.exponential(ctx.config.timing.addr_delay);
        if let Some(peer) = ctx.peers.get_mut(&id)
            && peer.gossip.pending.len() < PENDING_MAX
        {
            peer.gossip.pending.push(address);
            if peer.gossip.send_at.is_none() {
                peer.gossip.send_at = (ctx.now + delay).into();
            }
        }
    }
}

/// Where peers reach this node, as far as it can be said to this one.
pub(super) fn own_addr_for(ctx: &Context, id: PeerId) -> Option<SocketAddr> {
    let port = ctx.config.listen_port?;
    let seen = || {
        Some(SocketAddr::new(
            ctx.peers.get(&id)?.local_addr()?.ip(),
            port,
        ))
    };
    ctx.config.external_addr.or_else(seen).filter(is_dialable)
}

fn advertise(ctx: &mut Context, id: PeerId) {
    let Some(addr) = own_addr_for(ctx, id) else {
        return;
    };
    let Some(peer) = ctx.peers.get_mut(&id) else {
        return;
    };
    peer.gossip.advertise_at = (ctx.now + ADVERTISE_EVERY).into();
    let own = PeerAddress {
        last_seen_secs: ctx.now.unix_secs(),
        services: services().to_u64(),
        addr,
    };
    let message = peer.gossip.message(vec![own]);
    ctx.send(id, message);
}

/// Sends what waited long enough.
pub(super) fn run_gossip(ctx: &mut Context) {
    let due = ctx.due_peers(|p| p.is_ready() && p.gossip.deadline() <= ctx.now);
    for id in due {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            continue;
        };
        let advertises = peer.gossip.advertise_at.is_due(ctx.now);
        if peer.gossip.send_at.is_due(ctx.now) {
            peer.gossip.send_at = OptionalTime::NONE;
            let mut pending = std::mem::take(&mut peer.gossip.pending);
            pending.sort_unstable();
            pending.dedup();
            let message = peer.gossip.message(pending);
            ctx.send(id, message);
        }
        if advertises {
            advertise(ctx, id);
        }
    }
}

impl Peers {
    pub(crate) fn received_getaddr(&mut self, ctx: &mut Context, id: PeerId) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        peer.gossip.enabled = true;
        if peer
            .gossip
            .answered
            .get()
            .is_some_and(|t| t + ANSWER_EVERY > ctx.now)
        {
            return;
        }
        peer.gossip.answered = ctx.now.into();
        let listen_addr = peer.listen_addr();
        let count = self.addresses.len() * ANSWER_PERCENT / 100;
        let count = count.clamp(ANSWER_MIN, ADDRESSES_PER_MESSAGE_MAX);
        let mut sample = self.addresses.sample(count, &mut ctx.randomness);
        sample.retain(|a| Some(a.addr) != listen_addr);
        if let Some(peer) = ctx.peers.get(&id)
            && !sample.is_empty()
        {
            let message = peer.gossip.message(sample);
            ctx.send(id, message);
        }
    }

    pub(crate) fn received_addresses(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        received: Vec<PeerAddress>,
    ) {
        if ctx.config.connect_only {
            // Nothing would be done with them.
            return;
        }
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        peer.gossip.enabled = true;
        let allowed = peer.gossip.take_tokens(received.len(), ctx.now);
        let flooding = peer.gossip.rate_limited > RATE_LIMITED_MAX;
        let (source, kind) = (peer.addr.ip(), peer.kind);
        // A lone address of the peer's own host is where it listens.
        if let [own] = received.as_slice()
            && own.addr.ip() == source
            && peer.listen_port.is_none()
        {
            peer.listen_port = NonZeroU16::new(own.addr.port());
        }
        if flooding {
            ctx.misbehaved(id, "flood of addresses");
            return;
        }
        let is_news = received.len() <= NEWS_MAX;
        let count = received.len();
        let mut found = false;
        for address in received.into_iter().take(allowed) {
            if self.own_addrs.contains(&address.addr) {
                continue;
            }
            if self
                .addresses
                .add(address, source, ctx.now, &mut ctx.randomness)
            {
                found = true;
                if is_news {
                    pass_on(ctx, id, address);
                }
            }
        }
        if found {
            self.search_again(ctx.now);
        }
        if kind == ConnectionKind::AddressFetch && count > 1 {
            ctx.disconnect(id, "addresses fetched");
        }
    }

    /// Remembers an address of this node.
    pub(super) fn note_own_addr(&mut self, addr: SocketAddr) {
        if self.own_addrs.len() < OWN_ADDRS_MAX && self.own_addrs.insert(addr) {
            self.addresses.remove(&addr);
        }
    }
}
