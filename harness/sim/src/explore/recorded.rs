//! What was done to a network by hand, as an experiment: its nodes and its network, the blocks, payments
//! and faults at their times, phases around them, and expectations of what was measured, with a margin.
//!
//! What went before the first fault is left out but for a warm-up, and what a network did of itself and no
//! experiment can have it do, as a node that ended, is left out as well. In the settle phase one miner
//! mines blocks that decide, then there is quiet, as in every experiment.

use std::collections::{BTreeMap, BTreeSet};

use peerlab_core::check::Judgement;
use peerlab_core::error::{Error, Result};
use peerlab_core::event::{RunEvent, What};
use peerlab_core::experiment::{
    Ability, Disturbance, Down, Expectation, FaultKind, Nodes, PERIOD_MIN,
};
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec;
use peerlab_core::topology::{Moment, Phases, Topology};
use peerlab_core::words;
use peerlab_link::{Nanos, NodeId};

use super::members::{Numbers, is_join};
use super::scenario::{Fault, Outage, Scenario};

/// The warm-up: at least as long as nodes over the world take to find each other, and at most what of
/// the time before the first fault is worth repeating.
const WARMUP_MIN: Nanos = Nanos::from_secs(15);
const WARMUP_MAX: Nanos = Nanos::from_secs(30);
/// Nothing is mined or paid before: nodes have just started.
const HEAD_START: Nanos = Nanos::from_secs(3);
/// The settle phase, at least. It has room for the time to agree, and for the end of every experiment.
const SETTLE_MIN: Nanos = Nanos::from_secs(45);
/// What of it no agreement is waited for: its last block, and quiet before and after.
const CLOSING: Nanos = Nanos::from_secs(20);
/// When the miner of the settle phase mines, since its start; and how long before the end once more.
const DECIDING: [Nanos; 3] = [
    Nanos::from_secs(2),
    Nanos::from_secs(5),
    Nanos::from_secs(8),
];
const LAST_BLOCK_BEFORE_END: Nanos = Nanos::from_secs(9);
/// The margin on times to agree: so many times what was measured, and at least this: a sound node may
/// take 24 s to miss a connection that ended without a word.
const AGREEMENT_FACTOR: u64 = 2;
const AGREEMENT_MIN: Nanos = Nanos::from_secs(24);
/// How long agreement must last.
const HOLD: Nanos = Nanos::from_secs(5);
/// The margin on the depth of reorganisations: so many times what was measured, and so many more.
const REORG_FACTOR: u32 = 2;
const REORG_MORE: u32 = 3;
/// Times are written to the millisecond: an order by hand is not carried out more exactly.
const GRAIN: u64 = 1_000_000;

/// What happened on the ledger.
#[derive(Debug, Default)]
pub struct History {
    /// Blocks that somebody was asked to mine.
    blocks: Vec<Moment>,
    /// Blocks of which that is not known, as when a node was asked to by RPC.
    unasked: u64,
    /// Payments that were taken.
    payments: Vec<Moment>,
    /// When nodes were removed.
    left: BTreeMap<NodeId, Nanos>,
    /// The latest instant that was told of.
    end: Nanos,
}

impl History {
    /// As a record tells it.
    pub fn of(events: impl Iterator<Item = RunEvent>) -> History {
        let mut history = History::default();
        for RunEvent { t, what } in events {
            history.end = history.end.max(t);
            let moment = |node: NodeId| Moment {
                at: t,
                node: node.0,
            };
            match what {
                What::Block(block) => match block.miner {
                    Some(miner) => history.blocks.push(moment(miner)),
                    None => history.unasked += 1,
                },
                What::Transaction {
                    node,
                    double_spend: None,
                    refused: None,
                    ..
                } => history.payments.push(moment(node)),
                What::Left { node } => {
                    history.left.insert(node, t);
                }
                What::Started(_)
                | What::Host(_)
                | What::Phase { .. }
                | What::NodeUp { .. }
                | What::NodeDown { .. }
                | What::Effect { .. }
                | What::ByHand { .. }
                | What::Ordered { .. }
                | What::Joined(_)
                | What::Replaced { .. }
                | What::FaultBegan { .. }
                | What::FaultEnded { .. }
                | What::MineMissed { .. }
                | What::Tip { .. }
                | What::Value { .. }
                | What::Transaction { .. }
                | What::Traffic { .. }
                | What::Peers { .. }
                | What::Usage { .. }
                | What::Fidelity { .. }
                | What::Ledger { .. }
                | What::Unanswered { .. }
                | What::LogEnd { .. }
                | What::Ended { .. } => {}
            }
        }
        history
    }

