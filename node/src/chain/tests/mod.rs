//! Stories about the ledger: every rule of the consensus broken by a block that is otherwise good,
//! and the chain moving between branches.

mod block_file;
mod blocks;
mod headers;
mod import;
mod reorg;
mod scripts;
mod shared;
mod spending;
mod trees;
