//! Faults and churn: which nodes they mean, what they do to links and nodes, and how they are told.

use peerlab_link::proto::{Action, Timed};
use peerlab_link::{Change, Nanos, NodeId};

use super::chance::Chance;
use super::churn::{churning, draw_outages};
use super::down::{MergedOutage, merge_outages};
use super::place::{Chooser, Placement};
use super::spec::{Cause, Fault, Outage};
use crate::error::Result;
use crate::experiment::{Down, FaultKind, Nodes};
use crate::topology::{self, Topology};

/// Names that a label lists; of more nodes the count is told.
const NAMES_IN_LABEL_MAX: usize = 3;

/// What becomes of faults and churn.
#[derive(Clone, Debug, Default)]
pub struct Disturbances {
    /// Faults in the order of the file, then one for each churn rule.
    pub faults: Vec<Fault>,
    /// Link changes and process control, sorted by time.
    pub fault_schedule: Vec<Timed>,
    /// Who is meant to be down when.
    pub outages: Vec<Outage>,
    /// Who comes and goes, by [`NodeId`].
    pub churns: Vec<bool>,
}

/// Draws them.
///
/// # Errors
/// Choices of nodes that cannot be met, with their place in the file.
pub fn disturb(placement: &Placement<'_>) -> Result<Disturbances> {
    let topology = placement.topology;
    let mut all = Disturbances {
        churns: vec![false; placement.count()],
        ..Disturbances::default()
    };
    let mut causes: Vec<Outage> = Vec::new();
    for (index, fault) in topology.faults.iter().enumerate() {
        let chance = placement.chance(&format!("fault/{index}"));
        let kind = draw_kind(placement, &fault.kind, &fault.path, chance)?;
        let (start, end) = (fault.start, fault.end);
        all.fault_schedule
            .extend(kind.fault_schedule(index as u32, start, end));
        if let Some(how) = kind.down() {
            let outage = |node: &NodeId| Outage {
                node: *node,
                start,
                end,
                how,
            };
            causes.extend(kind.node_sets().iter().flatten().map(outage));
        }
        all.faults.push(Fault {
            start,
            end: end.filter(|_| kind.across().is_none()),
            label: label(&kind, fault, |nodes| {
                label_nodes(nodes, |node| placement.name(node))
            }),
            cause: Cause::Fault(kind),
        });
    }
    for churn in draw_churn(placement)? {
        for node in &churn.nodes {
            all.churns[node.index()] = true;
        }
        causes.extend(&churn.outages);
        all.faults.extend(churn_fault(placement, churn));
    }
    let merged = merge_outages(causes);
    all.outages = merged.iter().map(MergedOutage::outage).collect();
    all.outages
        .sort_by_key(|outage| (outage.start, outage.node));
    all.fault_schedule
        .extend(merged.iter().flat_map(MergedOutage::actions));
    heal_all(topology, &mut all.fault_schedule);
    // At one instant links change before processes do: a node that returns is reachable, and one
    // that vanishes is silent before it dies. The sort is stable: a node's actions keep their order.
    all.fault_schedule
        .sort_by_key(|timed| (timed.at, matches!(timed.action, Action::Process { .. })));
    Ok(all)
}

/// At the start of the settle phase nothing is left in force, unless something never heals.
fn heal_all(topology: &Topology, fault_schedule: &mut Vec<Timed>) {
    if topology.faults.iter().all(|fault| fault.end.is_some()) {
        fault_schedule.push(Timed {
            at: topology.phases.settle_start(),
            action: Action::Link(Change::HealAll),
        });
    }
}

/// Which nodes a fault means that is written at `path`.
///
/// # Errors
/// Choices of nodes that cannot be met, with their place in the file.
pub fn draw_kind(
    placement: &Placement<'_>,
    kind: &FaultKind<topology::Selection>,
    path: &topology::Path,
    chance: Chance,
) -> Result<FaultKind<Nodes>> {
    let mut chooser = Chooser::new(placement, chance);
    let mut kind = kind.try_map(|nodes| chooser.sides(nodes))?;
    kind.complete(placement.count());
    // Those that were removed are on no side.
    for nodes in kind.node_sets_mut() {
        nodes.retain(|node| placement.has(*node));
    }
    if !kind.prune() && kind.sides().is_some() {
        return Err(placement.refusal(
            &path.key("partition"),
            "this partition separates nobody",
            "its only side holds all nodes".into(),
            "leave some nodes out, or name a second side",
        ));
    }
    Ok(kind)
}

