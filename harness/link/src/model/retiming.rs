//! What a change of links does to packets that are under way: how the changed links were before.
//! How they are now, and what follows for a packet, [`crate::LinkModel`] knows.

use crate::change::PathDelay;
use crate::id::{Nanos, NodeId};
use crate::model::access::AccessRate;

/// A node's link, as far as packets under way depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) up: AccessRate,
    pub(super) down: AccessRate,
    /// Added to the paths of what the node sends.
    pub(super) added: PathDelay,
}

/// At an instant some links changed their pace. Whoever keeps packets that are under way asks
/// [`crate::LinkModel::retime_sent`] or [`crate::LinkModel::retime_arrived`] for the new instants
/// of those that a changed link is about, before anything else.
#[derive(Clone, Debug)]
#[must_use = "packets under way have other instants now"]
pub struct Retiming {
    pub(super) now: u64,
    /// As they were before, sorted by node.
    before: Vec<(NodeId, Pace)>,
}

impl Retiming {
    /// Nothing has changed yet.
    pub(super) fn at(now: Nanos) -> Retiming {
        Retiming {
            now: now.0,
            before: Vec::new(),
        }
    }

    /// The link of a node was like this before, unless it is known how it was.
    pub(super) fn changed(&mut self, node: NodeId, before: Pace) {
        if let Err(place) = self.before.binary_search_by_key(&node, |&(node, _)| node) {
            self.before.insert(place, (node, before));
        }
    }

    pub(super) fn before(&self, node: NodeId) -> Option<&Pace> {
        let place = self.before.binary_search_by_key(&node, |&(node, _)| node);
        place.ok().map(|place| &self.before[place].1)
    }

    /// Whether nothing changed for any packet.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// Whether something changed for packets that this node has sent and that have not arrived, and
    /// for those in the queue of its access link.
    pub fn is_about(&self, node: NodeId) -> bool {
        self.before(node).is_some()
    }

    /// How long the access link of a node took for a packet when it was idle: before, if it has
    /// changed.
    pub fn down_service_before(&self, dst: NodeId, wire_bytes: u32) -> Option<Nanos> {
        self.before(dst)
            .map(|pace| Nanos(pace.down.service_ns(wire_bytes)))
    }
}
