//! What a group of nodes runs, and how it is asked.

use serde::{Deserialize, Serialize};

/// What a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// Our own node, built from `images/node`.
    Peerlab,
    /// An image that the engine has, by reference.
    Named(String),
    /// An image in an archive: an OCI layout or what `docker save` writes, by its path.
    Archive(String),
}

/// How a node's ledger is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// JSON-RPC as Bitcoin Core answers it, at 127.0.0.1:`port`.
    BitcoinRpc {
        /// TCP port.
        port: u16,
    },
}
