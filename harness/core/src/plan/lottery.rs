//! What the ledger does: who mines when, who pays when, and where double spends go.
//!
//! Blocks and transactions begin half-way through the warm-up (after [`HEAD_START_MAX`] at the
//! latest), so that nodes have found each other. Both arrive as Poisson processes. At the end come
//! two quiet times of a fifth of the settle phase each ([`QUIET_MAX`] at most), with one last
//! block between them, mined by a node that is up. Without it two blocks of equal work, mined at
//! nearly the same time, could stand against each other when the run ends, which says nothing
//! about the network; with it, one branch has more work, and there is time for all to see it.
//!
//! A network that stays has no end: its blocks and payments are drawn one by one ([`Endless`]).

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use peerlab_link::{Nanos, NodeId};

use super::chance::Chance;
use super::down::Downtime;
use super::place::Placement;
use super::sample::exponential;
use super::spec::{Fault, Node, Work, WorkloadAction};
use crate::experiment::FaultKind;
use crate::topology::{self, Blocks, Topology, Transactions};

/// Longest time without blocks and transactions at the start.
const HEAD_START_MAX: Nanos = Nanos::from_secs(10);
/// Longest of each of the two quiet times at the end.
const QUIET_MAX: Nanos = Nanos::from_secs(10);
/// The quiet times' part of the settle phase.
const QUIET_PART: u64 = 5;
/// Nodes that are named as candidates of a double spend's side: all the first ones failing
/// means that the side is gone.
const CANDIDATES_MAX: usize = 16;
/// Draws of a node to pay at before one that is down is taken: then nearly all are.
const PAYER_DRAWS_MAX: usize = 50;

/// Everything done over RPC, sorted by time, and how many outputs it spends.
pub fn workload(
    placement: &Placement<'_>,
    nodes: &[Node],
    faults: &[Fault],
    downtime: &Downtime,
) -> (Vec<WorkloadAction>, u32) {
    let mut actions = blocks(placement, nodes, downtime);
    let mut outputs = 0;
    for (index, fault) in faults.iter().enumerate() {
        let across = fault.kind().and_then(FaultKind::across);
        let across = across.and_then(|partition| faults.get(partition));
        if let Some([first, second, ..]) = across.and_then(Fault::sides) {
            let mut chance = placement.chance(&format!("double-spend/{index}"));
            let mut side = |nodes: &[NodeId]| candidates(nodes, fault.start, downtime, &mut chance);
            let work = Work::DoubleSpend {
                fault: index as u32,
                output: outputs,
                sides: [side(first), side(second)],
            };
            actions.push(WorkloadAction {
                at: fault.start,
                work,
            });
            outputs += 1;
        }
    }
    for (at, node) in payments(placement, nodes, downtime) {
        let work = Work::Transaction {
            node,
            output: outputs,
            variant: 0,
        };
        actions.push(WorkloadAction { at, work });
        outputs += 1;
    }
    actions.sort_by_key(|action| action.at);
    (actions, outputs)
}

/// From when blocks and transactions come.
fn begin(topology: &Topology) -> Nanos {
    Nanos(topology.phases.warmup.0 / 2).min(HEAD_START_MAX)
}

/// Each of the two quiet times at the end.
fn quiet(topology: &Topology) -> Nanos {
    Nanos(topology.phases.settle.0 / QUIET_PART).min(QUIET_MAX)
}

/// When the first quiet time begins, and when the last block comes.
fn finish(topology: &Topology) -> (Nanos, Nanos) {
    let last = topology.phases.end().saturating_sub(quiet(topology));
    (last.saturating_sub(quiet(topology)), last)
}

fn blocks(placement: &Placement<'_>, nodes: &[Node], downtime: &Downtime) -> Vec<WorkloadAction> {
    let topology = placement.topology;
    let mine = |at, node| WorkloadAction {
        at,
        work: Work::Mine { node },
    };
    let interval = match &topology.ledger.blocks {
        Blocks::None => return Vec::new(),
        Blocks::Listed(blocks) => {
            let listed = |block: &topology::Moment| mine(block.at, NodeId(block.node));
            return blocks.iter().map(listed).collect();
        }
        Blocks::Every(interval) => *interval,
    };
    let mut chance = placement.chance("blocks");
    let (end, last) = finish(topology);
    let mut actions = Vec::new();
    let everybody = Weighted::by_hash_power(nodes.iter());
    for at in arrivals(interval.0 as f64, begin(topology), end, &mut chance) {
        actions.extend(everybody.draw(&mut chance).map(|node| mine(at, node)));
    }
    let up = Weighted::by_hash_power(nodes.iter().filter(|node| downtime.is_up(node.id, last)));
    actions.extend(up.draw(&mut chance).map(|node| mine(last, node)));
    actions
}

