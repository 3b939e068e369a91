//! How a node's ledger is read and driven, over a byte stream into the node's namespace. Who
//! opens that stream, and what is done with the answers, is the engine's affair.

mod bitcoin_rpc;
mod error;

pub use bitcoin_rpc::BitcoinRpc;
pub use error::ProbeError;
