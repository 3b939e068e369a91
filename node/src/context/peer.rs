//! One connection: everything that is known of it. Data with small questions; what is done with it
//! stands in the sub-protocols' files.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use bitcoin::p2p::ServiceFlags;

use super::peer_gossip::PeerGossip;
use super::peer_sync::PeerSync;
use super::peer_transactions::PeerTransactions;
use super::ping::Ping;
use super::traffic::Traffic;
use crate::io::{PeerId, Time};
use crate::time::OptionalTime;
use crate::wire::Version;

/// Why a connection exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionKind {
    /// The other end opened it.
    Inbound,
    /// The operator asked for it.
    Manual,
    /// Opened to an address that was drawn, and kept.
    Automatic,
    /// Opened to an address that was drawn, to see whether it knows a better chain; short-lived.
    Probe,
    /// Opened to ask for addresses; short-lived.
    AddressFetch,
}

impl ConnectionKind {
    /// As `connection_type` of getpeerinfo names it.
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionKind::Inbound => "inbound",
            ConnectionKind::Manual => "manual",
            ConnectionKind::Automatic => "outbound-full-relay",
            ConnectionKind::Probe => "feeler",
            ConnectionKind::AddressFetch => "addr-fetch",
        }
    }

    /// Whether the other end opened it.
    pub fn is_inbound(self) -> bool {
        self == ConnectionKind::Inbound
    }

    /// Whether this node opened it in order to keep it.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, ConnectionKind::Manual | ConnectionKind::Automatic)
    }
}

/// How far a connection's handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// Waits for the other's `version`.
    Version,
    /// Waits for the other's `verack`.
    Verack,
    /// Done.
    Ready,
}

/// A connection. What most inputs need stands together at its beginning, in this order: where there
/// are many nodes, fetching it from memory is what an input costs.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Peer {
    /// Its name.
    pub id: PeerId,
    pub(crate) handshake: Handshake,
    /// The connection is being closed: nothing is sent any more, and what arrives is not read.
    pub(crate) closing: bool,
    /// Why the connection exists.
    pub kind: ConnectionKind,
    /// Service bits that it sent.
    services: u64,
    /// When something was last sent.
    pub last_sent: OptionalTime,
    /// When something last arrived.
    pub last_received: OptionalTime,
    /// When it was opened.
    pub connected_at: Time,
    /// Transactions.
    pub transactions: PeerTransactions,
    /// Headers and blocks.
    pub sync: PeerSync,
    /// Bytes by kind of message.
    pub traffic: Traffic,
    /// Pings.
    pub ping: Ping,
    /// Addresses.
    pub gossip: PeerGossip,
    /// When it last gave a block that was new and sound.
    pub last_block: OptionalTime,
    /// When it last gave a transaction that entered the mempool.
    pub last_transaction: OptionalTime,
    /// The other end of the connection.
    pub addr: SocketAddr,
    /// At which port of its host it accepts connections, if that is known.
    pub(crate) listen_port: Option<NonZeroU16>,
    /// What it said of itself.
    pub version: Option<Box<Version>>,
    /// Its clock minus ours when it connected, seconds.
    pub time_offset_secs: i64,
    pub(crate) our_nonce: u64,
}

impl Peer {
    pub(crate) fn new(
        id: PeerId,
        addr: SocketAddr,
        kind: ConnectionKind,
        our_nonce: u64,
        now: Time,
    ) -> Peer {
        Peer {
            id,
            addr,
            listen_port: NonZeroU16::new(addr.port()).filter(|_| !kind.is_inbound()),
            kind,
            connected_at: now,
            last_sent: OptionalTime::NONE,
            last_received: OptionalTime::NONE,
            last_block: OptionalTime::NONE,
            last_transaction: OptionalTime::NONE,
            traffic: Traffic::default(),
            services: ServiceFlags::NONE.to_u64(),
            version: None,
            time_offset_secs: 0,
            ping: Ping::default(),
            sync: PeerSync::default(),
            transactions: PeerTransactions::default(),
            gossip: PeerGossip::new(now),
            handshake: Handshake::Version,
            our_nonce,
            closing: false,
        }
    }

    /// Whether the handshake is done and the connection is not being closed.
    pub fn is_ready(&self) -> bool {
        self.handshake == Handshake::Ready && !self.closing
    }

    /// Where the peer accepts connections, if it is known.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        let port = self.listen_port?;
        Some(SocketAddr::new(self.addr.ip(), port.get()))
    }

    /// Takes what it says of itself.
    pub(crate) fn introduced(&mut self, version: Version) {
        self.services = version.services;
        self.version = Some(Box::new(version));
    }

    /// Service bits that it sent, none before its `version`.
    pub fn services(&self) -> ServiceFlags {
        ServiceFlags::from(self.services)
    }

    /// Whether blocks with witnesses can be had from it.
    pub fn serves_blocks(&self) -> bool {
        self.services().has(ServiceFlags::WITNESS)
            && (self.services().has(ServiceFlags::NETWORK)
                || self.services().has(ServiceFlags::NETWORK_LIMITED))
    }

    /// Our address as it says to see it.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.version
            .as_ref()
            .map(|v| v.receiver)
            .filter(|a| !a.ip().is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_no_more_room_than_it_did() {
        // A process may hold hundreds of thousands; the allocator's next size is 896.
        assert!(size_of::<Peer>() <= 768, "{}", size_of::<Peer>());
    }
}
