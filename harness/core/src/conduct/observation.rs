//! What is read of a node, however it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::event::Tip;

/// What is told about a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BlockFacts {
    /// Its hash.
    pub hash: String,
    /// Its height.
    pub height: u32,
    /// Its parent; the genesis block has none.
    #[serde(rename = "previousblockhash", default)]
    pub prev: String,
    /// Serialised size, bytes.
    pub size: u64,
    /// Transaction ids, the coinbase's first.
    pub tx: Vec<String>,
}

/// A node's peers, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSums {
    /// Connections that it opened.
    pub outbound: u32,
    /// Connections that it accepted.
    pub inbound: u32,
    /// Bytes sent by message type.
    pub sent: BTreeMap<String, u64>,
    /// Bytes received by message type.
    pub received: BTreeMap<String, u64>,
}

/// A node's ledger state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerState {
    /// The best block that the state belongs to.
    pub tip: Tip,
    /// Hash of the set of unspent outputs, where the node computes it.
    pub muhash: Option<String>,
}
