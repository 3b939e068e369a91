//! The one pass over a run's events: what the checks need of them, and nothing else, in small
//! tables. It judges nothing.

use std::collections::BTreeMap;

use peerlab_link::proto::{Lateness, NodeCounters, Seen};
use peerlab_link::{Nanos, NodeId};
use serde::Serialize;

use super::missed::{self, MissedKind};
use super::tree::{BlockId, BlockTree};
use crate::event::{
    HostCpu, HostFacts, LedgerState, PeerSums, Reason, RunEvent, Started, Tip, What,
};
use crate::experiment::{Ability, Down};
use crate::plan::spec::Fault;
use crate::plan::{Downtime, Plan};

/// Everything kept of a run's events.
#[derive(Debug, Default)]
pub struct Record {
    /// The first line, if there was one.
    pub started: Option<Started>,
    /// Where it ran.
    pub host: HostFacts,
    pub tree: BlockTree,
    /// What nodes did, in the order of the file.
    pub moves: Vec<Move>,
    /// Whether anything rests on what nodes say.
    pub keeps_values: bool,
    /// What nodes said: names of which none is another's parent.
    pub values: BlockTree,
    /// When they said it: as a tip, which stands for its name in [`Record::values`].
    pub said: Vec<Move>,
    /// When each fault began and ended, by its index in the plan.
    pub faults: BTreeMap<u32, FaultSpan>,
    /// What became of each line of the fault schedule: what was seen, or why it had no effect.
    pub effects: BTreeMap<u32, Result<Seen, String>>,
    /// New nodes in the place of others: when each first answered, and what it had received.
    pub replaced: Vec<(Nanos, NodeId, u64)>,
    /// When each phase began, by name.
    pub phases: BTreeMap<String, Nanos>,
    /// Transactions of double spends, by fault, in the order of the file.
    pub double_spends: BTreeMap<u32, Vec<Spend>>,
    /// Whether the plan has a double spend.
    pub keeps_txids: bool,
    /// The blocks that hold a transaction.
    pub blocks_of_tx: BTreeMap<String, Vec<BlockId>>,
    /// Transactions that nodes took.
    pub transactions_accepted: u64,
    /// Blocks and transactions that the plan wanted and that did not happen.
    pub missed: missed::Counts,
    /// Byte counters.
    pub traffic: Traffic,
    /// Each node's own counters, the latest, and when that was.
    pub peers: BTreeMap<NodeId, (Nanos, PeerSums)>,
    /// How well the host kept up: lateness and CPU pressure.
    pub fidelity: Vec<(Lateness, Option<f64>)>,
    /// Packets that each node's device dropped, which the fabric does not know of.
    pub device_drops: BTreeMap<NodeId, u64>,
    /// What each node computed and waited, at each measurement.
    pub cpu_times: BTreeMap<NodeId, Vec<CpuTime>>,
    /// What was computed on the nodes' host, at each reading.
    pub host_cpu: Vec<(Nanos, HostCpu)>,
    /// Ledger states at the end.
    pub ledgers: BTreeMap<NodeId, LedgerState>,
    /// Why nodes that run gave no answer, the latest.
    pub unanswered: BTreeMap<NodeId, Reason>,
    /// The last lines that nodes' programs wrote.
    pub log_ends: BTreeMap<NodeId, Vec<Reason>>,
    /// Nodes that went down unasked, in the order of time.
    pub deaths: Vec<DeadNode>,
    /// Whether the last line was read, and whether it told of an interrupt.
    pub ended: Option<bool>,
    /// The latest instant of all lines: the end of what was observed.
    pub end: Nanos,
}

/// One thing that a node did.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    pub t: Nanos,
    pub node: NodeId,
    pub kind: MoveKind,
}

/// The kinds of [`Move`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// The program runs and answers.
    Up,
    /// The program is down or frozen.
    Down {
        /// The program lives on, and comes back as it was.
        frozen: bool,
    },
    /// The best block changed.
    Tip(BlockId),
    /// The node says nothing any more.
    Untold,
    /// The plan wants the program to run, or not.
    Meant(bool),
}

/// When a fault was in force, as reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultSpan {
    /// When it took effect.
    pub began: Option<Nanos>,
    /// When it was healed.
    pub ended: Option<Nanos>,
}

/// What the threads of one node had computed and waited for a CPU by an instant, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    pub t: Nanos,
    /// CPU time.
    pub cpu: Nanos,
    /// Time without a CPU that they could have used.
    pub waited: Nanos,
    /// CPU time of the node's gate.
    pub gate: Nanos,
}

/// One transaction of a double spend.
#[derive(Clone, Debug)]
pub struct Spend {
    /// When it was submitted.
    pub t: Nanos,
    pub node: NodeId,
    pub txid: String,
    /// Why the node did not take it, if it did not.
    pub refused: Option<Reason>,
}

/// A node that went down unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadNode {
    pub node: String,
    pub at_ns: Nanos,
    /// Exit code, or minus the signal.
    pub status: Option<i32>,
    pub reason: Option<Reason>,
}

