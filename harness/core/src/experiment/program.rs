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

/// How a node is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// JSON-RPC as Bitcoin Core answers it, at 127.0.0.1:`port`.
    BitcoinRpc {
        /// TCP port.
        port: u16,
    },
    /// A program that is run beside the node's own, again and again: what it prints is what the
    /// node says.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
    },
}

/// What can be asked of a node. Each step includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Whether it is up: it answers at all.
    Up,
    /// What it says: a value, on which nodes can agree. That of a chain is its best block.
    Value,
    /// Its best block, each block, its connections.
    Chain,
    /// To mine, to take a transaction, and its state.
    Ledger,
}

impl Probe {
    /// The most that can be asked through it.
    pub fn ability(&self) -> Ability {
        match self {
            Probe::BitcoinRpc { .. } => Ability::Ledger,
            Probe::Exec { .. } => Ability::Value,
        }
    }

    /// Its word in a file.
    pub fn word(&self) -> &'static str {
        match self {
            Probe::BitcoinRpc { .. } => "bitcoin-rpc",
            Probe::Exec { .. } => "exec",
        }
    }
}