/// A Poisson process.
fn arrivals(mean_ns: f64, begin: Nanos, end: Nanos, chance: &mut Chance) -> Vec<Nanos> {
    let mut at = begin;
    let mut times = Vec::new();
    loop {
        at = next_arrival(at, mean_ns, chance);
        if at >= end {
            return times;
        }
        times.push(at);
    }
}

/// When the next of a Poisson process comes after `at`.
fn next_arrival(at: Nanos, mean_ns: f64, chance: &mut Chance) -> Nanos {
    // At least a nanosecond, so that it ends whatever the mean.
    let gap = libm::round(exponential(mean_ns, chance)).max(1.0) as u64;
    at.saturating_add(Nanos(gap))
}

/// A lottery in which hash power is the number of tickets.
#[derive(Clone, Debug)]
pub struct Weighted {
    upto: Vec<(f64, NodeId)>,
}

impl Weighted {
    /// Of these nodes; those without hash power have no ticket.
    pub fn by_hash_power<'a>(nodes: impl Iterator<Item = &'a Node>) -> Weighted {
        Weighted::new(nodes.map(|node| (node.hash_power, node.id)))
    }

    /// Each node has one ticket.
    pub fn evenly(nodes: impl Iterator<Item = NodeId>) -> Weighted {
        Weighted::new(nodes.map(|node| (1.0, node)))
    }

    fn new(tickets: impl Iterator<Item = (f64, NodeId)>) -> Weighted {
        let mut sum = 0.0;
        let mut upto = Vec::new();
        for (count, node) in tickets.filter(|(count, _)| *count > 0.0) {
            sum += count;
            upto.push((sum, node));
        }
        Weighted { upto }
    }

    /// The winner; `None` where nobody has a ticket.
    pub fn draw(&self, chance: &mut Chance) -> Option<NodeId> {
        let (sum, _) = self.upto.last()?;
        let ticket = chance.unit() * sum;
        let winner = self.upto.partition_point(|(upto, _)| *upto <= ticket);
        self.upto
            .get(winner)
            .or(self.upto.last())
            .map(|(_, node)| *node)
    }
}

/// When somebody pays, and at which node: one that is up then, as people do.
fn payments(
    placement: &Placement<'_>,
    nodes: &[Node],
    downtime: &Downtime,
) -> Vec<(Nanos, NodeId)> {
    let topology = placement.topology;
    let per_second = match &topology.ledger.transactions {
        Transactions::PerSecond(per_second) => *per_second,
        Transactions::Listed(listed) => {
            let pay = |one: &topology::Moment| (one.at, NodeId(one.node));
            return listed.iter().map(pay).collect();
        }
    };
    if per_second <= 0.0 || nodes.is_empty() {
        return Vec::new();
    }
    let mut chance = placement.chance("transactions");
    let (end, _) = finish(topology);
    let times = arrivals(1e9 / per_second, begin(topology), end, &mut chance);
    let mut drawn = || nodes[chance.below(nodes.len())].id;
    let mut payer = |at| {
        let mut node = drawn();
        for _ in 1..PAYER_DRAWS_MAX {
            if downtime.is_up(node, at) {
                break;
            }
            node = drawn();
        }
        (at, node)
    };
    times.into_iter().map(&mut payer).collect()
}

/// Who does something when, without end.
type Draws = Peekable<Box<dyn Iterator<Item = (Nanos, NodeId)> + Send>>;

/// Blocks and payments of a network that stays, each drawn when it is asked for. Where the file lists
/// them, they end with its list; payments end when the outputs do that they may spend. Who is down then
/// is not known here.
pub struct Endless {
    blocks: Draws,
    payments: Draws,
    outputs: Range<u32>,
    taken: OutputsTaken,
}

/// How far payments have come that are drawn elsewhere.
#[derive(Clone, Debug, Default)]
pub struct OutputsTaken(Arc<AtomicU32>);

impl OutputsTaken {
    /// The first output that no payment that was drawn spends.
    pub fn next(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, next: u32) {
        self.0.store(next, Ordering::Relaxed);
    }
}

