//! Transactions between peers: announcing after a random delay, asking one announcer at a time,
//! keeping those whose parents are missing for a while, and repeating our own until they are
//! confirmed. What is valid is the mempool's business.

mod announce;
mod announcement_queue;
mod core;
mod known_transactions;
mod orphans;
mod prefetch;
mod rebroadcast;
mod receive;
mod recent;
mod requests;
#[cfg(test)]
mod tests;

pub(crate) use self::core::Relay;
pub(crate) use requests::TxName;
