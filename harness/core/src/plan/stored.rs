//! `plan.json`: writing, reading, and checking that a plan from elsewhere is one that an engine
//! can carry out. (Plans are written by hand, shrunk by `explore`, or come from another machine.)

use std::collections::BTreeSet;

use peerlab_link::proto::{Action, ProcessOp};
use peerlab_link::{LinkModel, Nanos, NodeId};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::spec::{Cause, Fault, Plan, Work};
use crate::error::{Error, Explain, Result};

/// What a slowed program may get of a core: less than all of it, and something.
const SLOW_CPU_MILLIS: std::ops::Range<u32> = 1..1000;

/// What every format of a plan has.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

fn other_format(name: &str, version: u32) -> Error {
    let ours = Plan::VERSION;
    let (which, hint) = if version < ours {
        (
            "an older format",
            "draw it anew from its experiment file: `peerlab plan FILE --seed SEED`; the seed is in \
             the plan. Or use the Peerlab that wrote it",
        )
    } else {
        (
            "a newer format",
            "use the Peerlab that wrote it, or a later one",
        )
    };
    Error::input(format!("{name} has {which}"))
        .because(format!(
            "it has version {version} of the plan's format, and this Peerlab reads version {ours}"
        ))
        .hint(hint)
}

impl Plan {
    /// Reads and checks a plan; `name` is for errors.
    ///
    /// # Errors
    /// [`crate::error::Kind::Input`]: the text is no plan of this version, or contradicts itself.
    pub fn parse(name: &str, text: &str) -> Result<Plan> {
        let hint = "plans are written by `peerlab plan FILE` and by every run";
        // Before the rest, which is likely not to be understood where this differs.
        if let Ok(Format { version }) = serde_json::from_str(text)
            && version != Plan::VERSION
        {
            return Err(other_format(name, version));
        }
        let plan: Plan = serde_json::from_str(text)
            .or_input(|| format!("{name} is not a plan"))
            .map_err(|error| error.hint(hint))?;
        plan.validate().map_err(|cause| {
            Error::input(format!("{name} is not a plan that can be carried out"))
                .because(cause)
                .hint(hint)
        })?;
        Ok(plan)
    }

    /// As JSON, readable, ending in a newline.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists only: serde_json cannot refuse them.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// SHA-256 over the JSON, in hex: equal for equal plans.
    pub fn digest(&self) -> String {
        format!("{:x}", Sha256::digest(self.to_json()))
    }

    /// Whether an engine can carry it out.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_phases()?;
        self.validate_nodes()?;
        self.validate_network()?;
        self.validate_times()?;
        self.validate_references()
    }

    fn validate_phases(&self) -> Result<(), String> {
        let mut at = Nanos::ZERO;
        for phase in &self.phases {
            if phase.start != at || phase.end <= phase.start {
                return Err(format!(
                    "phase `{}` does not follow the one before it",
                    phase.name
                ));
            }
            at = phase.end;
        }
        if self.phases.is_empty() {
            return Err("it has no phases".into());
        }
        Ok(())
    }

    fn validate_nodes(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        let mut ips = BTreeSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let name = &node.name;
            if node.id.index() != index {
                return Err(format!(
                    "node `{name}` has number {}, and stands at place {index}",
                    node.id
                ));
            }
            let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if name.is_empty()
                || !name.chars().all(fine)
                || !names.insert(name)
                || !ips.insert(node.ip)
            {
                return Err(format!(
                    "name or address of node `{name}` is malformed or taken"
                ));
            }
            if node.group as usize >= self.groups.len() {
                return Err(format!(
                    "node `{name}` is in group {}, which is not there",
                    node.group
                ));
            }
            if !(node.hash_power.is_finite() && node.hash_power >= 0.0) {
                return Err(format!(
                    "the hash power of node `{name}` is {}",
                    node.hash_power
                ));
            }
        }
        if self.nodes.is_empty() {
            return Err("it has no nodes".into());
        }
        Ok(())
    }

    /// What the link model refuses, no engine can carry out.
    fn validate_network(&self) -> Result<(), String> {
        let network = &self.network;
        if network.nodes.len() != self.nodes.len() {
            return Err("network and node list have different lengths".into());
        }
        for (link, node) in network.nodes.iter().zip(&self.nodes) {
            if link.ip != node.ip {
                return Err(format!(
                    "the link of node `{}` does not match it",
                    node.name
                ));
            }
        }
        let mut model = LinkModel::new(network).map_err(|error| error.to_string())?;
        for timed in &self.fault_schedule {
            match &timed.action {
                Action::Link(change) => {
                    // Nothing is under way whose instants it could change.
                    let _ = model
                        .apply(timed.at, change)
                        .map_err(|error| format!("of its fault schedule, {error}"))?;
                }
                Action::Process {
                    op: ProcessOp::Slow { cpu_millis, .. },
                    ..
                } if !SLOW_CPU_MILLIS.contains(cpu_millis) => {
                    return Err(format!(
                        "a node is slowed to {cpu_millis} thousandths of a core"
                    ));
                }
                Action::Process { .. } => {}
            }
        }
        Ok(())
    }

    fn validate_times(&self) -> Result<(), String> {
        let sorted = self.fault_schedule.is_sorted_by_key(|timed| timed.at)
            && self.workload.is_sorted_by_key(|action| action.at)
            && self
                .outages
                .is_sorted_by_key(|outage| (outage.start, outage.node));
        if !sorted {
            return Err("fault schedule, workload or outages are not sorted".into());
        }
        let last = [
            self.fault_schedule.last().map(|timed| timed.at),
            self.workload.last().map(|action| action.at),
        ];
        if last.into_iter().flatten().any(|at| at > self.end()) {
            return Err("something is due after the end".into());
        }
        Ok(())
    }

    fn validate_references(&self) -> Result<(), String> {
        let count = self.nodes.len();
        let known = |nodes: &[NodeId]| nodes.iter().all(|node| node.index() < count);
        let fault = |cause: &Cause| match cause {
            Cause::Fault(kind) => {
                let across = |partition| self.faults.get(partition).and_then(Fault::sides);
                kind.node_sets().iter().all(|nodes| known(nodes))
                    && kind
                        .across()
                        .is_none_or(|partition| across(partition).is_some())
            }
            Cause::Churn { nodes, .. } => known(nodes),
        };
        let action = |action: &Action| match action {
            Action::Process { node, .. } => known(&[*node]),
            // The link model was asked.
            Action::Link(_) => true,
        };
        let work = |work: &Work| match work {
            Work::Mine { node } => known(&[*node]),
            Work::Transaction { node, output, .. } => {
                known(&[*node]) && *output < self.ledger.outputs
            }
            Work::DoubleSpend {
                fault,
                output,
                sides,
            } => {
                (*fault as usize) < self.faults.len()
                    && *output < self.ledger.outputs
                    && sides.iter().all(|side| known(side))
            }
        };
        let fine = self.nodes.iter().all(|node| known(node.peers.known()))
            && self.faults.iter().all(|it| fault(&it.cause))
            && self
                .fault_schedule
                .iter()
                .all(|timed| action(&timed.action))
            && self.outages.iter().all(|outage| known(&[outage.node]))
            && self.workload.iter().all(|action| work(&action.work));
        if fine {
            Ok(())
        } else {
            Err("something refers to a node, fault or output that is not there".into())
        }
    }
}
