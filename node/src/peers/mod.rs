//! Connections: who to connect to, the handshake, whether the other end still lives, who has to
//! go, and gossip about addresses. Knows nothing of the ledger.

mod addresses;
mod bans;
mod dialer;
mod dialing;
mod eviction;
mod gossip;
mod handshake;
mod liveness;
mod peer;
mod ping;
mod table;
mod traffic;

pub(crate) use addresses::AddressBook;
pub(crate) use bans::Unwelcome;
pub use bans::{Ban, BanList, Subnet, SubnetError};
pub(crate) use dialer::Dialer;
pub use dialer::TargetKind;
pub use gossip::PeerGossip;
pub use handshake::PROTOCOL_VERSION;
pub(crate) use peer::Handshake;
pub use peer::{ConnectionKind, Peer};
pub use ping::Ping;
pub(crate) use table::PeerTable;
pub use traffic::{BytesByCommand, Traffic};