impl Endless {
    /// Of an experiment's ledger and its nodes; payments spend these outputs. Of what the file lists that is left
    /// out which came before `past`, and the rest comes that much earlier.
    pub fn new(
        placement: &Placement<'_>,
        nodes: &[Node],
        outputs: Range<u32>,
        past: Nanos,
    ) -> Endless {
        let topology = placement.topology;
        let endless = |label: &str, mean_ns: f64, among: Weighted| -> Draws {
            let mut times = placement.chance(&format!("{label}/endless"));
            let mut winners = placement.chance(&format!("{label}/endless/nodes"));
            let mut at = begin(topology);
            let draws = std::iter::from_fn(move || {
                at = next_arrival(at, mean_ns, &mut times);
                Some((at, among.draw(&mut winners)?))
            });
            boxed(draws)
        };
        let listed = |moments: &[topology::Moment]| {
            let left = moments.iter().filter(|it| it.at >= past);
            let draws: Vec<(Nanos, NodeId)> = left
                .map(|it| (it.at.saturating_sub(past), NodeId(it.node)))
                .collect();
            boxed(draws.into_iter())
        };
        let blocks = match &topology.ledger.blocks {
            Blocks::None => boxed(std::iter::empty()),
            Blocks::Listed(blocks) => listed(blocks),
            Blocks::Every(interval) => {
                let miners = Weighted::by_hash_power(nodes.iter());
                endless("blocks", interval.0 as f64, miners)
            }
        };
        let payments = match &topology.ledger.transactions {
            Transactions::Listed(payments) => listed(payments),
            Transactions::PerSecond(rate) if *rate > 0.0 => {
                let payers = Weighted::evenly(nodes.iter().map(|node| node.id));
                endless("transactions", 1e9 / rate, payers)
            }
            Transactions::PerSecond(_) => boxed(std::iter::empty()),
        };
        let taken = OutputsTaken::default();
        taken.set(outputs.start);
        Endless {
            blocks,
            payments,
            outputs,
            taken,
        }
    }

    /// How far its payments have come, also once it was handed over.
    pub fn outputs_taken(&self) -> OutputsTaken {
        self.taken.clone()
    }
}

fn boxed(draws: impl Iterator<Item = (Nanos, NodeId)> + Send + 'static) -> Draws {
    let draws: Box<dyn Iterator<Item = (Nanos, NodeId)> + Send> = Box::new(draws);
    draws.peekable()
}

impl Iterator for Endless {
    type Item = WorkloadAction;

    fn next(&mut self) -> Option<WorkloadAction> {
        let block = self.blocks.peek().map(|(at, _)| *at);
        let payment = self.payments.peek().map(|(at, _)| *at);
        let payment = payment.filter(|_| !self.outputs.is_empty());
        let pays = payment.is_some_and(|payment| block.is_none_or(|block| payment < block));
        if !pays {
            let (at, node) = self.blocks.next()?;
            let work = Work::Mine { node };
            return Some(WorkloadAction { at, work });
        }
        let (at, node) = self.payments.next()?;
        let output = self.outputs.next()?;
        self.taken.set(self.outputs.start);
        let work = Work::Transaction {
            node,
            output,
            variant: 0,
        };
        Some(WorkloadAction { at, work })
    }
}

/// Nodes of a side that are up, those that never leave first.
fn candidates(side: &[NodeId], at: Nanos, downtime: &Downtime, chance: &mut Chance) -> Vec<NodeId> {
    let up: Vec<NodeId> = side
        .iter()
        .copied()
        .filter(|node| downtime.is_up(*node, at))
        .collect();
    let mut up = chance.choose(&up, up.len());
    up.sort_by_key(|node| !downtime.is_always_up(*node));
    up.truncate(CANDIDATES_MAX);
    up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_poisson() {
        let end = Nanos::from_secs(1_000_000);
        let times = arrivals(10e9, Nanos::ZERO, end, &mut Chance::new(2, "x"));
        // Five standard deviations of 100,000 arrivals.
        assert!(
            (times.len() as f64 - 100_000.0).abs() < 1600.0,
            "{}",
            times.len()
        );
        let buckets = 1000;
        let mut counts = vec![0.0; buckets];
        for at in &times {
            counts[(at.0 / (end.0 / buckets as u64)) as usize % buckets] += 1.0;
        }
        let variance: f64 = counts
            .iter()
            .map(|count| (count - 100.0f64).powi(2))
            .sum::<f64>()
            / buckets as f64;
        // A Poisson count's variance is its mean; the estimate's own deviation is 4.5.
        assert!((variance - 100.0).abs() < 25.0, "{variance}");
    }
}
