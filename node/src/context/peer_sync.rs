//! What one connection knows, has been asked for, and asks for.

use std::collections::VecDeque;

use bitcoin::BlockHash;
use bitcoin::p2p::message_blockdata::Inventory;

use crate::io::Time;
use crate::time::OptionalTime;

/// Headers and blocks of one connection.
#[derive(Clone, Debug, Default)]
pub struct PeerSync {
    /// The block with the most work that the peer is known to have.
    pub(crate) best_known: Option<BlockHash>,
    /// The last block that was announced or given to the peer.
    pub(crate) best_sent: Option<BlockHash>,
    /// A block that it announced and whose header we lack.
    /// Rare, so it stands elsewhere.
    pub(crate) last_unknown: Option<Box<BlockHash>>,
    /// It wants announcements by headers (BIP130).
    pub(crate) wants_headers: bool,
    /// It speaks of compact blocks in our version (BIP152).
    pub(crate) speaks_compact: bool,
    /// It wants compact blocks unasked.
    pub(crate) wants_compact: bool,
    /// It was asked to send compact blocks unasked.
    pub(crate) chosen: bool,
    /// When it was asked for headers, until it answers.
    pub(crate) headers_asked: OptionalTime,
    /// It is asked for headers once another peer has given what it has.
    pub(crate) deferred: bool,
    /// Header messages in a row whose parent was unknown.
    pub(crate) unconnecting: u8,
    /// Blocks that it was asked for, with their heights.
    pub(crate) in_flight: Vec<(BlockHash, u32)>,
    /// When it was asked for the first of them, or last delivered one.
    pub(crate) waiting_since: Time,
    /// When it stalls, while blocks are in flight.
    pub(crate) stall_at: OptionalTime,
    /// Stalls in a row.
    pub(crate) stalls: u8,
    /// What it asks for and has not been given yet.
    pub(crate) requests: VecDeque<Inventory>,
    /// The last hash of a full answer to `getblocks`: once it fetches this block, the tip is announced
    /// to it, so that it asks for the next ones. Rare, so it stands elsewhere.
    pub(crate) continuation: Option<Box<BlockHash>>,
    /// When the next of these are given.
    pub(crate) serve_at: OptionalTime,
}

impl PeerSync {
    /// Blocks that it was asked for and has not delivered.
    pub fn blocks_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Their heights.
    pub fn heights_in_flight(&self) -> impl Iterator<Item = u32> + '_ {
        self.in_flight.iter().map(|(_, height)| *height)
    }

    /// Whether it was asked to send compact blocks unasked (`bip152_hb_to`).
    pub fn is_high_bandwidth_to(&self) -> bool {
        self.chosen
    }

    /// Whether it asked for compact blocks unasked (`bip152_hb_from`).
    pub fn is_high_bandwidth_from(&self) -> bool {
        self.wants_compact
    }

    /// The block with the most work that the peer is known to have.
    pub fn best_known(&self) -> Option<BlockHash> {
        self.best_known
    }
}
