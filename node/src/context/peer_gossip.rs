//! Gossip about addresses with one connection: what it may send, and what waits to be sent.

use std::time::Duration;

use crate::io::Time;
use crate::time::OptionalTime;
use crate::wire::{ADDRESSES_PER_MESSAGE_MAX, AddressesV2, Message, PeerAddress};

/// Addresses that a peer may send at once; then [`TOKENS_PER_SEC`]. A whole answer to `getaddr`.
const TOKENS_MAX: u32 = ADDRESSES_PER_MESSAGE_MAX as u32;
/// Addresses that a peer may send per second in the long run. Bitcoin Core allows 0.1; here a
/// hundred nodes that start at one instant are to know each other within seconds.
const TOKENS_PER_SEC: u32 = 10;

/// Gossip with one peer.
#[derive(Clone, Debug)]
pub struct PeerGossip {
    /// Addresses taken from it.
    pub processed: u32,
    /// Addresses ignored because it sent too many.
    pub rate_limited: u32,
    /// Whether it takes part: an inbound peer shows it by asking or telling.
    pub enabled: bool,
    pub(crate) v2: bool,
    tokens: u32,
    tokens_at: Time,
    pub(crate) pending: Vec<PeerAddress>,
    pub(crate) send_at: OptionalTime,
    pub(crate) asked: OptionalTime,
    pub(crate) answered: OptionalTime,
    pub(crate) advertise_at: OptionalTime,
}

impl PeerGossip {
    pub(crate) fn new(now: Time) -> PeerGossip {
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

    pub(crate) fn message(&self, addresses: Vec<PeerAddress>) -> Message {
        if self.v2 {
            Message::AddrV2(AddressesV2(addresses))
        } else {
            Message::Addr(addresses)
        }
    }

    /// It is asked for addresses: the answer is no flood.
    pub(crate) fn expect_answer(&mut self, now: Time) {
        self.asked = now.into();
        self.tokens = (self.tokens + TOKENS_MAX).min(2 * TOKENS_MAX);
    }

    /// How many of `sent` addresses may be taken now.
    pub(crate) fn take_tokens(&mut self, sent: usize, now: Time) -> usize {
        let elapsed_secs = now.since(self.tokens_at).as_secs();
        if elapsed_secs > 0 {
            self.tokens_at = self.tokens_at + Duration::from_secs(elapsed_secs);
            let earned = u32::try_from(elapsed_secs)
                .map_or(u32::MAX, |secs| secs.saturating_mul(TOKENS_PER_SEC));
            self.tokens = self.tokens.saturating_add(earned).min(2 * TOKENS_MAX);
        }
        let sent = u32::try_from(sent).unwrap_or(u32::MAX);
        let allowed = sent.min(self.tokens);
        self.tokens -= allowed;
        self.processed = self.processed.saturating_add(allowed);
        self.rate_limited = self.rate_limited.saturating_add(sent - allowed);
        allowed as usize
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        self.send_at.or_never().min(self.advertise_at.or_never())
    }
}
