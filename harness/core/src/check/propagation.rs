//! How fast blocks reach the nodes.
//!
//! **Propagation of a block**: from its birth until a share (p50, p90, p99) of its audience has
//! it, as their tip or below it. Its *birth* is the first moment that anybody is seen to have
//! it: that is its miner, but another's line may be the first to come. Its *audience* are the
//! nodes live at its birth, its miner included. A node leaves the audience when, before it has
//! the block, it goes down or a partition cuts it off from the miner: nothing could have reached
//! it.
//!
//! - A block born while a partition is in force has only the miner's own side as its audience,
//!   and is counted among `blocks_in_partition` too, so that a reader sees how many are.
//! - A block that loses a race is never the tip of those who follow the other; shares that it
//!   never reaches count as endless, and are sorted last.
//! - A block born too late to be judged (the run ended less than [`LATE_BIRTH`] after, and the
//!   share was not reached) is left out of that share's figures, not taken for endless.
//!
//! A figure "p90" of a phase is the median (nearest rank) over its blocks of the time to 90 % of
//! each block's audience.
//!
//! **Delay of a group**: mean and median over all blocks that a node of the group has from another and
//! in whose audience it was, from their birth until it has them as above: a branch that it
//! does not follow at first comes late. Where one group comes and goes and another stays, it
//! tells what that costs.

use peerlab_link::{Nanos, NodeId};
use serde::Serialize;

use super::quantile::{nearest_rank, rank};
use super::record::{Move, MoveKind, Partition};
use super::run::Run;
use super::tree::{BlockId, BlockTree};
use crate::plan::Plan;
use crate::plan::spec::Group;

/// A block born in this last stretch of a run may still be under way when it ends. Longer than
/// a block takes to any node on every preset, even over a slow link.
pub const LATE_BIRTH: Nanos = Nanos::from_secs(10);

/// How many points the curve of [`Propagation::curve_ns`] has: one per percent.
const CURVE_POINTS: u8 = 100;

/// One block's spread.
#[derive(Clone, Debug)]
pub struct Spread {
    pub block: BlockId,
    /// When it was born.
    pub birth: Nanos,
    /// Whether a partition was in force then.
    pub in_partition: bool,
    /// Nodes of the audience that do not have it when the run ends.
    pub without: u32,
    /// From its birth until each other node of the audience had it, ascending.
    pub delays: Vec<Nanos>,
}

/// The time until a share of an audience has a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// It took so long.
    After(Nanos),
    /// It never came to that.
    Never,
}

impl Spread {
    /// The time until `percent` of the audience had it; `None` when it was born too late to tell.
    pub fn reach(&self, percent: u8, end: Nanos) -> Option<Reach> {
        let audience = self.delays.len() + self.without as usize;
        match self.delays.get(rank(percent, audience) - 1) {
            Some(delay) => Some(Reach::After(*delay)),
            None if self.birth.saturating_add(LATE_BIRTH) > end => None,
            None => Some(Reach::Never),
        }
    }
}

/// Figures over blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Propagation {
    /// Phase in which the blocks were born; `None` for the whole run.
    pub phase: Option<String>,
    /// Blocks born.
    pub blocks: u32,
    /// Of those, born while a partition was in force: their audience is the miner's side.
    pub blocks_in_partition: u32,
    /// Median over blocks of the time to half of the audience; `None` when there was no block,
    /// or most never reached that share.
    pub p50_ns: Option<Nanos>,
    /// To 90 %.
    pub p90_ns: Option<Nanos>,
    /// To 99 %.
    pub p99_ns: Option<Nanos>,
    /// The least of these percentages that most blocks never reached; `None` when there is none.
    pub most_never_reached_percent: Option<u8>,
    /// The slowest block's time to 90 %, of those that reached it.
    pub slowest_p90_ns: Option<Nanos>,
    /// Blocks that never reached 90 % of their audience.
    pub never_reached_p90: u32,
    /// Over all blocks and receivers together: the delay by which 1 %, 2 % ... 100 % had a block.
    pub curve_ns: Vec<Nanos>,
}

