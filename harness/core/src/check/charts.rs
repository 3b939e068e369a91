//! The series that the report draws: who was up with which tip, bytes over time, the tree of
//! blocks. Drawing is `report`; nothing is judged here.

use std::collections::BTreeMap;

use peerlab_link::Nanos;

use super::bandwidth::node_name;
use super::forks::FinalChain;
use super::record::{MoveKind, Partition, Record};
use super::timeline::Timeline;
use super::tree::{BlockId, BlockTree};
use crate::plan::Plan;

/// Most rows of the timeline of nodes: what a screen shows. Of more nodes an even choice is
/// drawn.
const NODE_ROWS_MAX: usize = 120;

/// Shortest stretch that a rate is drawn for: counters are also written at phase borders, and a
/// few packets in a moment would stand out as a spike that was none.
const RATE_STEP_MIN: Nanos = Nanos::from_millis(500);

/// Most samples of bytes over time: one a pixel is enough.
const RATE_SAMPLES_MAX: usize = 600;

/// Most blocks of the tree that are drawn: the first ones.
const BLOCKS_MAX: usize = 2_000;

/// Everything that is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Charts {
    /// End of what was observed.
    pub end: Nanos,
    /// The plan's phases, by name.
    pub phases: Vec<Stretch>,
    /// Partitions in force.
    pub partitions: Vec<Stretch>,
    /// Nodes, or an even choice of them.
    pub rows: Vec<NodeRow>,
    /// How many nodes there were.
    pub nodes: usize,
    /// Bytes over time.
    pub rates: Vec<RateSample>,
    /// Blocks mined in the run, parents before children.
    pub blocks: Vec<BlockDot>,
}

/// A stretch of time with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: Nanos,
    pub to: Nanos,
    pub label: String,
}

/// Where in the tree of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Branch {
    /// On the chain that all ended on.
    Final,
    /// On a losing branch, numbered from 0 in the order of their first blocks.
    Losing(u32),
}

/// One node over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    pub name: String,
    /// While it was up: the branch that its tip was on. Gaps are down time.
    pub spans: Vec<TipSpan>,
    /// When its tip changed.
    pub tips: Vec<Nanos>,
}

/// A stretch in which one node was up and stayed on one branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipSpan {
    pub from: Nanos,
    pub to: Nanos,
    /// The branch; `None` before its tip was told.
    pub branch: Option<Branch>,
}

/// Bytes per second that all nodes together sent, up to an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSample {
    /// Since the sample before.
    pub t: Nanos,
    pub sent_bytes_per_s: u64,
    pub delivered_bytes_per_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDot {
    /// Index of its parent in [`Charts::blocks`]; `None` for a child of the pre-mined chain.
    pub parent: Option<usize>,
    /// When it was first seen.
    pub t: Nanos,
    pub height: u32,
    pub branch: Branch,
    /// Who mined it.
    pub miner: Option<String>,
    pub hash: String,
    /// Transactions, the coinbase included.
    pub txs: u32,
    /// Bytes.
    pub size: u64,
}

/// Draws everything together.
pub fn charts(
    plan: &Plan,
    record: &Record,
    timeline: &Timeline,
    partitions: &[Partition],
    chain: &FinalChain,
) -> Charts {
    let branches = branches(&record.tree, chain);
    Charts {
        end: timeline.end,
        phases: plan
            .phases
            .iter()
            .map(|p| Stretch {
                from: p.start,
                to: p.end,
                label: p.name.clone(),
            })
            .collect(),
        partitions: partitions
            .iter()
            .map(|p| Stretch {
                from: p.from,
                to: p.to,
                label: p.label.clone(),
            })
            .collect(),
        rows: rows(plan, timeline, &branches),
        nodes: plan.nodes.len(),
        rates: rates(record),
        blocks: blocks(plan, &record.tree, &branches),
    }
}

