//! What the lines of the plan mean for the record: which action of the fault schedule takes a node
//! down or brings it up, and when a fault begins and ends.

use std::collections::BTreeSet;

use peerlab_link::proto::{Action, ProcessOp, Timed};
use peerlab_link::{Change, Nanos, NodeId};

use crate::event::What;
use crate::experiment::{Down, FaultKind};
use crate::plan::Plan;
use crate::plan::spec::Phase;

/// What an action of the fault schedule does that the record tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A node is down from now on.
    Down(NodeId, Down),
    /// A node's program runs from now on.
    Started(NodeId),
    /// Faults of the plan begin or end, if any.
    Recorded(Vec<What>),
}

/// Follows the fault schedule's faults. Partitions and shapes begin and end when the fabric applies
/// them; their ids are indices into the plan's faults, or go on behind them.
#[derive(Debug, Default)]
pub struct Faults {
    in_force: BTreeSet<u32>,
}

impl Faults {
    /// What a line of the fault schedule, or an order by hand, did, now that it was applied. `meant` is
    /// how the plan, or somebody by hand, means a node to be down.
    pub fn applied(
        &mut self,
        meant: impl FnOnce(NodeId) -> Option<Down>,
        known: u32,
        line: &Timed,
    ) -> Effect {
        match &line.action {
            Action::Process { node, op } => process(meant, *node, *op),
            Action::Link(Change::Silence { node }) => {
                Effect::Down(*node, meant(*node).unwrap_or(Down::Vanish))
            }
            Action::Link(change) => Effect::Recorded(self.changed(known, change)),
        }
    }

    /// Of faults that have an index below `known`.
    fn changed(&mut self, known: u32, change: &Change) -> Vec<What> {
        let ended = |fault| What::FaultEnded { fault };
        match *change {
            Change::Partition { id: fault, .. } | Change::Shape { id: fault, .. } => {
                let is_new = fault < known && self.in_force.insert(fault);
                is_new
                    .then_some(What::FaultBegan { fault })
                    .into_iter()
                    .collect()
            }
            Change::Heal { id } | Change::Unshape { id } => {
                self.in_force.take(&id).map(ended).into_iter().collect()
            }
            Change::HealAll => std::mem::take(&mut self.in_force)
                .into_iter()
                .map(ended)
                .collect(),
            Change::Silence { .. } | Change::Unsilence { .. } => Vec::new(),
        }
    }
}

fn process(meant: impl FnOnce(NodeId) -> Option<Down>, node: NodeId, op: ProcessOp) -> Effect {
    match op.leaves_running() {
        Some(true) => Effect::Started(node),
        Some(false) => {
            let by_hand = match op {
                ProcessOp::Freeze => Down::Freeze,
                ProcessOp::Stop => Down::Stop,
                other => {
                    debug_assert_eq!(other, ProcessOp::Kill, "nothing else ends a program");
                    Down::Kill
                }
            };
            Effect::Down(node, meant(node).unwrap_or(by_hand))
        }
        None => Effect::Recorded(Vec::new()),
    }
}

/// How the plan means a node to be down at this moment.
pub fn meant_way(plan: &Plan, node: NodeId, at: Nanos) -> Option<Down> {
    let covers = |end: Option<Nanos>| end.is_none_or(|end| at < end);
    plan.outages
        .iter()
        .find(|o| o.node == node && o.start <= at && covers(o.end))
        .map(|outage| outage.how)
}

/// What the harness itself records at instants that the plan gives: phases, and the faults that
/// no single line of the fault schedule stands for. Sorted by time; ends before beginnings.
pub fn phase_markers(plan: &Plan) -> Vec<(Nanos, What)> {
    let phase = |phase: &Phase| {
        let name = phase.name.clone();
        (phase.start, What::Phase { name })
    };
    let mut entries: Vec<(Nanos, What)> = plan.phases.iter().map(phase).collect();
    for (fault, planned) in (0..).zip(&plan.faults) {
        let kind = planned.kind();
        if !kind.is_some_and(FaultKind::is_recorded_when_applied) {
            entries.push((planned.start, What::FaultBegan { fault }));
            entries.extend(planned.end.map(|end| (end, What::FaultEnded { fault })));
        }
    }
    let rank = |what: &What| match what {
        What::FaultEnded { .. } => 0,
        What::Phase { .. } => 1,
        _ => 2,
    };
    entries.sort_by_key(|(at, what)| (*at, rank(what)));
    entries
}