    /// How many of the experiment's nodes were removed.
    fn left(&self, numbers: &Numbers) -> usize {
        let left = self.left.keys();
        left.filter(|node| numbers.of_node(node.0).is_some())
            .count()
    }
}

/// A network's record as an experiment, and what is to be said about it at the top of its file.
///
/// # Errors
/// When it cannot be told as an experiment.
pub fn recorded(
    topology: &Topology,
    plan: &Plan,
    history: &History,
    judgement: &Judgement,
) -> Result<(Scenario, String)> {
    let numbers = Numbers::of(plan);
    let faults = faults(plan, history);
    let joins = joins(plan);
    let starts = faults.iter().map(|fault| fault.start);
    let ends = faults.iter().map(|fault| fault.end.unwrap_or(fault.start));
    let joined = || joins.values().copied();
    let window = Window::around(
        starts.chain(joined()).min().unwrap_or(history.end),
        ends.chain(joined()).max().unwrap_or(history.end),
    );
    let agreement = agreement(judgement);
    let settle = agreement.map_or(SETTLE_MIN, |within| {
        SETTLE_MIN.max(within.saturating_add(HOLD).saturating_add(CLOSING))
    });
    let mut scenario = Scenario::of(&topology.undisturbed(), plan.seed)?;
    numbers.join(&mut scenario, topology, plan);
    scenario.phases = Phases {
        warmup: window.warmup,
        faults: window.length,
        settle,
    };
    let end = scenario.phases.end();
    let settle_start = scenario.phases.settle_start();
    scenario.faults = faults
        .into_iter()
        .filter_map(|fault| {
            let mut kind = numbers.in_fault(fault.kind);
            // One that only nodes had that are no part of the experiment is none.
            kind.prune().then(|| Fault {
                start: window.within(fault.start),
                end: fault.end.map(|end| window.within(end).min(settle_start)),
                kind,
            })
        })
        .collect();
    scenario.outages = joins
        .iter()
        .filter_map(|(node, at)| Some((numbers.of_node(node.0)?, at)))
        .map(|(node, at)| Outage {
            node,
            start: Nanos::ZERO,
            end: window.within(*at),
            how: Down::Stop,
        })
        .collect();
    scenario.blocks = numbers.in_moments(window.moments(&history.blocks));
    scenario.payments = numbers.in_moments(window.moments(&history.payments));
    let miner = miner(plan, history).and_then(|miner| numbers.of_node(miner));
    if let Some(node) = miner {
        let deciding = DECIDING.map(|after| settle_start.saturating_add(after));
        let last = end.saturating_sub(LAST_BLOCK_BEFORE_END);
        let moment = |at| Moment { at, node };
        scenario
            .blocks
            .extend(deciding.into_iter().chain([last]).map(moment));
    }
    scenario.expect = expect(topology, &numbers, history, judgement, agreement);
    scenario.sort();
    let members = (joins.len(), history.left(&numbers));
    let head = head(&window, history, members, judgement);
    Ok((scenario, head))
}

/// Which part of the network's time becomes the experiment's.
struct Window {
    /// When the first fault began.
    first: Nanos,
    /// Where that is in the experiment.
    warmup: Nanos,
    /// From the first fault to the end of the last.
    length: Nanos,
}

impl Window {
    fn around(first: Nanos, last: Nanos) -> Window {
        let first = whole(first);
        Window {
            first,
            warmup: first.clamp(WARMUP_MIN, WARMUP_MAX),
            length: whole(last.saturating_sub(first).saturating_add(Nanos(GRAIN))),
        }
    }

