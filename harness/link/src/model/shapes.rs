//! Which shapes are in force, and what they make of a node's link.

use crate::change::{NodeLink, PathDelay, Shape};
use crate::id::NodeId;

/// One shape in force.
#[derive(Clone, Debug)]
struct InForce {
    id: u32,
    nodes: Vec<NodeId>,
    shape: Shape,
}

/// All shapes in force, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Shapes {
    in_force: Vec<InForce>,
}

/// A node's link as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShapedLink {
    pub(super) up_bps: Option<u64>,
    pub(super) down_bps: Option<u64>,
    pub(super) loss: crate::change::Loss,
    /// Added to the paths of what the node sends.
    pub(super) added: PathDelay,
}

impl Shapes {
    /// Adds a shape as the latest; one of the same id ends. Returns the nodes that this touches.
    pub(super) fn begin(&mut self, id: u32, nodes: &[NodeId], shape: Shape) -> Vec<NodeId> {
        let mut touched = self.end(id);
        touched.extend_from_slice(nodes);
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable();
        self.in_force.push(InForce { id, nodes, shape });
        touched
    }

    /// Ends a shape, if there is one of this id. Returns the nodes that it touched.
    pub(super) fn end(&mut self, id: u32) -> Vec<NodeId> {
        match self.in_force.iter().position(|s| s.id == id) {
            Some(index) => self.in_force.remove(index).nodes,
            None => Vec::new(),
        }
    }

    /// Ends all shapes. Returns the nodes that they touched.
    pub(super) fn end_all(&mut self) -> Vec<NodeId> {
        self.in_force.drain(..).flat_map(|s| s.nodes).collect()
    }

    /// What the shapes make of a node's link. Of several that change the same thing the latest wins.
    pub(super) fn of(&self, node: NodeId, plain: &NodeLink) -> ShapedLink {
        let mut link = ShapedLink {
            up_bps: plain.up_bps,
            down_bps: plain.down_bps,
            loss: plain.loss,
            added: PathDelay::default(),
        };
        let on_node = self
            .in_force
            .iter()
            .filter(|s| s.nodes.binary_search(&node).is_ok());
        for InForce { shape, .. } in on_node {
            if shape.rate_bps.is_some() {
                link.up_bps = shape.rate_bps;
                link.down_bps = shape.rate_bps;
            }
            link.loss = shape.loss.unwrap_or(link.loss);
            link.added.base = shape.delay.unwrap_or(link.added.base);
            link.added.jitter = shape.jitter.unwrap_or(link.added.jitter);
        }
        link
    }
}