/// How late blocks come to the nodes of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupDelay {
    /// The group's name.
    pub group: String,
    /// Blocks that its nodes received, each node counted for itself.
    pub receipts: u64,
    /// Median time from a block's birth; `None` when its nodes received none.
    pub median_ns: Option<Nanos>,
    /// Mean of the same.
    pub mean_ns: Option<Nanos>,
}

/// Measures the spread of every block mined in the run, and how late each node received those of
/// others.
pub fn spreads(run: &Run<'_>) -> (Vec<Spread>, Vec<Vec<Nanos>>) {
    let (tree, timeline, partitions) = (run.tree(), &run.timeline, &run.partitions);
    let (by_node, stays) = (timeline.by_node(), timeline.stays());
    let births = births(tree, &by_node);
    let mut spreads: Vec<(Spread, Option<NodeId>)> = tree
        .mined()
        .filter_map(|(block, described)| {
            let (birth, first) = births[block.index()]?;
            let spread = Spread {
                block,
                birth,
                in_partition: partitions.iter().any(|p| p.in_force(birth)),
                without: 0,
                delays: Vec::new(),
            };
            Some((spread, described.miner.or(first)))
        })
        .collect();
    spreads.sort_by_key(|(s, _)| (s.birth, s.block));
    let mut received_by_node = vec![Vec::new(); by_node.len()];
    for ((index, moves), own) in by_node.iter().enumerate().zip(&mut received_by_node) {
        let node = NodeId(index as u32);
        let had = first_had(tree, moves);
        if timeline.start()[index].without_chain {
            continue;
        }
        for (spread, origin) in &mut spreads {
            let audience_of = |p: &&Partition| origin.is_some_and(|o| p.separates(node, o));
            let cuts = partitions.iter().filter(audience_of);
            match received(spread.birth, had[spread.block.index()], &stays[index], cuts) {
                Received::NotAsked => {}
                Received::After(delay) => {
                    spread.delays.push(delay);
                    if *origin != Some(node) {
                        own.push(delay);
                    }
                }
                Received::Never => spread.without += 1,
            }
        }
    }
    let mut spreads: Vec<Spread> = spreads.into_iter().map(|(s, _)| s).collect();
    for spread in &mut spreads {
        spread.delays.sort_unstable();
    }
    (spreads, received_by_node)
}

/// The delay of each group, in the order of the plan.
pub fn group_delays(plan: &Plan, received: &[Vec<Nanos>]) -> Vec<GroupDelay> {
    let of_group = |(index, group): (usize, &Group)| {
        let nodes = plan.nodes.iter().zip(received);
        let own = nodes.filter(|(node, _)| node.group as usize == index);
        let mut delays: Vec<Nanos> = own.flat_map(|(_, delays)| delays).copied().collect();
        delays.sort_unstable();
        let sum: u128 = delays.iter().map(|delay| u128::from(delay.0)).sum();
        GroupDelay {
            group: group.name.clone(),
            receipts: delays.len() as u64,
            median_ns: nearest_rank(&delays, 50),
            mean_ns: sum
                .checked_div(delays.len() as u128)
                .map(|mean| Nanos(mean as u64)),
        }
    };
    plan.groups.iter().enumerate().map(of_group).collect()
}

enum Received {
    /// The node is not in the audience, or left it.
    NotAsked,
    After(Nanos),
    Never,
}

/// What became of one block at one node that stayed so.
fn received<'a>(
    birth: Nanos,
    had: Option<Nanos>,
    stays: &[(Nanos, Nanos)],
    mut cuts: impl Iterator<Item = &'a Partition>,
) -> Received {
    let after = stays.partition_point(|(from, _)| *from <= birth);
    let Some(&(_, until)) = after.checked_sub(1).and_then(|i| stays.get(i)) else {
        return Received::NotAsked;
    };
    if birth >= until {
        return Received::NotAsked;
    }
    // Until when it could have come.
    let by = had.unwrap_or(Nanos(u64::MAX));
    if cuts.any(|p| p.to > birth && p.from <= by) {
        return Received::NotAsked;
    }
    match had {
        Some(t) if t <= until => Received::After(t.saturating_sub(birth)),
        _ if until < Nanos(u64::MAX) => Received::NotAsked,
        _ => Received::Never,
    }
}

