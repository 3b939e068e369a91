//! The one pass over a run's events: what the checks need of them, and nothing else, in small
//! tables. It judges nothing.

use std::collections::BTreeMap;

use peerlab_link::proto::{Lateness, NodeCounters};
use peerlab_link::{Nanos, NodeId};

use super::tree::{BlockId, BlockTree, Described};
use crate::event::{HostFacts, RunEvent, Tip, What};
use crate::experiment::Ability;
use crate::plan::Plan;
use crate::plan::spec::{Down, Fault};

/// Everything kept of a run's events.
#[derive(Debug, Default)]
pub struct Record {
    /// The first line, if there was one.
    pub started: Option<Started>,
    /// Where it ran.
    pub host: HostFacts,
    pub tree: BlockTree,
    /// What nodes said, where that is asked for: names of which none is another's parent.
    pub values: BlockTree,
    /// What nodes did, in the order of the file.
    pub moves: Vec<Move>,
    /// When each fault began and ended, by its index in the plan.
    pub faults: BTreeMap<u32, FaultSpan>,
    /// When each phase began, by name.
    pub phases: BTreeMap<String, Nanos>,
    /// Transactions of double spends, by fault, in the order of the file.
    pub double_spends: BTreeMap<u32, Vec<Spend>>,
    /// The blocks that hold a transaction; kept only where the plan has a double spend.
    pub blocks_of_tx: BTreeMap<String, Vec<BlockId>>,
    /// Transactions that nodes took.
    pub transactions_accepted: u64,
    /// Transactions that nodes refused.
    pub transactions_refused: u64,
    /// Lottery winners that mined nothing.
    pub mine_missed: u32,
    /// Byte counters.
    pub traffic: Traffic,
    /// Each node's own counters, the latest.
    pub peers: BTreeMap<NodeId, PeerCounters>,
    /// How well the host kept up.
    pub fidelity: Vec<(Nanos, Lateness, Option<f64>)>,
    /// Ledger states at the end.
    pub ledgers: BTreeMap<NodeId, (Tip, Option<String>)>,
    /// Nodes that went down unasked.
    pub deaths: Vec<Death>,
    /// Whether the last line was read, and whether it told of an interrupt.
    pub ended: Option<bool>,
    /// The latest instant of all lines: the end of what was observed.
    pub end: Nanos,
}

/// What is kept only where something rests on it.
#[derive(Clone, Copy)]
struct Keep {
    txids: bool,
    values: bool,
}

/// What the first line said.
#[derive(Clone, Debug)]
pub struct Started {
    /// Which engine ran; for showing only, no check may ask.
    pub engine: String,
    /// Version of Peerlab.
    pub version: String,
    /// Wall clock at `go`.
    pub unix_nanos: u64,
    /// From the first create to all gates open.
    pub bring_up: Nanos,
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
        /// A new node with an empty disk comes in its place.
        replaced: bool,
    },
    /// The best block changed.
    Tip(BlockId),
    /// What the node says changed, by its name in [`Record::values`].
    Said(BlockId),
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

/// One transaction of a double spend.
#[derive(Clone, Debug)]
pub struct Spend {
    /// When it was submitted.
    pub t: Nanos,
    pub node: NodeId,
    pub txid: String,
    /// Why the node refused it, if it did.
    pub refused: Option<String>,
}

/// A node's own counters.
#[derive(Clone, Debug, Default)]
pub struct PeerCounters {
    t: Nanos,
    /// Bytes sent over its current connections, by message type.
    pub sent: BTreeMap<String, u64>,
    /// Connections, opened and accepted.
    pub connections: u32,
}

/// A node that went down unasked.
#[derive(Clone, Debug)]
pub struct Death {
    pub t: Nanos,
    pub node: NodeId,
    /// Exit code, or minus the signal.
    pub status: Option<i32>,
    pub reason: Option<String>,
}

/// Byte counters: whole rows at phase borders only, and sums over all nodes for each sample.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Per border the first sample at or after it.
    borders: BTreeMap<Nanos, Option<Sample>>,
    /// The latest sample.
    last: Option<Sample>,
    /// `(t, bytes sent, bytes delivered)` by all nodes since `go`.
    pub sums: Vec<(Nanos, u64, u64)>,
}

/// Counters of all nodes at one instant.
#[derive(Clone, Debug)]
pub struct Sample {
    pub t: Nanos,
    /// By node.
    pub nodes: Vec<NodeCounters>,
}

