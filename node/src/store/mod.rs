//! What survives the process: block bodies, the index of known blocks, undo data, the coins and
//! the tip, written in atomic batches. The chain decides what is written; the store keeps it, and
//! says at start-up what was damaged.

mod api;
pub mod blockfile;
mod damage;
mod memory;
mod record;
mod redb_store;
mod salvage;
#[cfg(test)]
mod tests;

pub use api::{Batch, BlockUndo, IndexRecord, Loaded, State, Store, StoreError};
pub use damage::Damage;
pub use memory::MemoryStore;
pub use redb_store::RedbStore;
pub use salvage::Salvage;
