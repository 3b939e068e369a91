//! Coming to the same chain as the peers: headers first, then bodies from several peers at once;
//! serving both to others, and telling them of new blocks. The rules stand in `chain`; here is only
//! who is asked, who is told, and what happens when somebody does not answer.

mod announce;
mod blocks;
mod compact;
mod core;
mod downloads;
mod headers;
mod serve;

pub(crate) use self::core::Sync;