impl Traffic {
    fn take(&mut self, t: Nanos, nodes: &[NodeCounters]) {
        let sent = nodes
            .iter()
            .fold(0, |sum: u64, n| sum.saturating_add(n.tx_bytes));
        let delivered = nodes
            .iter()
            .fold(0, |sum: u64, n| sum.saturating_add(n.rx_bytes));
        self.sums.push((t, sent, delivered));
        for (_, at_border) in self.borders.range_mut(..=t) {
            if at_border.as_ref().is_none_or(|s| t < s.t) {
                *at_border = Some(Sample {
                    t,
                    nodes: nodes.to_vec(),
                });
            }
        }
        if self.last.as_ref().is_none_or(|s| t > s.t) {
            self.last = Some(Sample {
                t,
                nodes: nodes.to_vec(),
            });
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
        let mut record = Record::default();
        for phase in &plan.phases {
            // Counters start at zero, so the border at `go` needs no sample.
            for border in [phase.start, phase.end] {
                if border > Nanos::ZERO {
                    record.traffic.borders.insert(border, None);
                }
            }
        }
        let keep = Keep {
            txids: plan.faults.iter().any(Fault::is_double_spend),
            values: plan
                .expect
                .iter()
                .any(|expectation| expectation.needs() == Ability::Value),
        };
        for event in events {
            record.take(event, keep);
        }
        record.traffic.sums.sort_unstable();
        record
    }

    fn take(&mut self, event: RunEvent, keep: Keep) {
        let t = event.t;
        self.end = self.end.max(t);
        match event.what {
            What::Started {
                format: _,
                engine,
                version,
                unix_nanos,
                bring_up,
                base,
            } => {
                self.tree.set_base(&base);
                self.started = Some(Started {
                    engine,
                    version,
                    unix_nanos,
                    bring_up,
                });
            }
            What::Host(host) => self.host = host,
            What::Phase { name } => {
                self.phases.entry(name).or_insert(t);
            }
            What::NodeUp { node } => self.moved(t, node, MoveKind::Up),
            What::NodeDown {
                node,
                how,
                status,
                reason,
            } => {
                let replaced = how == Some(Down::Replace);
                self.moved(t, node, MoveKind::Down { replaced });
                if how.is_none() {
                    self.deaths.push(Death {
                        t,
                        node,
                        status,
                        reason,
                    });
                }
            }
            What::FaultBegan { fault } => self.faults.entry(fault).or_default().began = Some(t),
            What::FaultEnded { fault } => self.faults.entry(fault).or_default().ended = Some(t),
            What::Block {
                tip,
                prev,
                miner,
                size,
                txs,
                txids,
            } => {
                let described = Described {
                    t,
                    miner,
                    size,
                    txs,
                };
                self.tree.describe(&tip, &prev, described);
                if keep.txids {
                    let block = self.tree.name(&tip);
                    for txid in txids {
                        self.blocks_of_tx.entry(txid).or_default().push(block);
                    }
                }
            }
            What::MineMissed { .. } => self.mine_missed += 1,
            // For readers of the log; no verdict rests on it.
            What::Usage { .. } => {}
            What::Tip { node, tip } => {
                let block = self.tree.name(&tip);
                self.moved(t, node, MoveKind::Tip(block));
                // That is what a node with a chain says.
                self.said(t, node, tip.hash, keep);
            }
            What::Value { node, value } => self.said(t, node, value, keep),
            What::Transaction {
                node,
                txid,
                double_spend,
                refused,
            } => {
                match &refused {
                    None => self.transactions_accepted += 1,
                    Some(_) => self.transactions_refused += 1,
                }
                if let Some(fault) = double_spend {
                    self.double_spends.entry(fault).or_default().push(Spend {
                        t,
                        node,
                        txid,
                        refused,
                    });
                }
            }
            What::Traffic { nodes } => self.traffic.take(t, &nodes),
            What::Peers {
                node,
                outbound,
                inbound,
                sent,
                ..
            } => {
                let latest = self.peers.entry(node).or_default();
                if t >= latest.t {
                    *latest = PeerCounters {
                        t,
                        sent,
                        connections: outbound.saturating_add(inbound),
                    };
                }
            }
            What::Fidelity {
                lateness,
                cpu_pressure,
            } => self.fidelity.push((t, lateness, cpu_pressure)),
            What::Ledger { node, tip, muhash } => {
                self.ledgers.insert(node, (tip, muhash));
            }
            What::Ended { interrupted } => self.ended = Some(interrupted),
        }
    }

    fn said(&mut self, t: Nanos, node: NodeId, value: String, keep: Keep) {
        if keep.values {
            let (hash, height) = (value, 0);
            let value = self.values.name(&Tip { hash, height });
            self.moved(t, node, MoveKind::Said(value));
        }
    }

    fn moved(&mut self, t: Nanos, node: NodeId, kind: MoveKind) {
        self.moves.push(Move { t, node, kind });
    }

    /// The partitions that took effect: index in the plan, from, to (`end` where it never
    /// healed), and whether it healed.
    pub fn partitions(&self, plan: &Plan) -> Vec<Partition> {
        let mut partitions = Vec::new();
        for (index, fault) in plan.faults.iter().enumerate() {
            let Some(groups) = fault.sides() else {
                continue;
            };
            let index = index as u32;
            let span = self.faults.get(&index).copied().unwrap_or_default();
            let Some(from) = span.began else { continue };
            partitions.push(Partition {
                fault: index,
                from,
                healed: span.ended,
                to: span.ended.unwrap_or(self.end).max(from),
                side: sides(groups, plan.nodes.len()),
                label: fault.label.clone(),
            });
        }
        partitions
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
        sizes.into_values().chain(rest).collect()
    }
}

/// Numbers each node's side: its group from 1, or 0 for those in no group, which form one.
fn sides(groups: &[Vec<NodeId>], node_count: usize) -> Vec<u16> {
    let mut side = vec![0; node_count];
    for (number, group) in groups.iter().enumerate() {
        for node in group {
            if let Some(s) = side.get_mut(node.index()) {
                *s = u16::try_from(number + 1).unwrap_or(u16::MAX);
            }
        }
    }
    side
}
