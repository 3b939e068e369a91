//! JSON-RPC as Bitcoin Core 28 answers it.
//!
//! What arrives is read by [`envelope`] and [`arguments`], and [`methods`] carries it out on the
//! machine, one file a topic; [`auth`] says who may call. The HTTP side is [`crate::rpc_server`].

pub mod arguments;
pub mod auth;
mod blocks;
mod chain_state;
pub mod context;
mod control;
mod descriptor;
pub mod envelope;
pub mod error;
mod mempool;
pub mod methods;
mod mining;
mod network;
mod peer_json;
mod raw_transactions;
mod script_json;
mod tx_json;
pub mod wait;

#[cfg(test)]
mod tests;
