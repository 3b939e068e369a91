//! What all sub-protocols share: the time, the configuration, chance, the ledger, the mempool, the
//! connections, and what is to be done. The layer below [`crate::peers`], [`crate::sync`] and
//! [`crate::relay`], which know of each other only by the [`Fact`]s that they note here.

mod config;
mod core;
mod fact;
mod memory;
mod peer;
mod peer_gossip;
mod peer_slots;
mod peer_sync;
mod peer_transactions;
mod ping;
#[cfg(feature = "planted-bugs")]
mod planted;
mod randomness;
#[cfg(test)]
pub(crate) mod samples;
mod table;
mod traffic;

pub(crate) use self::core::Context;
pub use config::{Config, Timing};
pub(crate) use fact::Fact;
pub(crate) use memory::{LINE_BYTES, lines, lines_of};
pub(crate) use peer::Handshake;
pub use peer::{ConnectionKind, Peer};
pub use peer_gossip::PeerGossip;
pub(crate) use peer_slots::{PeerSlot, PeerSlots};
pub use peer_sync::PeerSync;
pub use peer_transactions::PeerTransactions;
pub use ping::Ping;
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub(crate) use randomness::Randomness;
pub use traffic::{BytesByCommand, Traffic};
