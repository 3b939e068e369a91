//! The series that the report draws: who was up with which tip, bytes over time, the tree of
//! blocks. Drawing is `report`; nothing is judged here.

use std::collections::BTreeMap;

use peerlab_link::Nanos;

use super::bandwidth::per_second;
use super::record::{Move, MoveKind, Record};
use super::run::Run;
use super::timeline::NodeState;
use super::tree::BlockId;
use crate::plan::spec::Peers;

/// Most rows of the timeline of nodes: what a screen shows. Of more nodes an even choice is
/// drawn.
const NODE_ROWS_MAX: usize = 120;

/// Most nodes of the peer graph, likewise.
const GRAPH_NODES_MAX: usize = 500;

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
    /// Who was to know whom.
    pub peers: PeerGraph,
    /// Bytes over time.
    pub rates: Vec<RateSample>,
    /// Blocks mined in the run, parents before children.
    pub blocks: Vec<BlockDot>,
}

/// The nodes as they know each other by the plan. Whom they really were connected to is not in a
/// record: each node's own finding of peers is what the plan begins with, and the counts of its
/// connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerGraph {
    /// Nodes, or an even choice of them.
    pub nodes: Vec<GraphNode>,
    /// Who knows whom at first, by index, among these.
    pub links: Vec<(usize, usize)>,
    /// Whether no node connects to any other than those.
    pub is_fixed: bool,
}

/// One node of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    pub name: String,
    pub region: String,
    /// While it was up: the branch that its tip was on.
    pub spans: Vec<TipSpan>,
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
pub fn charts(run: &Run<'_>) -> Charts {
    let branches = branches(run);
    let stretch = |from, to, label: &String| Stretch {
        from,
        to,
        label: label.clone(),
    };
    let phases = run.plan.phases.iter();
    let partitions = run.partitions.iter();
    Charts {
        end: run.timeline.end,
        phases: phases.map(|p| stretch(p.start, p.end, &p.name)).collect(),
        partitions: partitions
            .map(|p| stretch(p.from, p.to, &p.label))
            .collect(),
        rows: rows(run, &branches),
        nodes: run.plan.nodes.len(),
        peers: peers(run, &branches),
        rates: rates(run.record),
        blocks: blocks(run, &branches),
    }
}

/// Each block's branch, by block.
fn branches(run: &Run<'_>) -> Vec<Branch> {
    let tree = run.tree();
    let is_final = |b: &BlockId| run.chain.blocks.contains(b);
    let mut first_blocks: Vec<(Nanos, BlockId)> = tree
        .mined()
        .filter(|(b, _)| !is_final(b) && tree.parent(*b).is_none_or(|p| is_final(&p)))
        .map(|(b, d)| (d.t, b))
        .collect();
    first_blocks.sort_unstable();
    let numbered = first_blocks.into_iter().zip(0..);
    let numbers: BTreeMap<BlockId, u32> = numbered.map(|((_, b), n)| (b, n)).collect();
    let branch = |block| {
        let losing = tree.downwards(block).take_while(|b| !is_final(b));
        let number = losing.last().and_then(|first| numbers.get(&first));
        number.map_or(Branch::Final, |n| Branch::Losing(*n))
    };
    tree.ids().map(branch).collect()
}

fn rows(run: &Run<'_>, branches: &[Branch]) -> Vec<NodeRow> {
    let by_node = run.timeline.by_node();
    let row = |index: usize| {
        let tips = by_node[index].iter();
        let tips = tips.filter(|m| matches!(m.kind, MoveKind::Tip(_)));
        NodeRow {
            name: run.plan.nodes[index].name.clone(),
            spans: spans(run, branches, &by_node[index], index),
            tips: tips.map(|m| m.t).collect(),
        }
    };
    even_choice(by_node.len(), NODE_ROWS_MAX).map(row).collect()
}

/// So many of all indices at most, evenly.
fn even_choice(all: usize, max: usize) -> impl Iterator<Item = usize> {
    let shown = all.min(max);
    (0..shown).map(move |nth| nth * all / shown)
}

/// While a node was live: the branch of its tip, where that is known.
fn spans(run: &Run<'_>, branches: &[Branch], moves: &[Move], index: usize) -> Vec<TipSpan> {
    let timeline = &run.timeline;
    let mut state = timeline.start()[index];
    let mut spans = Vec::new();
    let branch_of = |s: NodeState| s.live().then(|| s.tip.map(|tip| branches[tip.index()]));
    for m in moves {
        let before = branch_of(state);
        state.apply(m.kind);
        let now = branch_of(state);
        if now != before {
            close(&mut spans, m.t);
            spans.extend(now.map(|branch| TipSpan {
                from: m.t,
                to: Nanos(u64::MAX),
                branch,
            }));
        }
    }
    close(&mut spans, timeline.end);
    spans.retain(|s| s.from < s.to);
    spans
}

fn peers(run: &Run<'_>, branches: &[Branch]) -> PeerGraph {
    let by_node = run.timeline.by_node();
    let (plan, network) = (run.plan, &run.plan.network);
    let chosen: Vec<usize> = even_choice(by_node.len(), GRAPH_NODES_MAX).collect();
    let places: BTreeMap<usize, usize> = chosen.iter().copied().zip(0..).collect();
    let region = |index: usize| {
        let link = network.nodes.get(index)?;
        network.regions.get(usize::from(link.region)).cloned()
    };
    let node = |index: &usize| GraphNode {
        name: plan.nodes[*index].name.clone(),
        region: region(*index).unwrap_or_default(),
        spans: spans(run, branches, &by_node[*index], *index),
    };
    let links_of = |(from, index): (usize, &usize)| {
        let known = plan.nodes[*index].peers.known().iter();
        let drawn = known.filter_map(|other| places.get(&other.index()));
        drawn.map(|to| (from, *to)).collect::<Vec<_>>()
    };
    let mut fixed = plan
        .nodes
        .iter()
        .map(|it| matches!(it.peers, Peers::Fixed(_)));
    PeerGraph {
        nodes: chosen.iter().map(node).collect(),
        links: chosen.iter().enumerate().flat_map(links_of).collect(),
        is_fixed: fixed.all(|it| it),
    }
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
    let (mut since, mut sent_before) = (Nanos::ZERO, 0);
    let mut rates = Vec::new();
    for &(t, sent) in sums.iter().step_by(step) {
        let time = t.saturating_sub(since);
        if time < RATE_STEP_MIN {
            continue;
        }
        rates.push(RateSample {
            t,
            sent_bytes_per_s: per_second(sent_before, sent, time),
        });
        (since, sent_before) = (t, sent);
    }
    rates
}

fn blocks(run: &Run<'_>, branches: &[Branch]) -> Vec<BlockDot> {
    let tree = run.tree();
    let mut mined: Vec<_> = tree.mined().collect();
    mined.sort_by_key(|(b, d)| (tree.height(*b), d.t, *b));
    mined.truncate(BLOCKS_MAX);
    let numbered = mined.iter().zip(0..);
    let place: BTreeMap<BlockId, usize> = numbered.map(|((b, _), i)| (*b, i)).collect();
    mined
        .iter()
        .map(|(block, described)| BlockDot {
            parent: tree.parent(*block).and_then(|p| place.get(&p).copied()),
            t: described.t,
            height: tree.height(*block),
            branch: branches[block.index()],
            miner: described.miner.map(|m| run.plan.node_name(m)),
            hash: tree.hash(*block).to_owned(),
            txs: described.txs,
            size: described.size,
        })
        .collect()
}
