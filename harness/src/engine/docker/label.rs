//! How containers tell which run and node they belong to.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use peerlab_link::NodeId;

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
    /// A new one: 32 random bits, from what the standard library seeds its hash maps with.
    pub fn random() -> RunId {
        RunId(format!("{:08x}", RandomState::new().hash_one(()) as u32))
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

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
