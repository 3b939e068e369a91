//! Faults and churn: which nodes they mean, what they do to links and nodes, and how they are told.

use peerlab_link::proto::{Action, Timed};
use peerlab_link::{Change, Nanos, NodeId};

use super::chance::Chance;
use super::churn::{absences, churning};
use super::down::{Joined, Span, Spans};
use super::place::{Chooser, Placement, node_name};
use super::spec::{Down, Fault, FaultKind, Outage};
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
    pub timetable: Vec<Timed>,
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
        let chooser = Chooser::new(
            topology,
            placement,
            Chance::new(seed, &format!("fault/{index}")),
        );
        let fault = add_fault(
            topology, placement, fault, index, chooser, &mut all, &mut spans,
        )?;
        all.faults.push(fault);
    }
    add_churn(topology, placement, seed, &mut all, &mut spans)?;
    let joined = spans.join();
    all.outages = joined.iter().map(Joined::outage).collect();
    all.outages
        .sort_by_key(|outage| (outage.start, outage.node));
    all.timetable
        .extend(joined.iter().flat_map(Joined::actions));
    heal_all(topology, &mut all.timetable);
    // At one instant links change before processes do: a node that returns is reachable, and one
    // that vanishes is silent before it dies. The sort is stable: a node's actions keep their order.
    all.timetable
        .sort_by_key(|timed| (timed.at, matches!(timed.action, Action::Process { .. })));
    Ok(all)
}

/// At the start of the settle phase nothing is left in force, unless something never heals.
fn heal_all(topology: &Topology, timetable: &mut Vec<Timed>) {
    if topology.faults.iter().all(|fault| fault.end.is_some()) {
        timetable.push(Timed {
            at: topology.phases.settle_start(),
            action: Action::Link(Change::HealAll),
        });
    }
}

fn add_fault(
    topology: &Topology,
    placement: &Placement,
    fault: &topology::Fault,
    index: usize,
    mut chooser: Chooser<'_>,
    all: &mut Disturbances,
    spans: &mut Spans,
) -> Result<Fault> {
    let id = index as u32;
    let mut link = |at, change| {
        all.timetable.push(Timed {
            at,
            action: Action::Link(change),
        });
    };
    let names = |nodes: &[NodeId]| label_nodes(topology, placement, nodes);
    let (kind, label) = match &fault.kind {
        topology::FaultKind::Partition { sides, one_way } => {
            let groups = partition(topology, placement, fault, sides, &mut chooser)?;
            link(
                fault.start,
                Change::Partition {
                    id,
                    groups: groups.clone(),
                    one_way: *one_way,
                },
            );
            if let Some(end) = fault.end {
                link(end, Change::Heal { id });
            }
            let sizes: Vec<String> = groups.iter().map(|group| group.len().to_string()).collect();
            let kind = if *one_way {
                "one-way partition"
            } else {
                "partition"
            };
            (
                FaultKind::Partition { groups },
                format!("{kind} of {} nodes", sizes.join(" | ")),
            )
        }
        topology::FaultKind::Shape { nodes, shape } => {
            let nodes = chooser.one(nodes)?;
            link(
                fault.start,
                Change::Shape {
                    id,
                    nodes: nodes.clone(),
                    shape: *shape,
                },
            );
            if let Some(end) = fault.end {
                link(end, Change::Unshape { id });
            }
            let label = format!("worse links for {}", names(&nodes));
            (FaultKind::Shape { nodes }, label)
        }
        topology::FaultKind::Down { nodes, how } => {
            let nodes = chooser.one(nodes)?;
            for node in &nodes {
                let span = Span {
                    start: fault.start,
                    end: fault.end,
                    how: *how,
                };
                spans.add(*node, span);
            }
            let label = format!("{} of {}", how.word(), names(&nodes));
            (FaultKind::Down { nodes, how: *how }, label)
        }
        topology::FaultKind::DoubleSpend { .. } => (
            FaultKind::DoubleSpend,
            "double spend across the partition".into(),
        ),
    };
    let end = if kind == FaultKind::DoubleSpend {
        None
    } else {
        fault.end
    };
    Ok(Fault {
        start: fault.start,
        end,
        kind,
        label: label_length(label, fault),
    })
}

/// The sides, and as a last one the nodes that are on none.
fn partition(
    topology: &Topology,
    placement: &Placement,
    fault: &topology::Fault,
    sides: &[topology::Selection],
    chooser: &mut Chooser<'_>,
) -> Result<Vec<Vec<NodeId>>> {
    let mut groups = chooser.sides(sides)?;
    let mut left: Vec<bool> = vec![true; placement.count()];
    for node in groups.iter().flatten() {
        left[node.index()] = false;
    }
    let others: Vec<NodeId> = placement
        .all()
        .into_iter()
        .filter(|node| left[node.index()])
        .collect();
    if !others.is_empty() {
        groups.push(others);
    }
    if groups.len() < 2 {
        let report = Report {
            causes: vec!["its only side holds all nodes".into()],
            hint: Some("leave some nodes out, or name a second side".into()),
            ..Report::new("this partition separates nobody")
        };
        return Err(topology.error_at(&fault.path.key("partition"), report));
    }
    Ok(groups)
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
        for (node, absences) in rule.away {
            all.churns[node.index()] = true;
            going.push(node);
            for span in absences {
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
                kind: FaultKind::Churn {
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
    /// Those that come and go, sorted, and when each is away.
    pub away: Vec<(NodeId, Vec<Span>)>,
}

/// Draws who is away when, for every rule; what is listed is taken as it is.
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
        let mut away = Vec::new();
        match &rule.goings {
            topology::Goings::Listed(listed) => {
                for one in listed {
                    refuse_twice(NodeId(one.node), &one.path)?;
                    let span = |(start, end): &(Nanos, Nanos)| Span {
                        start: *start,
                        end: Some(*end),
                        how: rule.how,
                    };
                    away.push((NodeId(one.node), one.times.iter().map(span).collect()));
                }
                away.sort_by_key(|(node, _)| *node);
            }
            topology::Goings::Drawn(renewal) => {
                let chance = Chance::new(seed, &format!("churn/{index}/nodes"));
                let nodes = Chooser::new(topology, placement, chance).one(&renewal.nodes)?;
                for node in &nodes {
                    refuse_twice(*node, &renewal.nodes.path)?;
                }
                let mut chance = Chance::new(seed, &format!("churn/{index}/always-on"));
                for node in churning(renewal, &nodes, &mut chance) {
                    let mut chance = Chance::new(seed, &format!("churn/{index}/node/{node}"));
                    let end = topology.phases.settle_start();
                    away.push((node, absences(renewal, rule.how, end, &mut chance)));
                }
            }
        }
        drawn.push(DrawnChurn {
            how: rule.how,
            away,
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

fn label_length(label: String, fault: &topology::Fault) -> String {
    match (&fault.kind, fault.end) {
        (topology::FaultKind::DoubleSpend { .. }, _) => label,
        (_, None) => format!("{label}, for good"),
        (_, Some(end)) => format!(
            "{label} for {}s",
            end.saturating_sub(fault.start).as_secs_f64()
        ),
    }
}
