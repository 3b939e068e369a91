//! How containers tell which run and node they belong to.

use std::collections::HashMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use peerlab_link::NodeId;
use sha2::{Digest, Sha256};

/// The run, on every container.
pub const RUN: &str = "peerlab.run";
/// The node's number, on its container.
pub const NODE: &str = "peerlab.node";
/// The node's name, on its container.
pub const NAME: &str = "peerlab.name";
/// On every image that Peerlab built.
pub const IMAGE: &str = "peerlab.image";

/// The name of one run on an engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// A new one, from the clock and the process.
    pub fn new() -> RunId {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(now.as_nanos().to_le_bytes());
        hash.update(std::process::id().to_le_bytes());
        // In containers every harness may be PID 1; the address of a local differs.
        hash.update((&raw const now as usize).to_le_bytes());
        let digest = hash.finalize();
        RunId(digest[..4].iter().map(|b| format!("{b:02x}")).collect())
    }

    /// From its text, as `guard` gets it and as labels hold it.
    pub fn from_text(text: &str) -> RunId {
        RunId(text.to_owned())
    }

    /// The name of the fabric's container.
    pub fn fabric_name(&self) -> String {
        format!("peerlab-{self}-fabric")
    }

    /// The name of a node's container.
    pub fn node_name(&self, name: &str) -> String {
        format!("peerlab-{self}-{name}")
    }

    /// The filter for this run's containers.
    pub fn filter(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".into(), vec![format!("{RUN}={self}")])])
    }

    /// The labels of the fabric's container.
    pub fn fabric_labels(&self) -> HashMap<String, String> {
        HashMap::from([(RUN.into(), self.to_string())])
    }

    /// The labels of a node's container.
    pub fn node_labels(&self, node: NodeId, name: &str) -> HashMap<String, String> {
        let mut labels = self.fabric_labels();
        labels.insert(NODE.into(), node.to_string());
        labels.insert(NAME.into(), name.to_owned());
        labels
    }
}

impl Default for RunId {
    fn default() -> RunId {
        RunId::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
