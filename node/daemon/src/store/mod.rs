//! The chain on disk: durable batches in one redb file, and what can be salvaged of a damaged one.
//! What is written, and when, is the chain's affair ([`peerlab_node::chain::Store`]).

pub mod record;
mod redb_store;
pub mod salvage;
#[cfg(test)]
mod tests;

pub use redb_store::RedbStore;