/// When a node first had each block, as its tip or below it.
fn first_had(tree: &BlockTree, moves: &[Move]) -> Vec<Option<Nanos>> {
    let mut had = vec![None; tree.len()];
    for m in moves {
        if let MoveKind::Tip(tip) = m.kind {
            for block in tree.downwards(tip) {
                let slot = &mut had[block.index()];
                if slot.is_some() {
                    break;
                }
                *slot = Some(m.t);
            }
        }
    }
    had
}

/// When each block was first seen anywhere, and at which node if a tip was the first to tell.
fn births(tree: &BlockTree, by_node: &[Vec<Move>]) -> Vec<Option<(Nanos, Option<NodeId>)>> {
    let mut births: Vec<Option<(Nanos, Option<NodeId>)>> = tree
        .ids()
        .map(|id| Some((tree.described(id)?.t, None)))
        .collect();
    for (index, moves) in by_node.iter().enumerate() {
        for (id, had) in tree.ids().zip(first_had(tree, moves)) {
            let Some(t) = had else { continue };
            let birth = &mut births[id.index()];
            if birth.is_none_or(|(earliest, who)| t < earliest || (t == earliest && who.is_none()))
            {
                *birth = Some((t, Some(NodeId(index as u32))));
            }
        }
    }
    births
}

/// Figures over the blocks born in one phase, or in the whole run.
pub fn summarise(run: &Run<'_>, spreads: &[Spread], phase: Option<&str>) -> Propagation {
    let end = run.timeline.end;
    let chosen = born_in(run.plan, spreads, phase);
    let reached = [50, 90, 99].map(|percent| (percent, over_blocks(&chosen, percent, end)));
    let [p50_ns, p90_ns, p99_ns] = reached.map(|(_, reach)| match reach {
        Some(Reach::After(t)) => Some(t),
        _ => None,
    });
    let never = |(percent, reach)| (reach == Some(Reach::Never)).then_some(percent);
    let p90: Vec<Reach> = chosen.iter().filter_map(|s| s.reach(90, end)).collect();
    let mut pooled: Vec<Nanos> = chosen
        .iter()
        .flat_map(|s| s.delays.iter().copied())
        .collect();
    pooled.sort_unstable();
    Propagation {
        phase: phase.map(str::to_owned),
        blocks: chosen.len() as u32,
        blocks_in_partition: chosen.iter().filter(|s| s.in_partition).count() as u32,
        p50_ns,
        p90_ns,
        p99_ns,
        most_never_reached_percent: reached.into_iter().find_map(never),
        slowest_p90_ns: p90
            .iter()
            .filter_map(|r| match r {
                Reach::After(t) => Some(*t),
                Reach::Never => None,
            })
            .max(),
        never_reached_p90: p90.iter().filter(|r| **r == Reach::Never).count() as u32,
        curve_ns: (1..=CURVE_POINTS)
            .filter_map(|percent| nearest_rank(&pooled, percent))
            .collect(),
    }
}

/// The median over blocks of the time to a share; `None` when no block can be judged.
pub fn over_blocks(spreads: &[&Spread], percent: u8, end: Nanos) -> Option<Reach> {
    let mut reaches: Vec<Reach> = spreads
        .iter()
        .filter(|s| !s.delays.is_empty() || s.without > 0)
        .filter_map(|s| s.reach(percent, end))
        .collect();
    reaches.sort_unstable();
    nearest_rank(&reaches, 50)
}

/// The blocks born in the phase of this name, or in the whole run.
pub fn born_in<'a>(plan: &Plan, spreads: &'a [Spread], phase: Option<&str>) -> Vec<&'a Spread> {
    let Some(name) = phase else {
        return spreads.iter().collect();
    };
    let last = plan.phases.last().map(|p| p.name.as_str());
    let within = |t: Nanos| {
        plan.phases.iter().any(|p| {
            // What the end of the run brings late belongs to its last phase.
            p.name == name && p.start <= t && (t < p.end || last == phase)
        })
    };
    spreads.iter().filter(|s| within(s.birth)).collect()
}