    /// A moment of the network in the experiment's time.
    fn within(&self, t: Nanos) -> Nanos {
        let moved = whole(t).saturating_add(self.warmup);
        moved.saturating_sub(self.first)
    }

    /// What happened in it, once nodes have started and until the settle phase.
    fn moments(&self, all: &[Moment]) -> Vec<Moment> {
        let settle = self.warmup.saturating_add(self.length);
        let moved = all.iter().map(|moment| Moment {
            at: self.within(moment.at),
            ..*moment
        });
        moved
            .filter(|moment| moment.at >= HEAD_START && moment.at < settle)
            .collect()
    }
}

fn whole(t: Nanos) -> Nanos {
    Nanos(t.0 / GRAIN * GRAIN)
}

/// When nodes that joined were started. One that never was is no part of the experiment.
fn joins(plan: &Plan) -> BTreeMap<NodeId, Nanos> {
    let outages = plan.outages.iter().filter(|outage| is_join(plan, outage));
    let start = |outage: &spec::Outage| outage.end.map(|end| (outage.node, whole(end)));
    outages.filter_map(start).collect()
}

/// The faults by hand. What is still in force ends with the record; a node that was removed is stopped for
/// good.
fn faults(plan: &Plan, history: &History) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let by_hand = plan.faults.iter().filter_map(|it| Some((it, it.kind()?)));
    for (fault, kind) in by_hand {
        match kind.down() {
            Some(how) => faults.extend(downs(plan, history, fault, kind, how)),
            None => faults.push(Fault {
                start: fault.start,
                end: Some(ended(history, fault.start, fault.end)),
                kind: kind.clone(),
            }),
        }
    }
    let mut left: BTreeMap<Nanos, Nodes> = BTreeMap::new();
    for (node, at) in &history.left {
        left.entry(whole(*at)).or_default().push(*node);
    }
    faults.extend(left.into_iter().map(|(start, nodes)| Fault {
        start,
        end: None,
        kind: FaultKind::Down {
            nodes,
            how: Down::Stop,
        },
    }));
    faults.sort_by_key(|fault| fault.start);
    faults
}

/// A fault whose nodes need not have come back together: it is written once for each end.
fn downs(
    plan: &Plan,
    history: &History,
    fault: &spec::Fault,
    kind: &FaultKind<Nodes>,
    how: Down,
) -> Vec<Fault> {
    let mut by_end: BTreeMap<Option<Nanos>, Nodes> = BTreeMap::new();
    for node in kind.node_sets().iter().flatten() {
        let end = match (fault.end, up_again(plan, *node, fault.start)) {
            (None, None) if history.left.contains_key(node) => None,
            (let_go, up) => {
                let first = let_go.into_iter().chain(up).min();
                Some(whole(ended(history, fault.start, first)))
            }
        };
        by_end.entry(end).or_default().push(*node);
    }
    let fault = |(end, mut nodes): (Option<Nanos>, Nodes)| {
        nodes.sort_unstable();
        Fault {
            start: whole(fault.start),
            end,
            kind: FaultKind::Down { nodes, how },
        }
    };
    by_end.into_iter().map(fault).collect()
}

/// When a node was started again that was down at an instant.
fn up_again(plan: &Plan, node: NodeId, t: Nanos) -> Option<Nanos> {
    let ends = plan.outages.iter().filter(|outage| outage.node == node);
    ends.filter_map(|outage| outage.end)
        .filter(|end| *end > t)
        .min()
}

/// An end that experiments may have.
fn ended(history: &History, start: Nanos, end: Option<Nanos>) -> Nanos {
    end.unwrap_or(history.end)
        .max(start.saturating_add(PERIOD_MIN))
}

