//! Transactions that wait for a block: checked against the chain and each other, bounded, offered
//! to miners best fee first. Orphans, announcements and who sent what are the relay's affair.

mod accept;
mod entry;
pub mod policy;
mod pool;
mod reject;
mod reorg;
mod select;
#[cfg(test)]
mod tests;

pub use accept::Accepted;
pub use entry::MempoolEntry;
pub use pool::Mempool;
pub use reject::TxReject;
