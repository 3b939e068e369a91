//! How one node finds its peers: as a plan says it, and as the record does of a node that joined.

use peerlab_link::NodeId;
use serde::{Deserialize, Serialize};

/// How one node finds its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peers {
    /// Connects to exactly these (static graph; `-connect`).
    Fixed(Vec<NodeId>),
    /// Knows these at first, then gossips (`-addnode`).
    Bootstrap(Vec<NodeId>),
    /// Asks these for addresses once and disconnects (`-seednode`).
    Seeds(Vec<NodeId>),
}

impl Peers {
    /// Whom the node knows at first.
    pub fn known(&self) -> &[NodeId] {
        let (Peers::Fixed(known) | Peers::Bootstrap(known) | Peers::Seeds(known)) = self;
        known
    }
}
