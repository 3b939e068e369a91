//! Nodes that join and leave by hand, as long as that is under way, and who waits for it.

use std::collections::{BTreeMap, BTreeSet};

use peerlab_link::NodeId;

use super::io::Ticket;
use crate::event::Joined;

/// See the module.
#[derive(Debug, Default)]
pub struct Membership {
    /// The names of all that have joined.
    names: BTreeMap<NodeId, String>,
    /// Programs of the host among them.
    guests: BTreeSet<NodeId>,
    /// Those that are being made.
    joining: BTreeMap<NodeId, Ticket>,
    /// Those whose program is to end, or whose place is being removed.
    leaving: BTreeMap<NodeId, Ticket>,
}

impl Membership {
    /// The name of a node that joined.
    pub fn name(&self, node: NodeId) -> Option<&str> {
        self.names.get(&node).map(String::as_str)
    }

    /// A node is to be made.
    pub fn joins(&mut self, joined: &Joined, ticket: Ticket) {
        let node = joined.node;
        self.names.insert(node, joined.name.clone());
        self.joining.insert(node, ticket);
        if joined.guest {
            self.guests.insert(node);
        }
    }

    /// Whether it is a program of the host.
    pub fn is_guest(&self, node: NodeId) -> bool {
        self.guests.contains(&node)
    }

    /// Whether a node has a gate that measures: one that is being made has none yet, and a program of the
    /// host never has.
    pub fn is_measurable(&self, node: NodeId) -> bool {
        !self.is_joining(node) && !self.is_guest(node)
    }

    /// Whether a node is being made.
    pub fn is_joining(&self, node: NodeId) -> bool {
        self.joining.contains_key(&node)
    }

    /// It was made, or could not be. Who waits for it; `None` where that is no news.
    pub fn joined(&mut self, node: NodeId) -> Option<Ticket> {
        self.joining.remove(&node)
    }

    /// A node's program is to end, and the node with it.
    pub fn leaves(&mut self, node: NodeId, ticket: Ticket) {
        self.leaving.insert(node, ticket);
    }

    /// Whether a node's end is under way.
    pub fn is_leaving(&self, node: NodeId) -> bool {
        self.leaving.contains_key(&node)
    }

    /// It is gone. Who waits for it.
    pub fn left(&mut self, node: NodeId) -> Option<Ticket> {
        self.leaving.remove(&node)
    }
}