/// Byte counters: whole rows at phase borders only, and sums over all nodes for each sample.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Per border the first sample at or after it.
    borders: BTreeMap<Nanos, Option<Sample>>,
    /// The latest sample.
    last: Option<Sample>,
    /// `(t, bytes sent)` by all nodes since `go`.
    pub sums: Vec<(Nanos, u64)>,
}

/// Counters of all nodes at one instant.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub t: Nanos,
    /// By node.
    pub nodes: Vec<NodeCounters>,
}

impl Traffic {
    fn take(&mut self, t: Nanos, nodes: Vec<NodeCounters>) {
        let sent = nodes.iter().map(|n| n.tx_bytes);
        self.sums.push((t, sent.fold(0, u64::saturating_add)));
        let sample = Sample { t, nodes };
        for (_, at_border) in self.borders.range_mut(..=t) {
            if at_border.as_ref().is_none_or(|s| t < s.t) {
                *at_border = Some(sample.clone());
            }
        }
        if self.last.as_ref().is_none_or(|s| t > s.t) {
            self.last = Some(sample);
        }
    }

    /// The first sample at or after a border of a phase, else the latest one of the run.
    pub fn at_border(&self, border: Nanos) -> Option<&Sample> {
        self.borders
            .get(&border)
            .and_then(Option::as_ref)
            .or(self.last.as_ref())
    }

    /// The latest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.last.as_ref()
    }
}

impl Record {
    /// Reads all events, once.
    pub fn of(plan: &Plan, events: impl Iterator<Item = RunEvent>) -> Record {
        let mut record = Record {
            keeps_values: plan.expect.iter().any(|e| e.needs() == Ability::Value),
            keeps_txids: plan.faults.iter().any(Fault::is_double_spend),
            ..Record::default()
        };
        // Counters start at zero, so the border at `go` needs no sample.
        let borders = plan
            .phases
            .iter()
            .flat_map(|phase| [phase.start, phase.end]);
        let sampled = borders.filter(|border| *border > Nanos::ZERO);
        record.traffic.borders = sampled.map(|border| (border, None)).collect();
        for RunEvent { t, what } in events {
            record.end = record.end.max(t);
            record.take(plan, t, what);
        }
        record.traffic.sums.sort_unstable();
        record.host_cpu.sort_by_key(|(t, _)| *t);
        for times in record.cpu_times.values_mut() {
            times.sort_by_key(|time| time.t);
        }
        let deaths = &mut record.deaths;
        deaths.sort_by(|a, b| (a.at_ns, &a.node).cmp(&(b.at_ns, &b.node)));
        record
    }

    fn take(&mut self, plan: &Plan, t: Nanos, what: What) {
        match what {
            // The run and its plan.
            What::Started(started) => {
                self.tree.set_base(&started.base);
                self.started = Some(started);
            }
            What::Host(host) => self.host = host,
            What::Phase { name } => {
                self.phases.entry(name).or_insert(t);
            }
            What::Effect { line, seen, error } => {
                let failed = || error.unwrap_or_else(|| "it is not said why".into());
                self.effects.insert(line, seen.ok_or_else(failed));
            }
            // The plan was completed by these before.
            What::ByHand { .. } | What::Ordered { .. } | What::Joined(_) | What::Left { .. } => {}
            What::FaultBegan { fault } => self.faults.entry(fault).or_default().began = Some(t),
            What::FaultEnded { fault } => self.faults.entry(fault).or_default().ended = Some(t),
            What::Ended { interrupted } => self.ended = Some(interrupted),
            // What nodes did and said.
            What::NodeUp { node } => self.moved(t, node, MoveKind::Up),
            What::NodeDown {
                node,
                how,
                status,
                reason,
            } => {
                self.unanswered.remove(&node);
                let frozen = how.is_some_and(Down::spares_program);
                self.moved(t, node, MoveKind::Down { frozen });
                if how.is_none() {
                    let (node, at_ns) = (plan.node_name(node), t);
                    self.deaths.push(DeadNode {
                        node,
                        at_ns,
                        status,
                        reason,
                    });
                }
            }
            What::Replaced { node, received } => self.replaced.push((t, node, received)),
            What::Tip { node, tip } => {
                let block = self.tree.name(&tip);
                self.moved(t, node, MoveKind::Tip(block));
                // That is what a node with a chain says.
                self.said(t, node, tip.hash);
            }
            What::Value { node, value } => self.said(t, node, value),
            // The ledger.
            What::Block(block) => {
                let id = self.tree.describe(t, &block);
                for txid in block.txids.into_iter().filter(|_| self.keeps_txids) {
                    self.blocks_of_tx.entry(txid).or_default().push(id);
                }
            }
            What::MineMissed { reason, .. } => self.missed.add(MissedKind::Block, reason),
            What::Transaction {
                node,
                txid,
                double_spend,
                refused,
            } => {
                match &refused {
                    None => self.transactions_accepted += 1,
                    Some(reason) => self.missed.add(MissedKind::Transaction, reason.clone()),
                }
                if let Some(fault) = double_spend {
                    let spends = self.double_spends.entry(fault).or_default();
                    spends.push(Spend {
                        t,
                        node,
                        txid,
                        refused,
                    });
                }
            }
            What::Ledger { node, state } => {
                self.ledgers.insert(node, state);
            }
            What::Unanswered { node, reason } => {
                self.unanswered.insert(node, reason);
            }
            What::LogEnd { node, lines } => {
                self.log_ends.insert(node, lines);
            }
            // What was measured.
            What::Traffic { nodes } => self.traffic.take(t, nodes),
            What::Peers { node, sums } => {
                let latest = self.peers.entry(node).or_default();
                if t >= latest.0 {
                    *latest = (t, sums);
                }
            }
            What::Fidelity {
                lateness,
                cpu_pressure,
                host_cpu,
            } => {
                self.fidelity.push((lateness, cpu_pressure));
                self.host_cpu.extend(host_cpu.map(|host| (t, host)));
            }
            // The rest of it is for readers of the log; no verdict rests on it.
            What::Usage { node, usage } => {
                let dropped = usage.rx_dropped.saturating_add(usage.tx_dropped);
                let most = self.device_drops.entry(node).or_default();
                *most = dropped.max(*most);
                let time = usage.waited.map(|waited| CpuTime {
                    t,
                    cpu: usage.cpu,
                    waited,
                    gate: usage.gate_cpu,
                });
                self.cpu_times.entry(node).or_default().extend(time);
            }
        }
    }

