//! Gossip about addresses: asking, answering, telling one's own, and passing on what is new.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use super::addresses::is_dialable;
use super::peer::{ConnectionKind, Peer};
use crate::io::{PeerId, Time};
use crate::machine::Machine;
use crate::time::OptionalTime;
use crate::wire::{ADDRESSES_PER_MESSAGE_MAX, Message, PeerAddress};

/// Addresses that a peer may tell at once; then [`TOKENS_PER_SEC`]. A whole answer to `getaddr`.
const TOKENS_MAX: u32 = ADDRESSES_PER_MESSAGE_MAX as u32;
/// Addresses that a peer may tell per second in the long run. Bitcoin Core allows 0.1; here a
/// hundred nodes that start at one instant are to know each other within seconds.
const TOKENS_PER_SEC: u32 = 10;
/// A peer that told so many more than it may is flooding.
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
/// This node's own address is told anew after this, so that it stays fresh in others' books.
const ADVERTISE_EVERY: Duration = Duration::from_secs(600);
/// Own addresses remembered, to not dial oneself. A node has one or two.
pub(crate) const OWN_ADDRS_MAX: usize = 16;

/// Gossip with one peer.
#[derive(Clone, Debug)]
pub struct PeerGossip {
    /// Addresses taken from it.
    pub processed: u32,
    /// Addresses ignored because it told too many.
    pub rate_limited: u32,
    /// Whether it takes part: an inbound peer shows it by asking or telling.
    pub enabled: bool,
    v2: bool,
    tokens: u32,
    tokens_at: Time,
    pending: Vec<PeerAddress>,
    send_at: OptionalTime,
    asked: OptionalTime,
    answered: OptionalTime,
    advertise_at: OptionalTime,
}

impl PeerGossip {
    pub(super) fn new(now: Time) -> PeerGossip {
        PeerGossip {
            processed: 0,
            rate_limited: 0,
            enabled: false,
            v2: false,
            tokens: TOKENS_MAX,
            tokens_at: now,
            pending: Vec::new(),
            send_at: OptionalTime::NONE,
            asked: OptionalTime::NONE,
            answered: OptionalTime::NONE,
            advertise_at: OptionalTime::NONE,
        }
    }

    /// It wants BIP155 addresses.
    pub(super) fn send_v2(&mut self) {
        self.v2 = true;
    }

    /// Whether it asked for addresses and was answered.
    pub(super) fn was_answered(&self) -> bool {
        self.answered.is_some()
    }

    fn message(&self, addresses: Vec<PeerAddress>) -> Message {
        if self.v2 {
            Message::AddrV2(addresses)
        } else {
            Message::Addr(addresses)
        }
    }

    /// How many of `told` addresses may be taken now.
    fn take_tokens(&mut self, told: usize, now: Time) -> usize {
        let elapsed_secs = now.since(self.tokens_at).as_secs();
        if elapsed_secs > 0 {
            self.tokens_at = self.tokens_at + Duration::from_secs(elapsed_secs);
            let earned = u32::try_from(elapsed_secs)
                .map_or(u32::MAX, |secs| secs.saturating_mul(TOKENS_PER_SEC));
            self.tokens = self.tokens.saturating_add(earned).min(2 * TOKENS_MAX);
        }
        let told = u32::try_from(told).unwrap_or(u32::MAX);
        let allowed = told.min(self.tokens);
        self.tokens -= allowed;
        self.processed = self.processed.saturating_add(allowed);
        self.rate_limited = self.rate_limited.saturating_add(told - allowed);
        allowed as usize
    }

    /// When something is due.
    fn deadline(&self) -> Time {
        self.send_at.or_never().min(self.advertise_at.or_never())
    }
}

impl Machine {
    /// The handshake is done: tell our address, and ask for others.
    pub(crate) fn begin_gossip(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.gossip.enabled = !peer.kind.is_inbound();
        if self.config.connect_only {
            return;
        }
        self.advertise(now, id);
        // A probe is about blocks.
        let asks = self
            .peers
            .get(&id)
            .is_some_and(|p| !p.kind.is_inbound() && p.kind != ConnectionKind::Probe);
        if asks {
            self.send_getaddr(now, id);
        }
    }