/// Who mines in the settle phase: the one that mined most; where nobody did, nobody.
fn miner(plan: &Plan, history: &History) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for block in &history.blocks {
        *counts.entry(block.node).or_default() += 1;
    }
    let stayed = |node: u32| !history.left.contains_key(&NodeId(node));
    let most = counts
        .into_iter()
        .filter(|(node, _)| stayed(*node))
        .max_by_key(|(node, count)| (*count, u32::MAX - node));
    let mines = |node: &&spec::Node| node.hash_power > 0.0 && stayed(node.id.0);
    let first = plan.nodes.iter().find(mines).map(|node| node.id.0);
    most.map(|(node, _)| node)
        .or(first.filter(|_| plan.ledger.block_interval.is_some()))
}

/// The bound on the time to agree: from what was measured after each partition that healed.
fn agreement(judgement: &Judgement) -> Option<Nanos> {
    let healed = |p: &&peerlab_core::check::PartitionStory| p.healed_ns.is_some();
    let partitions = judgement.figures.partitions.iter().filter(healed);
    let measured: Option<Vec<Nanos>> = partitions.map(|it| it.agreed_after_ns).collect();
    let longest = measured?.into_iter().max()?;
    let within = Nanos(longest.0.saturating_mul(AGREEMENT_FACTOR));
    Some(seconds_up(within.max(AGREEMENT_MIN)))
}

fn seconds_up(t: Nanos) -> Nanos {
    Nanos::from_secs(t.0.div_ceil(1_000_000_000))
}

fn expect(
    topology: &Topology,
    numbers: &Numbers,
    history: &History,
    judgement: &Judgement,
    agreement: Option<Nanos>,
) -> Vec<Expectation> {
    let stayed = numbers.count().saturating_sub(history.left(numbers));
    let abilities = topology.groups.iter().map(|group| group.probe.ability());
    let least = abilities.min().unwrap_or(Ability::Up);
    let mut expect = Vec::new();
    if least >= Ability::Chain && stayed > 1 {
        let converged = |within, of| Expectation::Converged {
            within,
            of,
            lag: 1,
            hold: HOLD,
        };
        if let Some(within) = agreement {
            expect.push(converged(within, Disturbance::Heal));
        }
        expect.push(converged(AGREEMENT_MIN, Disturbance::Settle));
        let deepest = judgement.figures.forks.deepest_reorg.as_ref();
        let deepest = deepest.map_or(0, |reorg| reorg.depth);
        expect.push(Expectation::ReorgDepth {
            min: None,
            max: Some(deepest * REORG_FACTOR + REORG_MORE),
        });
    }
    if least >= Ability::Ledger {
        expect.push(Expectation::SameLedger);
    }
    expect.push(Expectation::NodesUp { min: stayed as u32 });
    expect
}

/// What is to be known about the file.
/// `members` is how many nodes joined, and how many were removed.
fn head(
    window: &Window,
    history: &History,
    members: (usize, usize),
    judgement: &Judgement,
) -> String {
    let (joined, left) = members;
    let mut lines =
        vec!["Written by `peerlab record`: what was done to a network by hand.".to_owned()];
    let before = window.first.saturating_sub(window.warmup);
    if before > Nanos::ZERO {
        lines.push(format!(
            "Left out: {} before the warm-up, in which nothing was done to it.",
            words::duration(whole(before))
        ));
    }
    if joined > 0 {
        lines.push(format!(
            "{} joined: counted in their groups, and down by `churn` until then.",
            words::count(joined as u64, "node")
        ));
    }
    if left > 0 {
        lines.push(format!(
            "{} removed: stopped, and never started again.",
            words::count(left as u64, "node")
        ));
    }
    if history.unasked > 0 {
        lines.push(format!(
            "Left out: {}; who was asked to mine {} is not known.",
            words::count(history.unasked, "block"),
            if history.unasked == 1 { "it" } else { "them" }
        ));
    }
    let died: BTreeSet<&str> = judgement
        .figures
        .deaths
        .iter()
        .map(|death| death.node.as_str())
        .collect();
    if !died.is_empty() {
        let names: Vec<String> = died.into_iter().map(str::to_owned).collect();
        lines.push(format!(
            "Left out: that {} ended without having been asked to.",
            words::names(&names)
        ));
    }
    let unresolved = judgement
        .figures
        .partitions
        .iter()
        .any(|it| it.healed_ns.is_some() && it.agreed_after_ns.is_none());
    if unresolved {
        lines.push(
            "Nothing is expected of the time to agree after a partition: after one, the record ended or \
             something else was done before nodes had agreed for a block interval."
                .to_owned(),
        );
    }
    lines.join("\n")
}