    fn said(&mut self, t: Nanos, node: NodeId, value: String) {
        if self.keeps_values {
            let kind = if value.is_empty() {
                MoveKind::Untold
            } else {
                let (hash, height) = (value, 0);
                MoveKind::Tip(self.values.name(&Tip { hash, height }))
            };
            self.said.push(Move { t, node, kind });
        }
    }

    fn moved(&mut self, t: Nanos, node: NodeId, kind: MoveKind) {
        self.moves.push(Move { t, node, kind });
    }

    /// Packets that all nodes' devices dropped.
    pub fn all_device_drops(&self) -> u64 {
        let drops = self.device_drops.values();
        drops.copied().fold(0, u64::saturating_add)
    }

    /// The partitions that took effect.
    pub fn partitions(&self, plan: &Plan) -> Vec<Partition> {
        let downtime = Downtime::new(&plan.outages);
        let took_effect = |(fault, planned): (u32, &Fault)| {
            let groups = planned.sides()?;
            let span = self.faults.get(&fault)?;
            let from = span.began?;
            Some(Partition {
                fault,
                from,
                healed: span.ended,
                to: span.ended.unwrap_or(self.end).max(from),
                side: sides(groups, plan.nodes.len(), |node| {
                    downtime.is_up(node, planned.start)
                }),
                label: planned.label.clone(),
            })
        };
        (0..).zip(&plan.faults).filter_map(took_effect).collect()
    }
}

/// A partition that took effect.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Index into the plan's faults.
    pub fault: u32,
    /// When it took effect.
    pub from: Nanos,
    /// When it healed.
    pub healed: Option<Nanos>,
    /// When it healed, or the end of the run.
    pub to: Nanos,
    /// Which side each node is on, by node.
    side: Vec<u16>,
    /// For people.
    pub label: String,
}

impl Partition {
    /// The side a node is on.
    pub fn side(&self, node: NodeId) -> u16 {
        self.side.get(node.index()).copied().unwrap_or(0)
    }

    /// Whether it lies between the two nodes.
    pub fn separates(&self, a: NodeId, b: NodeId) -> bool {
        self.side(a) != self.side(b)
    }

    /// Whether it was in force at an instant.
    pub fn in_force(&self, t: Nanos) -> bool {
        self.from <= t && t < self.to
    }

    /// How many nodes each side has, the sides without nodes left out.
    pub fn side_sizes(&self) -> Vec<usize> {
        let mut sizes = BTreeMap::<u16, usize>::new();
        for side in &self.side {
            *sizes.entry(*side).or_default() += 1;
        }
        // Side 0 is that of the nodes in no group: the rest, named last.
        let rest = sizes.remove(&0);
        sizes.remove(&NOWHERE);
        sizes.into_values().chain(rest).collect()
    }
}

/// The side of a node that is on none: it joined later, or was removed before.
const NOWHERE: u16 = u16::MAX;

/// Numbers each node's side: its group from 1, or 0 for those in no group, which form one where they were
/// meant to be there.
fn sides(groups: &[Vec<NodeId>], node_count: usize, is_there: impl Fn(NodeId) -> bool) -> Vec<u16> {
    let side = |node| if is_there(node) { 0 } else { NOWHERE };
    let mut side: Vec<u16> = (0..node_count as u32).map(NodeId).map(side).collect();
    for (number, group) in groups.iter().enumerate() {
        for node in group {
            if let Some(s) = side.get_mut(node.index()) {
                *s = u16::try_from(number + 1).unwrap_or(NOWHERE);
            }
        }
    }
    side
}
