//! Faults and churn: which nodes they mean, what they do to links and nodes, and how they are told.

use peerlab_link::proto::{Action, Timed};
use peerlab_link::{Change, Nanos, NodeId};

use super::chance::Chance;
use super::churn::{churning, draw_outages};
use super::down::{Joined, Span, Spans};
use super::place::{Chooser, Placement, node_name};
use super::spec::{Cause, Down, Fault, FaultKind, Nodes, Outage};
use crate::error::{Report, Result};
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
pub fn disturb(topology: &Topology, placement: &Placement, seed: u64) -> Result<Disturbances> {
    let mut all = Disturbances {
        churns: vec![false; placement.count()],
        ..Disturbances::default()
    };
    let mut spans = Spans::default();
    for (index, fault) in topology.faults.iter().enumerate() {
        let chance = Chance::new(seed, &format!("fault/{index}"));
        let kind = draw_kind(topology, placement, fault, chance)?;
        let (start, end) = (fault.start, fault.end);
        all.fault_schedule
            .extend(kind.fault_schedule(index as u32, start, end));
        if let Some(how) = kind.down() {
            for node in kind.node_sets().iter().flatten() {
                spans.add(*node, Span { start, end, how });
            }
        }
        all.faults.push(Fault {
            start,
            end: end.filter(|_| kind.across().is_none()),
            label: label(&kind, fault, |nodes| {
                label_nodes(topology, placement, nodes)
            }),
            cause: Cause::Fault(kind),
        });
    }
    add_churn(topology, placement, seed, &mut all, &mut spans)?;
    let joined = spans.join();
    all.outages = joined.iter().map(Joined::outage).collect();
    all.outages
        .sort_by_key(|outage| (outage.start, outage.node));
    all.fault_schedule
        .extend(joined.iter().flat_map(Joined::actions));
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

/// Which nodes a fault means.
fn draw_kind(
    topology: &Topology,
    placement: &Placement,
    fault: &topology::Fault,
    chance: Chance,
) -> Result<FaultKind<Nodes>> {
    let mut chooser = Chooser::new(topology, placement, chance);
    let mut kind = fault.kind.try_map(|nodes| chooser.sides(nodes))?;
    kind.complete(placement.count());
    if kind.sides().is_some_and(|sides| sides.len() < 2) {
        let report = Report {
            causes: vec!["its only side holds all nodes".into()],
            hint: Some("leave some nodes out, or name a second side".into()),
            ..Report::new("this partition separates nobody")
        };
        return Err(topology.error_at(&fault.path.key("partition"), report));
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

fn add_churn(
    topology: &Topology,
    placement: &Placement,
    seed: u64,
    all: &mut Disturbances,
    spans: &mut Spans,
) -> Result<()> {
    let end = topology.phases.settle_start();
    for rule in draw_churn(topology, placement, seed)? {
        let mut going = Vec::new();
        for (node, outages) in rule.outages {
            all.churns[node.index()] = true;
            going.push(node);
            for span in outages {
                spans.add(node, span);
            }
        }
        if end > Nanos::ZERO && !going.is_empty() {
            let label = format!(
                "churn of {} ({})",
                label_nodes(topology, placement, &going),
                rule.how.word()
            );
            all.faults.push(Fault {
                start: Nanos::ZERO,
                end: Some(end),
                cause: Cause::Churn {
                    nodes: going,
                    how: rule.how,
                },
                label,
            });
        }
    }
    Ok(())
}

/// What a churn rule comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnChurn {
    /// In which way nodes leave.
    pub how: Down,
    /// Those that come and go, sorted, and when each is down.
    pub outages: Vec<(NodeId, Vec<Span>)>,
}

/// Draws who is down when, for every rule; what is listed is taken as it is.
///
/// # Errors
/// Choices of nodes that cannot be met, and nodes in two rules.
pub fn draw_churn(
    topology: &Topology,
    placement: &Placement,
    seed: u64,
) -> Result<Vec<DrawnChurn>> {
    let mut ruled = vec![false; placement.count()];
    let mut refuse_twice = |node: NodeId, path: &topology::Path| {
        if !std::mem::replace(&mut ruled[node.index()], true) {
            return Ok(());
        }
        let name = node_name(topology, placement, node);
        let report = Report {
            causes: vec![format!("`{name}` is in an earlier churn rule as well")],
            hint: Some("let every node be in one churn rule at most".into()),
            ..Report::new("churn rules overlap")
        };
        Err(topology.error_at(path, report))
    };
    let mut drawn = Vec::new();
    for (index, rule) in topology.churn.iter().enumerate() {
        let mut outages = Vec::new();
        match &rule.outages {
            topology::Outages::Listed(listed) => {
                for one in listed {
                    refuse_twice(NodeId(one.node), &one.path)?;
                    let span = |(start, end): &(Nanos, Nanos)| Span {
                        start: *start,
                        end: Some(*end),
                        how: rule.how,
                    };
                    outages.push((NodeId(one.node), one.times.iter().map(span).collect()));
                }
                outages.sort_by_key(|(node, _)| *node);
            }
            topology::Outages::Drawn(renewal) => {
                let chance = Chance::new(seed, &format!("churn/{index}/nodes"));
                let nodes = Chooser::new(topology, placement, chance).one(&renewal.nodes)?;
                for node in &nodes {
                    refuse_twice(*node, &renewal.nodes.path)?;
                }
                let mut chance = Chance::new(seed, &format!("churn/{index}/always-on"));
                for node in churning(renewal, &nodes, &mut chance) {
                    let mut chance = Chance::new(seed, &format!("churn/{index}/node/{node}"));
                    let end = topology.phases.settle_start();
                    outages.push((node, draw_outages(renewal, rule.how, end, &mut chance)));
                }
            }
        }
        drawn.push(DrawnChurn {
            how: rule.how,
            outages,
        });
    }
    Ok(drawn)
}

fn label_nodes(topology: &Topology, placement: &Placement, nodes: &[NodeId]) -> String {
    if nodes.len() > NAMES_IN_LABEL_MAX {
        return format!("{} nodes", nodes.len());
    }
    let names: Vec<String> = nodes
        .iter()
        .map(|node| node_name(topology, placement, *node))
        .collect();
    names.join(", ")
}