/// Each block's branch, by block.
fn branches(tree: &BlockTree, chain: &FinalChain) -> Vec<Branch> {
    let mut numbers = BTreeMap::<BlockId, u32>::new();
    let mut first_blocks: Vec<(Nanos, BlockId)> = tree
        .mined()
        .filter(|(b, _)| !chain.blocks.contains(b))
        .filter(|(b, _)| tree.parent(*b).is_none_or(|p| chain.blocks.contains(&p)))
        .map(|(b, d)| (d.t, b))
        .collect();
    first_blocks.sort_unstable();
    for (number, (_, block)) in first_blocks.into_iter().enumerate() {
        numbers.insert(block, number as u32);
    }
    tree.ids()
        .map(|block| {
            let on_branch = |b: &BlockId| !chain.blocks.contains(b);
            let root = tree.downwards(block).take_while(on_branch).last();
            root.and_then(|r| numbers.get(&r))
                .map_or(Branch::Final, |n| Branch::Losing(*n))
        })
        .collect()
}

fn rows(plan: &Plan, timeline: &Timeline, branches: &[Branch]) -> Vec<NodeRow> {
    let by_node = timeline.by_node();
    let shown = by_node.len().min(NODE_ROWS_MAX);
    (0..shown)
        .map(|row| row * by_node.len() / shown)
        .map(|index| {
            let mut state = timeline.start()[index];
            let mut row = NodeRow {
                name: plan.nodes[index].name.clone(),
                spans: Vec::new(),
                tips: Vec::new(),
            };
            for m in &by_node[index] {
                let before = state;
                state.apply(m.kind);
                if matches!(m.kind, MoveKind::Tip(_)) {
                    row.tips.push(m.t);
                }
                let branch = state.tip.map(|tip| branches[tip.index()]);
                let was = before.tip.map(|tip| branches[tip.index()]);
                if state.live() != before.live() || (state.live() && branch != was) {
                    close(&mut row.spans, m.t);
                    if state.live() {
                        row.spans.push(TipSpan {
                            from: m.t,
                            to: Nanos(u64::MAX),
                            branch,
                        });
                    }
                }
            }
            close(&mut row.spans, timeline.end);
            row.spans.retain(|s| s.from < s.to);
            row
        })
        .collect()
}

/// Ends the last span, if it is open.
fn close(spans: &mut [TipSpan], t: Nanos) {
    if let Some(last) = spans.last_mut() {
        last.to = last.to.min(t);
    }
}

fn rates(record: &Record) -> Vec<RateSample> {
    let sums = &record.traffic.sums;
    let step = sums.len().div_ceil(RATE_SAMPLES_MAX).max(1);
    let mut before = (Nanos::ZERO, 0, 0);
    let mut rates = Vec::new();
    for &(t, sent, delivered) in sums.iter().step_by(step) {
        let nanos = u128::from(t.saturating_sub(before.0).0);
        if nanos < u128::from(RATE_STEP_MIN.0) {
            continue;
        }
        let per_second = |from: u64, to: u64| {
            let bytes = u128::from(to.saturating_sub(from));
            u64::try_from(bytes * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
        };
        rates.push(RateSample {
            t,
            sent_bytes_per_s: per_second(before.1, sent),
            delivered_bytes_per_s: per_second(before.2, delivered),
        });
        before = (t, sent, delivered);
    }
    rates
}

fn blocks(plan: &Plan, tree: &BlockTree, branches: &[Branch]) -> Vec<BlockDot> {
    let mut mined: Vec<_> = tree.mined().collect();
    mined.sort_by_key(|(b, d)| (tree.height(*b), d.t, *b));
    mined.truncate(BLOCKS_MAX);
    let place: BTreeMap<BlockId, usize> = mined
        .iter()
        .enumerate()
        .map(|(i, (b, _))| (*b, i))
        .collect();
    mined
        .iter()
        .map(|(block, described)| BlockDot {
            parent: tree.parent(*block).and_then(|p| place.get(&p).copied()),
            t: described.t,
            height: tree.height(*block),
            branch: branches[block.index()],
            miner: described.miner.map(|m| node_name(plan, m)),
            hash: tree.hash(*block).to_owned(),
            txs: described.txs,
            size: described.size,
        })
        .collect()
}
