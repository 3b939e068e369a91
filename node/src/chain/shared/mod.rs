//! The shared chain cache: what lets thousands of nodes of one process hold one ledger and validate a
//! block once. It stands around [`Chain`](super::Chain) and knows its states; the chain knows nothing
//! of it but the [`Storage`](super::storage::Storage) that it may use.

mod cache;
mod cached_chain;
mod generations;

pub use cache::SharedChainCache;
pub use cached_chain::CachedChain;