/// That what was written is an experiment.
///
/// # Errors
/// When it is none: it is too long, or the mistake is ours.
pub fn check_written(text: &str) -> Result<()> {
    let checked = peerlab_core::topology::parse("recorded.yaml", text)
        .and_then(|topology| peerlab_core::plan::compile(&topology, topology.seed));
    checked.map(drop).map_err(|error| {
        let cause = error.to_string();
        Error::input("what was recorded cannot be written as an experiment")
            .because(cause)
            .hint("a record of many hours may be too long; do the same in a network that is new")
    })
}

#[cfg(test)]
mod tests {
    use peerlab_core::plan::{completed, stay};
    use peerlab_core::topology::parse;
    use peerlab_link::proto::{Action, ProcessOp};

    use super::*;

    const FILE: &str = "
name: three
seed: 1
phases: { warmup: 4s, settle: 10s }
nodes: { peers: { count: 3, hashpower: 1 } }
ledger: { block_interval: 2s }
";

    fn of_events(events: &[(u64, What)]) -> Vec<Fault> {
        let topology = parse("x.yaml", FILE).unwrap();
        let events = || {
            let events = events.iter().cloned();
            events.map(|(t, what)| RunEvent {
                t: Nanos::from_secs(t),
                what,
            })
        };
        let plan = completed(stay(&topology, 1).unwrap().plan, events());
        faults(&plan, &History::of(events()))
    }

    fn down(fault: u32, how: Down, nodes: &[u32]) -> What {
        What::ByHand {
            fault,
            kind: FaultKind::Down {
                nodes: nodes.iter().copied().map(NodeId).collect(),
                how,
            },
            label: String::new(),
        }
    }

    fn start(line: u32, node: u32) -> What {
        What::Ordered {
            line,
            action: Action::Process {
                node: NodeId(node),
                op: ProcessOp::Start,
            },
        }
    }

    /// How, which nodes, from when and until when.
    fn told(faults: &[Fault]) -> Vec<(Down, Nodes, u64, Option<u64>)> {
        let whole = |t: Nanos| t.0 / 1_000_000_000;
        let told = |fault: &Fault| match &fault.kind {
            FaultKind::Down { nodes, how } => {
                let end = fault.end.map(whole);
                (*how, nodes.clone(), whole(fault.start), end)
            }
            other => panic!("{other:?}"),
        };
        faults.iter().map(told).collect()
    }

    #[test]
    fn each_fault_of_a_node_that_was_down_by_several_is_written() {
        let faults = of_events(&[
            (10, down(0, Down::Freeze, &[0, 1])),
            (20, down(1, Down::Kill, &[0])),
            (30, What::FaultEnded { fault: 0 }),
            (40, start(0, 0)),
            (40, What::FaultEnded { fault: 1 }),
        ]);
        assert_eq!(
            told(&faults),
            [
                (Down::Freeze, vec![NodeId(0), NodeId(1)], 10, Some(30)),
                (Down::Kill, vec![NodeId(0)], 20, Some(40)),
            ]
        );
    }

    #[test]
    fn nodes_of_a_fault_come_back_each_at_its_time_and_removed_ones_never() {
        let faults = of_events(&[
            (10, down(0, Down::Kill, &[0, 1, 2])),
            (20, start(0, 1)),
            (25, What::Left { node: NodeId(2) }),
            (30, start(1, 0)),
            (30, What::FaultEnded { fault: 0 }),
            (60, What::Ended { interrupted: false }),
        ]);
        let (a, b, c) = (NodeId(0), NodeId(1), NodeId(2));
        assert_eq!(
            told(&faults),
            [
                (Down::Kill, vec![b], 10, Some(20)),
                (Down::Kill, vec![a, c], 10, Some(30)),
                (Down::Stop, vec![c], 25, None),
            ]
        );
    }
}
