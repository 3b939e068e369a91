//! Coming to the same chain as the peers: headers first, then bodies from several peers at once;
//! serving both to others, and announcing new blocks to them. The rules stand in `chain`; here is only
//! who is asked, who is notified, and what happens when somebody does not answer.

mod announce;
mod blocks;
mod compact;
mod compact_receive;
mod compact_serve;
mod core;
mod downloads;
mod headers;
mod high_bandwidth;
mod serve;
#[cfg(test)]
mod tests;

pub use self::compact::CompactTally;
pub(crate) use self::core::Sync;
