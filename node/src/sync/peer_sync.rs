//! What one connection knows, has been asked for, and asks for.

use std::collections::VecDeque;

use bitcoin::BlockHash;
use bitcoin::p2p::message_blockdata::Inventory;

use crate::io::Time;

/// Headers and blocks of one connection.
#[derive(Clone, Debug, Default)]
pub struct PeerSync {
    /// The block with the most work that the peer is known to have.
    pub(super) best_known: Option<BlockHash>,
    /// The last block that we told the peer of.
    pub(super) best_sent: Option<BlockHash>,
    /// A block that it told of and whose header we lack.
    pub(super) last_unknown: Option<BlockHash>,
    /// It wants announcements by headers (BIP130).
    pub(super) wants_headers: bool,
    /// When it was asked for headers, until it answers.
    pub(super) headers_asked: Option<Time>,
    /// It is asked for headers once another peer has given what it has.
    pub(super) deferred: bool,
    /// Header messages in a row whose parent was unknown.
    pub(super) unconnecting: u8,
    /// Blocks that it was asked for, with their heights.
    pub(super) in_flight: Vec<(BlockHash, u32)>,
    /// When it was asked for the first of them, or last delivered one.
    pub(super) waiting_since: Time,
    /// When it stalls, while blocks are in flight.
    pub(super) stall_at: Option<Time>,
    /// Stalls in a row.
    pub(super) stalls: u8,
    /// What it asks for and has not been given yet.
    pub(super) requests: VecDeque<Inventory>,
    /// When the next of these are given.
    pub(super) serve_at: Option<Time>,
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

    /// The block with the most work that the peer is known to have.
    pub fn best_known(&self) -> Option<BlockHash> {
        self.best_known
    }
}
