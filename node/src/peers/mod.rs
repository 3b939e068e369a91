//! Connections: who to connect to, the handshake, whether the other end still lives, who has to
//! go, and gossip about addresses. Knows nothing of the ledger.

mod addresses;
mod bans;
mod core;
mod dialer;
mod dialing;
mod due;
mod eviction;
mod gossip;
mod handshake;
mod liveness;
#[cfg(test)]
mod tests;
mod watched;

pub(crate) use self::core::{Peers, services};
pub use crate::context::{
    BytesByCommand, ConnectionKind, Peer, PeerGossip, PeerSync, PeerTransactions, Ping, Traffic,
};
pub use bans::{Ban, BanList, Subnet, SubnetError};
pub use dialer::TargetKind;
pub use handshake::PROTOCOL_VERSION;
