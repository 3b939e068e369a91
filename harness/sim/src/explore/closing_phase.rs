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

impl Blackout {
    fn holds(&self, at: Nanos) -> bool {
        self.from <= at && at < self.until
    }
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

    /// Makes the closing phase fair: adds the blocks that decide, and drops those that come too near.
    /// Their miners are those that they had, or drawn from `miners`; nodes that are down for good
    /// do not mine them.
    pub fn make_fair(&mut self, miners: &[u32], chance: &mut Chance) {
        let stays = |node: &u32| !self.ends_down(*node);
        let mut stock: Vec<u32> = miners.iter().copied().filter(stays).collect();
        if stock.is_empty() {
            stock = self.all_nodes().into_iter().filter(stays).collect();
        }
        if self.blocks.is_empty() || stock.is_empty() {
            return;
        }
        let miner = |blackout: &Blackout| {
            let mut blocks = self.blocks.iter();
            let block = blocks.find(|block| block.at == blackout.block);
            let miner = block.map(|block| block.node).filter(stays);
            miner.unwrap_or_else(|| stock[chance.below(stock.len())])
        };
        let miners: Vec<u32> = self.blackouts().iter().map(miner).collect();
        self.set_deciding(miners.into_iter());
    }

    /// Has these mine the blocks that decide, at their times, and drops every other block that comes
    /// in a mining blackout.
    pub fn set_deciding(&mut self, miners: impl Iterator<Item = u32>) {
        let blackouts = self.blackouts();
        let disturbs = |at: Nanos| blackouts.iter().any(|blackout| blackout.holds(at));
        self.blocks.retain(|block| !disturbs(block.at));
        for (at, node) in blackouts.iter().map(|blackout| blackout.block).zip(miners) {
            // Two that decide at one instant would be the race that they are to end.
            if !self.blocks.iter().any(|block| block.at == at) {
                self.blocks.push(Moment { at, node });
            }
        }
        self.sort();
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
        let disturbs =
            |at: Nanos| blackouts.iter().any(|blackout| blackout.holds(at)) && !self.decides(at);
        self.blocks.is_empty()
            || (blackouts.iter().all(decided)
                && !self.blocks.iter().any(|block| disturbs(block.at)))
    }
}
