//! New nodes in the place of others: how much had been delivered to each when it first answered, so
//! that one which has more than that is known to have kept what it was to lose.

use std::collections::{BTreeMap, BTreeSet};

use peerlab_link::proto::{Action, NodeCounters};
use peerlab_link::{Nanos, NodeId};

use crate::event::What;
use crate::plan::Plan;

/// Why the counters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// For the record.
    Row,
    /// A node is down that will be replaced, perhaps this time.
    Gone(NodeId),
    /// The new node has answered, at this instant.
    Answered(NodeId, Nanos),
}

/// Follows the nodes that the plan replaces.
#[derive(Debug)]
pub struct Replacements {
    /// Those that the plan replaces at some time.
    planned: BTreeSet<NodeId>,
    /// Those that were emptied, and have not answered since.
    fresh: BTreeSet<NodeId>,
    /// What had been delivered to each when it was last gone.
    before: BTreeMap<NodeId, u64>,
}

impl Replacements {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Replacements {
        let lines = plan.fault_schedule.iter();
        Replacements {
            planned: lines.filter_map(|line| line.action.wipes()).collect(),
            fresh: BTreeSet::new(),
            before: BTreeMap::new(),
        }
    }

    /// A node is to be replaced, by hand.
    pub fn planned(&mut self, node: NodeId) {
        self.planned.insert(node);
    }

    /// A node's program has ended. What is to be read.
    pub fn gone(&mut self, node: NodeId) -> Option<Reading> {
        self.before.remove(&node);
        let planned = self.planned.contains(&node);
        planned.then_some(Reading::Gone(node))
    }

    /// An action took effect.
    pub fn applied(&mut self, action: &Action) {
        self.fresh.extend(action.wipes());
    }

    /// A node answers for the first time in its incarnation. What is to be read.
    pub fn answered(&mut self, node: NodeId, t: Nanos) -> Option<Reading> {
        let is_new = self.fresh.remove(&node);
        is_new.then_some(Reading::Answered(node, t))
    }

    /// The counters were read. What is to be recorded, and for when.
    pub fn read(&mut self, reading: Reading, rows: &[NodeCounters]) -> Option<(Nanos, What)> {
        let received = |node: NodeId| rows.get(node.index()).map(|row| row.rx_bytes);
        match reading {
            Reading::Row => None,
            Reading::Gone(node) => {
                self.before.insert(node, received(node)?);
                None
            }
            Reading::Answered(node, t) => {
                let before = self.before.remove(&node)?;
                let received = received(node)?.saturating_sub(before);
                Some((t, What::Replaced { node, received }))
            }
        }
    }
}
