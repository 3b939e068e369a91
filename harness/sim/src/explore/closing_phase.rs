//! A fair closing phase: when the settle phase begins, the ledger is to agree, and a race between miners
//! must not be what hinders it. Two blocks of equal work, each on its side of a partition that has
//! healed, stand against each other until a third decides, and that is nobody's fault. So in a
//! scenario that is judged by its settle phase
//!
//! - one block *decides* half-way through the time to converge, and none other comes in that time:
//!   the first half is for nodes to come back and catch up, the second for the block to spread;
//! - one block *closes* the run, with a mining blackout before and after it, as in the lottery of every plan.
//!
//! Shrinking moves these two, and never drops them: without them it would soon find a tie.

use peerlab_link::Nanos;

use super::scenario::Scenario;
use peerlab_core::experiment::{Disturbance, Expectation};
use peerlab_core::plan::Chance;
use peerlab_core::topology::Moment;

/// Longest of the two mining blackouts at the end, and their part of the settle phase: as in
/// `plan::lottery`.
const BLACKOUT_MAX: Nanos = Nanos::from_secs(10);
const BLACKOUT_PART: u64 = 5;
/// From this length on, the time until the deciding block is whole seconds, for readers.
const ROUND_FROM: Nanos = Nanos::from_secs(1);

/// A stretch of time without blocks, but for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blackout {
    from: Nanos,
    block: Nanos,
    until: Nanos,
}

impl Scenario {
    /// The mining blackouts, in order.
    fn blackouts(&self) -> Vec<Blackout> {
        let settle = self.phases.settle_start();
        let within = self
            .expect
            .iter()
            .filter_map(|expectation| match expectation {
                Expectation::Converged {
                    within,
                    of: Disturbance::Settle,
                    ..
                } => Some(*within),
                _ => None,
            });
        let mut blackouts = Vec::new();
        if let Some(within) = within.min() {
            let mut half = Nanos(within.0 / 2);
            if half >= ROUND_FROM {
                half.0 -= half.0 % ROUND_FROM.0;
            }
            blackouts.push(Blackout {
                from: settle,
                block: settle.saturating_add(half),
                until: settle.saturating_add(within),
            });
        }
        let end = self.phases.end();
        let blackout = Nanos(self.phases.settle.0 / BLACKOUT_PART).min(BLACKOUT_MAX);
        let block = end.saturating_sub(blackout);
        blackouts.push(Blackout {
            from: block.saturating_sub(blackout),
            block,
            until: end,
        });
        blackouts
    }

    /// Whether a block at this time is one of those that decide.
    pub fn decides(&self, at: Nanos) -> bool {
        self.blackouts().iter().any(|blackout| blackout.block == at)
    }

    /// When the blocks that decide come.
    pub fn deciding_times(&self) -> Vec<Nanos> {
        self.blackouts()
            .iter()
            .map(|blackout| blackout.block)
            .collect()
    }

    /// Makes the closing phase fair: adds the blocks that decide, and drops those that come too near.
    /// Their miners are those that they had, or drawn from `miners`; nodes that are down for good
    /// do not mine them.
    pub fn make_fair(&mut self, miners: &[u32], chance: &mut Chance) {
        let up: Vec<u32> = miners
            .iter()
            .copied()
            .filter(|node| !self.ends_down(*node))
            .collect();
        let others = || {
            self.all_nodes()
                .into_iter()
                .filter(|node| !self.ends_down(*node))
                .collect()
        };
        let stock: Vec<u32> = if up.is_empty() { others() } else { up };
        if self.blocks.is_empty() || stock.is_empty() {
            return;
        }
        let blackouts = self.blackouts();
        let last: Vec<Option<u32>> = blackouts
            .iter()
            .map(|blackout| self.blocks.iter().find(|block| block.at == blackout.block))
            .map(|block| {
                block
                    .map(|block| block.node)
                    .filter(|node| !self.ends_down(*node))
            })
            .collect();
        self.clear_quiets();
        for (blackout, miner) in blackouts.iter().zip(last) {
            let node = miner.unwrap_or_else(|| stock[chance.below(stock.len())]);
            // Two that decide at one instant would be the race that they are to end.
            if !self.blocks.iter().any(|block| block.at == blackout.block) {
                self.blocks.push(Moment {
                    at: blackout.block,
                    node,
                });
            }
        }
        self.blocks.sort_by_key(|block| block.at);
    }

    /// Drops every block that comes in a mining blackout, those that decide among them.
    pub fn clear_quiets(&mut self) {
        let blackouts = self.blackouts();
        let disturbs = |at: Nanos| {
            blackouts
                .iter()
                .any(|blackout| blackout.from <= at && at < blackout.until)
        };
        self.blocks.retain(|block| !disturbs(block.at));
    }

    /// Whether a race between miners cannot be what hinders agreement.
    pub fn is_fair(&self) -> bool {
        let blackouts = self.blackouts();
        let decided = |blackout: &Blackout| {
            let mut at = self
                .blocks
                .iter()
                .filter(|block| block.at == blackout.block);
            matches!((at.next(), at.next()), (Some(block), None) if !self.ends_down(block.node))
        };
        let near = |blackout: &Blackout, at: Nanos| blackout.from <= at && at < blackout.until;
        let disturbs =
            |at: Nanos| blackouts.iter().any(|blackout| near(blackout, at)) && !self.decides(at);
        self.blocks.is_empty()
            || (blackouts.iter().all(decided)
                && !self.blocks.iter().any(|block| disturbs(block.at)))
    }
}