    fn send_getaddr(&mut self, now: Time, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.gossip.asked = now.into();
            // The answer is no flood.
            peer.gossip.tokens = (peer.gossip.tokens + TOKENS_MAX).min(2 * TOKENS_MAX);
            self.send(now, id, Message::GetAddr);
        }
    }

    /// Asks one peer again, chosen by chance among those not asked lately.
    pub(crate) fn ask_for_addresses(&mut self, now: Time) {
        let candidates: Vec<_> = self
            .peers
            .values()
            .filter(|p| p.is_ready() && p.gossip.asked.get().is_none_or(|t| t + ASK_EVERY <= now))
            .map(|p| p.id)
            .collect();
        if !candidates.is_empty() {
            let id = candidates[self.randomness.below(candidates.len())];
            self.send_getaddr(now, id);
        }
    }

    pub(crate) fn received_getaddr(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.gossip.enabled = true;
        if peer
            .gossip
            .answered
            .get()
            .is_some_and(|t| t + ANSWER_EVERY > now)
        {
            return;
        }
        peer.gossip.answered = now.into();
        let listen_addr = peer.listen_addr();
        let count = self.addresses.len() * ANSWER_PERCENT / 100;
        let count = count.clamp(ANSWER_MIN, ADDRESSES_PER_MESSAGE_MAX);
        let mut sample = self.addresses.sample(count, &mut self.randomness);
        sample.retain(|a| Some(a.addr) != listen_addr);
        if let Some(peer) = self.peers.get(&id)
            && !sample.is_empty()
        {
            let message = peer.gossip.message(sample);
            self.send(now, id, message);
        }
    }

    pub(crate) fn received_addresses(&mut self, now: Time, id: PeerId, told: Vec<PeerAddress>) {
        if self.config.connect_only {
            // Nothing would be done with them.
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.gossip.enabled = true;
        let allowed = peer.gossip.take_tokens(told.len(), now);
        let flooding = peer.gossip.rate_limited > RATE_LIMITED_MAX;
        let (source, kind) = (peer.addr.ip(), peer.kind);
        // A lone address of the peer's own host is where it listens.
        if let [own] = told.as_slice()
            && own.addr.ip() == source
            && peer.listen_port.is_none()
        {
            peer.listen_port = NonZeroU16::new(own.addr.port());
        }
        if flooding {
            self.misbehaved(id, "flood of addresses");
            return;
        }
        let is_news = told.len() <= NEWS_MAX;
        let count = told.len();
        let mut found = false;
        for address in told.into_iter().take(allowed) {
            if self.own_addrs.contains(&address.addr) {
                continue;
            }
            if self
                .addresses
                .add(address, source, now, &mut self.randomness)
            {
                found = true;
                if is_news {
                    self.pass_on(now, id, address);
                }
            }
        }
        if found {
            self.search_again(now);
        }
        if kind == ConnectionKind::AddressFetch && count > 1 {
            self.disconnect(id, "addresses fetched");
        }
    }

    /// Queues news for a few peers, drawn by chance.
    fn pass_on(&mut self, now: Time, from: PeerId, address: PeerAddress) {
        let mut takers: Vec<_> = self
            .peers
            .values()
            .filter(|p| p.id != from && p.is_ready() && p.gossip.enabled)
            .filter(|p| p.listen_addr() != Some(address.addr))
            .map(|p| p.id)
            .collect();
        for _ in 0..FANOUT.min(takers.len()) {
            let id = takers.swap_remove(self.randomness.below(takers.len()));
            let delay = self.randomness.exponential(self.config.timing.addr_delay);
            if let Some(peer) = self.peers.get_mut(&id)
                && peer.gossip.pending.len() < PENDING_MAX
            {
                peer.gossip.pending.push(address);
                if peer.gossip.send_at.is_none() {
                    peer.gossip.send_at = (now + delay).into();
                }
            }
        }
    }

    /// Where peers reach this node, as far as it can be told to this one.
    pub(super) fn own_addr_for(&self, id: PeerId) -> Option<SocketAddr> {
        let port = self.config.listen_port?;
        let seen = || {
            Some(SocketAddr::new(
                self.peers.get(&id)?.local_addr()?.ip(),
                port,
            ))
        };
        self.config.external_addr.or_else(seen).filter(is_dialable)
    }

    fn advertise(&mut self, now: Time, id: PeerId) {
        let Some(addr) = self.own_addr_for(id) else {
            return;
        };
        let services = self.services().to_u64();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.gossip.advertise_at = (now + ADVERTISE_EVERY).into();
        let own = PeerAddress {
            last_seen_secs: now.unix_secs(),
            services,
            addr,
        };
        let message = peer.gossip.message(vec![own]);
        self.send(now, id, message);
    }

    /// Remembers an address of this node.
    pub(crate) fn note_own_addr(&mut self, addr: SocketAddr) {
        if self.own_addrs.len() < OWN_ADDRS_MAX && self.own_addrs.insert(addr) {
            self.addresses.remove(&addr);
        }
    }

    /// Sends what waited long enough.
    pub(crate) fn run_gossip(&mut self, now: Time) {
        let due: Vec<_> = self
            .peers
            .due(now)
            .filter(|p| p.is_ready() && p.gossip.deadline() <= now)
            .map(|p| p.id)
            .collect();
        for id in due {
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            let advertises = peer.gossip.advertise_at.is_due(now);
            if peer.gossip.send_at.is_due(now) {
                peer.gossip.send_at = OptionalTime::NONE;
                let mut pending = std::mem::take(&mut peer.gossip.pending);
                pending.sort_unstable();
                pending.dedup();
                let message = peer.gossip.message(pending);
                self.send(now, id, message);
            }
            if advertises {
                self.advertise(now, id);
            }
        }
    }

    /// When a connection needs [`Machine::run_gossip`].
    pub(crate) fn gossip_deadline(peer: &Peer) -> Time {
        peer.gossip.deadline()
    }
}