/// A label that says how long it lasts as well.
fn label(
    kind: &FaultKind<Nodes>,
    fault: &topology::Fault,
    names: impl Fn(&[NodeId]) -> String,
) -> String {
    let label = kind.label(names);
    match fault.end {
        _ if kind.across().is_some() => label,
        None => format!("{label}, for good"),
        Some(end) => {
            let lasts = end.saturating_sub(fault.start);
            format!("{label} for {}s", lasts.as_secs_f64())
        }
    }
}

/// A churn rule as a fault, where anybody comes and goes by it.
fn churn_fault(placement: &Placement<'_>, churn: DrawnChurn) -> Option<Fault> {
    let DrawnChurn { how, nodes, .. } = churn;
    let end = placement.topology.phases.settle_start();
    let who = label_nodes(&nodes, |node| placement.name(node));
    (end > Nanos::ZERO && !nodes.is_empty()).then(|| Fault {
        start: Nanos::ZERO,
        end: Some(end),
        label: format!("churn of {who} ({})", how.word()),
        cause: Cause::Churn { nodes, how },
    })
}

/// What a churn rule comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnChurn {
    /// In which way nodes leave.
    pub how: Down,
    /// Those that come and go, sorted.
    pub nodes: Vec<NodeId>,
    /// When they are down.
    pub outages: Vec<Outage>,
}

/// Draws who is down when, for every rule; what is listed is taken as it is.
///
/// # Errors
/// Choices of nodes that cannot be met, and nodes in two rules.
pub fn draw_churn(placement: &Placement<'_>) -> Result<Vec<DrawnChurn>> {
    let mut ruled = vec![false; placement.count()];
    let mut refuse_twice = |node: NodeId, path: &topology::Path| {
        if !std::mem::replace(&mut ruled[node.index()], true) {
            return Ok(());
        }
        let name = placement.name(node);
        Err(placement.refusal(
            path,
            "churn rules overlap",
            format!("`{name}` is in an earlier churn rule as well"),
            "let every node be in one churn rule at most",
        ))
    };
    let mut drawn = Vec::new();
    for (index, rule) in placement.topology.churn.iter().enumerate() {
        let how = rule.how;
        let mut nodes = Vec::new();
        let mut outages = Vec::new();
        match &rule.outages {
            topology::Outages::Listed(listed) => {
                for one in listed {
                    let node = NodeId(one.node);
                    refuse_twice(node, &one.path)?;
                    nodes.push(node);
                    outages.extend(one.times.iter().map(|(start, end)| Outage {
                        node,
                        start: *start,
                        end: Some(*end),
                        how,
                    }));
                }
                nodes.sort_unstable();
            }
            topology::Outages::Drawn(renewal) => {
                let chance = |of: &str| placement.chance(&format!("churn/{index}/{of}"));
                let chosen = Chooser::new(placement, chance("nodes")).one(&renewal.nodes)?;
                for node in &chosen {
                    refuse_twice(*node, &renewal.nodes.path)?;
                }
                nodes = churning(renewal, &chosen, &mut chance("always-on"));
                let end = placement.topology.phases.settle_start();
                for node in &nodes {
                    let mut chance = chance(&format!("node/{node}"));
                    outages.extend(draw_outages(renewal, *node, how, end, &mut chance));
                }
            }
        }
        drawn.push(DrawnChurn {
            how,
            nodes,
            outages,
        });
    }
    Ok(drawn)
}

/// Nodes as a label has them.
pub fn label_nodes(nodes: &[NodeId], name: impl Fn(NodeId) -> String) -> String {
    if nodes.len() > NAMES_IN_LABEL_MAX {
        return format!("{} nodes", nodes.len());
    }
    let names: Vec<String> = nodes.iter().map(|node| name(*node)).collect();
    names.join(", ")
}
