//! The nodes of a network's record in an experiment: who joined by hand is one more of a group there, so that
//! all nodes behind it get other numbers. One that never came up is none of them.

use std::collections::BTreeMap;

use peerlab_core::experiment::{FaultKind, Nodes};
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::{Node, Outage};
use peerlab_core::topology::{Moment, Places, Topology};
use peerlab_link::{Nanos, NodeId};

use super::scenario::{Known, Scenario, known};

/// What number each node has in the experiment, by that in the plan.
pub struct Numbers(BTreeMap<u32, u32>);

impl Numbers {
    /// Nodes are numbered through the groups, in the order in which they came.
    pub fn of(plan: &Plan) -> Numbers {
        let never = |outage: &&Outage| is_join(plan, outage) && outage.end.is_none();
        let never: Vec<NodeId> = plan
            .outages
            .iter()
            .filter(never)
            .map(|outage| outage.node)
            .collect();
        let came = plan.nodes.iter().filter(|node| !never.contains(&node.id));
        let mut order: Vec<&Node> = came.collect();
        order.sort_by_key(|node| (node.group, node.id));
        let numbers = order.iter().map(|node| node.id.0).zip(0..);
        Numbers(numbers.collect())
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Of one node.
    pub fn of_node(&self, node: u32) -> Option<u32> {
        self.0.get(&node).copied()
    }

    /// Of those that a fault names.
    pub fn in_fault(&self, mut kind: FaultKind<Nodes>) -> FaultKind<Nodes> {
        for nodes in kind.node_sets_mut() {
            let numbers = nodes.iter().filter_map(|node| self.of_node(node.0));
            let mut numbers: Nodes = numbers.map(NodeId).collect();
            numbers.sort_unstable();
            *nodes = numbers;
        }
        kind
    }

    /// Of those that do something.
    pub fn in_moments(&self, moments: Vec<Moment>) -> Vec<Moment> {
        let renamed = |moment: Moment| {
            let node = self.of_node(moment.node)?;
            Some(Moment { node, ..moment })
        };
        moments.into_iter().filter_map(renamed).collect()
    }

    /// Puts those that joined into the scenario of a file that does not have them.
    pub fn join(&self, scenario: &mut Scenario, topology: &Topology, plan: &Plan) {
        let joined = plan.nodes.iter().zip(&plan.network.nodes);
        for (node, link) in joined.skip(topology.node_count()) {
            let Some(group) = scenario.groups.get_mut(node.group as usize) else {
                continue;
            };
            if self.of_node(node.id.0).is_some() {
                group.count += 1;
                if let Places::Each(regions) = &mut group.regions {
                    regions.push(link.region);
                }
            }
        }
        scenario.known = known(topology, plan);
        match &mut scenario.known {
            Known::Each(pairs) | Known::Edges(pairs) => {
                let here = |(node, other)| Some((self.of_node(node)?, self.of_node(other)?));
                *pairs = pairs.drain(..).filter_map(here).collect();
                pairs.sort_by_key(|(node, _)| *node);
            }
            Known::Seeds(seeds) => {
                *seeds = seeds
                    .drain(..)
                    .filter_map(|node| self.of_node(node))
                    .collect();
                seeds.sort_unstable();
            }
        }
    }
}

/// Whether it is the time before a node joined.
pub fn is_join(plan: &Plan, outage: &Outage) -> bool {
    let node = plan.nodes.get(outage.node.index());
    outage.start == Nanos::ZERO && node.is_some_and(|node| !node.starts_up)
}
