//! Fork episodes, stale blocks, reorganisations.
//!
//! **Fork episode**: from the first moment live nodes hold tips on different branches until
//! their tips lie on one chain again (a node that merely lags behind on it does not prolong the
//! episode). Its **depth** is the longest losing branch, in blocks; the winner is the best tip
//! when it ends. **Stale rate**: blocks not in the final chain / blocks mined in the run.
//! **Depth of a reorganisation**: the blocks of a node's old chain that its new one lacks, by
//! the block tree. It is what one incarnation of a program does: one that comes back with less than
//! it had (it did not write everything, or is a new node) has left no branch for another.

use std::collections::BTreeSet;

use peerlab_link::Nanos;
use serde::Serialize;

use super::record::{MoveKind, Partition};
use super::run::Run;
use super::timeline::{Crowd, Timeline};
use super::tree::{BlockId, BlockTree};

/// One fork episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Episode {
    /// First moment on different branches.
    pub start_ns: Nanos,
    /// First moment on one chain again; `None` when that never came.
    pub end_ns: Option<Nanos>,
    /// Branches held, the winning one included.
    pub branches: u32,
    /// Blocks of the longest losing branch.
    pub depth: u32,
    /// Blocks of all losing branches together.
    pub stale_blocks: u32,
    /// The partition, by index into the plan's faults, that was in force during it, if one was.
    pub partition: Option<u32>,
}

/// What the run's forks came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Forks {
    /// In the order of their starts.
    pub episodes: Vec<Episode>,
    /// Blocks mined in the run.
    pub mined_blocks: u32,
    /// Of those, blocks that are not in the final chain.
    pub stale_blocks: u32,
    /// Share of stale blocks among those mined, 0 to 1; `None` when none was mined.
    pub stale_rate: Option<f64>,
    /// The deepest reorganisation of any node; `None` when no node told a tip.
    pub deepest_reorg: Option<Reorg>,
    /// Reorganisations of any depth from 1, all nodes together.
    pub reorgs: u32,
}

/// A reorganisation of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reorg {
    /// Blocks left behind; zero when the chain of no node was ever reorganised.
    pub depth: u32,
    /// Which nodes underwent one of this depth, by name; empty for depth zero.
    pub nodes: Vec<String>,
    /// When the first of them did.
    pub at_ns: Nanos,
}

/// Forks, stale blocks and reorganisations of the whole run.
pub fn measure(run: &Run<'_>) -> Forks {
    let mined_blocks = run.tree().mined().count() as u32;
    let is_stale = |(block, _): &(BlockId, _)| !run.chain.blocks.contains(block);
    let stale_blocks = run.tree().mined().filter(is_stale).count() as u32;
    let (deepest_reorg, reorgs) = reorgs(run);
    Forks {
        episodes: episodes(&run.timeline, &run.partitions),
        mined_blocks,
        stale_blocks,
        stale_rate: (mined_blocks > 0).then(|| f64::from(stale_blocks) / f64::from(mined_blocks)),
        deepest_reorg,
        reorgs,
    }
}

/// All fork episodes.
fn episodes(timeline: &Timeline<'_>, partitions: &[Partition]) -> Vec<Episode> {
    let tree = timeline.tree;
    let mut crowd = Crowd::everybody(tree, timeline.start().to_vec());
    let mut open: Option<(Nanos, BTreeSet<BlockId>)> = None;
    let mut episodes = Vec::new();
    for instant in timeline.instants() {
        let t = instant[0].t;
        crowd.apply(instant);
        if !crowd.on_one_chain() {
            let (_, held) = open.get_or_insert_with(|| (t, BTreeSet::new()));
            held.extend(crowd.tips());
        } else if let Some((start, held)) = open.take() {
            episodes.push(episode(
                tree,
                partitions,
                start,
                Some(t),
                held,
                crowd.best(),
            ));
        }
    }
    if let Some((start, held)) = open {
        episodes.push(episode(tree, partitions, start, None, held, crowd.best()));
    }
    episodes
}

/// Sums an episode up. `held` are all tips that live nodes held during it.
fn episode(
    tree: &BlockTree,
    partitions: &[Partition],
    start: Nanos,
    end: Option<Nanos>,
    mut held: BTreeSet<BlockId>,
    winner: Option<BlockId>,
) -> Episode {
    // Where everybody left at once, the best of what was held stands for the winner.
    let winner = winner.or_else(|| held.iter().copied().max_by_key(|tip| tree.height(*tip)));
    held.retain(|tip| {
        winner.is_none_or(|w| !tree.is_at_or_below(*tip, w) && !tree.is_at_or_below(w, *tip))
    });
    let is_leaf = |tip: &BlockId| {
        !held
            .iter()
            .any(|other| other != tip && tree.is_at_or_below(*tip, *other))
    };
    let losing: Vec<BlockId> = held.iter().copied().filter(is_leaf).collect();
    let mut stale = BTreeSet::new();
    let mut depth = 0;
    for leaf in &losing {
        let lost = winner.map_or(0, |w| tree.left_behind(*leaf, w));
        depth = depth.max(lost);
        stale.extend(tree.downwards(*leaf).take(lost as usize));
    }
    Episode {
        start_ns: start,
        end_ns: end,
        branches: losing.len() as u32 + 1,
        depth,
        stale_blocks: stale.len() as u32,
        partition: partitions
            .iter()
            .find(|p| p.from <= end.unwrap_or(Nanos(u64::MAX)) && start < p.to)
            .map(|p| p.fault),
    }
}

/// The deepest reorganisation of any node, and how many there were.
fn reorgs(run: &Run<'_>) -> (Option<Reorg>, u32) {
    let mut deepest: Option<Reorg> = None;
    let mut count = 0;
    for (node, moves) in run.plan.nodes.iter().zip(run.timeline.by_node()) {
        let mut had: Option<BlockId> = None;
        let mut lives_on = false;
        for m in moves {
            match m.kind {
                MoveKind::Down { frozen } => lives_on = frozen,
                MoveKind::Up if !lives_on => had = None,
                MoveKind::Tip(tip) => {
                    let depth = had.map_or(0, |had| run.tree().left_behind(had, tip));
                    had = Some(tip);
                    count += u32::from(depth > 0);
                    note_reorg(&mut deepest, depth, m.t, &node.name);
                }
                MoveKind::Up | MoveKind::Untold | MoveKind::Meant(_) => {}
            }
        }
    }
    (deepest, count)
}

fn note_reorg(deepest: &mut Option<Reorg>, depth: u32, at_ns: Nanos, name: &String) {
    let deepest = deepest.get_or_insert_with(Reorg::default);
    if depth == 0 || depth < deepest.depth {
        return;
    }
    if depth > deepest.depth {
        let nodes = Vec::new();
        *deepest = Reorg {
            depth,
            nodes,
            at_ns,
        };
    }
    deepest.at_ns = deepest.at_ns.min(at_ns);
    if !deepest.nodes.contains(name) {
        deepest.nodes.push(name.clone());
    }
}
