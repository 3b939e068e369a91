//! Which nodes have yet to answer for the first time since their programs were first started, and by
//! when they must. What becomes of a node later is the network's own doing, and judged.

use std::collections::{BTreeMap, BTreeSet};

use peerlab_link::{Nanos, NodeId};

use crate::error::Error;
use crate::event::Reason;
use crate::plan::Plan;
use crate::words;

/// How long a node may take where the file does not say, and what each node of the network adds to
/// it: all start at once, and many on one machine take long.
const READY_TIMEOUT: Nanos = Nanos::from_secs(60);
const READY_SHARE: Nanos = Nanos::from_millis(100);
/// What to do about a node that never becomes ready.
const UNREADY_HINT: &str = "is the image's program right for this machine, and does it take the \
                            options of `command`? Where its group needs longer, say how long: \
                            `ready: 5m`";

/// Nodes in their first start-up.
#[derive(Debug, Default)]
pub struct Readiness {
    by_deadline: BTreeSet<(Nanos, NodeId)>,
    deadlines: BTreeMap<NodeId, Nanos>,
}

impl Readiness {
    /// A node's program was started for the first time.
    pub fn started(&mut self, plan: &Plan, now: Nanos, node: NodeId) {
        if let Some(bound) = bound(plan, node) {
            let deadline = now.saturating_add(bound);
            self.by_deadline.insert((deadline, node));
            self.deadlines.insert(node, deadline);
        }
    }

    /// A node has answered, or is down.
    pub fn over(&mut self, node: NodeId) {
        if let Some(deadline) = self.deadlines.remove(&node) {
            self.by_deadline.remove(&(deadline, node));
        }
    }

    /// Whether a node is in its first start-up.
    pub fn awaits(&self, node: NodeId) -> bool {
        self.deadlines.contains_key(&node)
    }

    /// When the first of them must have answered, and which.
    pub fn first(&self) -> Option<(Nanos, NodeId)> {
        self.by_deadline.first().copied()
    }

    /// That a node, and others of its group, must have answered by now; `heard` is what is known of
    /// the reason.
    pub fn overdue(&self, plan: &Plan, now: Nanos, node: NodeId, heard: &Reason) -> Error {
        let group = |node: NodeId| plan.nodes.get(node.index()).map(|node| node.group);
        let due = self.by_deadline.iter().take_while(|(at, _)| *at <= now);
        let of_group = due.filter(|(_, other)| group(*other) == group(node));
        let names: Vec<String> = of_group.map(|(_, node)| plan.node_name(*node)).collect();
        let cause = format!(
            "{} did not answer within {} of its start: {heard}",
            plan.node_name(node),
            words::duration(bound(plan, node).unwrap_or_default())
        );
        never_ready(&names, cause)
    }
}

/// That these nodes never became ready.
pub fn never_ready(names: &[String], cause: String) -> Error {
    let what = format!("{} never became ready", words::names(names));
    Error::environment(what, cause, UNREADY_HINT)
}

/// How long a node of the plan may take.
pub fn bound(plan: &Plan, node: NodeId) -> Option<Nanos> {
    let group = plan.nodes.get(node.index())?.group;
    let stated = plan.groups.get(group as usize)?.ready;
    let share = Nanos(READY_SHARE.0.saturating_mul(plan.nodes.len() as u64));
    Some(stated.unwrap_or(READY_TIMEOUT.saturating_add(share)))
}
