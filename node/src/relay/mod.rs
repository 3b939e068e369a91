//! Transactions between peers: announcing after a random delay, asking one announcer at a time,
//! keeping those whose parents are missing for a while, and repeating our own until they are
//! confirmed. What is valid is the mempool's business.

mod announce;
mod arrivals;
mod foresight;
mod knowers;
mod orphans;
mod own;
mod receive;
mod recent;
mod requests;

pub use announce::PeerTransactions;
pub(crate) use arrivals::Arrivals;
pub(crate) use knowers::Knowers;
pub(crate) use orphans::Orphans;
pub(crate) use own::OwnTransactions;
pub(crate) use recent::RecentIds;
pub(crate) use requests::{TxName, TxRequests};
