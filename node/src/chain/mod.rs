//! The ledger: header tree, full validation under regtest rules, the coin set, reorganisations to
//! the most-work chain. Knows nothing of peers, time of day or files: times are arguments, and
//! data is kept by a [`Store`].

mod activate;
mod block_check;
pub mod block_file;
mod by_hash;
mod coin;
mod connect;
mod context_check;
mod core;
mod entry;
mod error;
mod fingerprint;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod genesis;
mod header_check;
mod import;
mod ledger;
mod locktime;
mod memory_store;
mod muhash;
mod named_block;
mod num3072;
mod open;
mod queries;
mod recent;
pub mod rules;
mod scripts;
mod shared;
mod storage;
mod store;
pub mod template;
#[cfg(test)]
mod tests;
mod tree;
mod tx_check;

pub use self::core::Chain;
pub use activate::{BlockAccepted, HeadersAccepted};
pub use coin::{Coin, CoinChange, CoinSet, is_unspendable};
pub use connect::{InputError, sigop_cost, spend_inputs};
pub use entry::{BlockStatus, ChainTip, ChainTipStatus, HeaderEntry};
pub use error::{BlockError, BlockInvalid, HeaderError};
pub use genesis::genesis_hash;
pub use header_check::check_work;
pub use import::{ImportError, Imported};
pub use locktime::{is_final, sequence_locks_met};
pub use memory_store::MemoryStore;
pub use muhash::{MuHash, UtxoHash};
pub use named_block::NamedBlock;
pub use num3072::NUM_BYTES as MUHASH_NUM_BYTES;
pub use open::OpenReport;
pub use queries::UtxoStats;
pub use scripts::{ScriptCache, ScriptError};
pub use shared::{CachedChain, SharedChainCache};
pub use store::{Batch, BlockUndo, Damage, IndexRecord, Loaded, Salvage, State, Store, StoreError};
pub use tx_check::check_transaction;
