//! Coming to the same chain as the peers: headers first, then bodies from several peers at once;
//! serving both to others, and telling them of new blocks. The rules stand in `chain`; here is only
//! who is asked, who is told, and what happens when somebody does not answer.

mod announce;
mod blocks;
mod compact;
mod downloads;
mod headers;
mod peer_sync;
mod serve;

pub(crate) use compact::CompactBlocks;
pub(crate) use downloads::Downloads;
pub use peer_sync::PeerSync;
