//! A fair finish: when the settle phase begins, the ledger is to agree, and a race between miners
//! must not be what hinders it. Two blocks of equal work, each on its side of a partition that has
//! healed, stand against each other until a third decides, and that is nobody's fault. So in a
//! scenario that is judged by its settle phase
//!
//! - one block *decides* half-way through the time to converge, and none other comes in that time:
//!   the first half is for nodes to come back and catch up, the second for the block to spread;
//! - one block *closes* the run, with quiet before and after it, as in the lottery of every plan.
//!
//! Shrinking moves these two, and never drops them: without them it would soon find a tie.

use peerlab_link::Nanos;

use super::scenario::Scenario;
use peerlab_core::plan::Chance;
use peerlab_core::plan::spec::{Disturbance, Expectation};
use peerlab_core::topology::Moment;

/// Longest of the two quiet times at the end, and their part of the settle phase: as in
/// `plan::lottery`.
const QUIET_MAX: Nanos = Nanos::from_secs(10);
const QUIET_PART: u64 = 5;
/// From this length on, the time until the deciding block is whole seconds, for readers.
const ROUND_FROM: Nanos = Nanos::from_secs(1);

/// A stretch of time without blocks, but for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quiet {
    from: Nanos,
    block: Nanos,
    until: Nanos,
}

impl Scenario {
    /// The quiet times, in order.
    fn quiets(&self) -> Vec<Quiet> {
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
        let mut quiets = Vec::new();
        if let Some(within) = within.min() {
            let mut half = Nanos(within.0 / 2);
            if half >= ROUND_FROM {
                half.0 -= half.0 % ROUND_FROM.0;
            }
            quiets.push(Quiet {
                from: settle,
                block: settle.saturating_add(half),
                until: settle.saturating_add(within),
            });
        }
        let end = self.phases.end();
        let quiet = Nanos(self.phases.settle.0 / QUIET_PART).min(QUIET_MAX);
        let block = end.saturating_sub(quiet);
        quiets.push(Quiet {
            from: block.saturating_sub(quiet),
            block,
            until: end,
        });
        quiets
    }

    /// Whether a block at this time is one of those that decide.
    pub fn decides(&self, at: Nanos) -> bool {
        self.quiets().iter().any(|quiet| quiet.block == at)
    }

    /// When the blocks that decide come.
    pub fn deciding_times(&self) -> Vec<Nanos> {
        self.quiets().iter().map(|quiet| quiet.block).collect()
    }

    /// Makes the finish fair: adds the blocks that decide, and drops those that come too near.
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
        let quiets = self.quiets();
        let last: Vec<Option<u32>> = quiets
            .iter()
            .map(|quiet| self.blocks.iter().find(|block| block.at == quiet.block))
            .map(|block| {
                block
                    .map(|block| block.node)
                    .filter(|node| !self.ends_down(*node))
            })
            .collect();
        self.clear_quiets();
        for (quiet, miner) in quiets.iter().zip(last) {
            let node = miner.unwrap_or_else(|| stock[chance.below(stock.len())]);
            // Two that decide at one instant would be the race that they are to end.
            if !self.blocks.iter().any(|block| block.at == quiet.block) {
                self.blocks.push(Moment {
                    at: quiet.block,
                    node,
                });
            }
        }
        self.blocks.sort_by_key(|block| block.at);
    }

    /// Drops every block that comes in a quiet time, those that decide among them.
    pub fn clear_quiets(&mut self) {
        let quiets = self.quiets();
        let disturbs = |at: Nanos| {
            quiets
                .iter()
                .any(|quiet| quiet.from <= at && at < quiet.until)
        };
        self.blocks.retain(|block| !disturbs(block.at));
    }

    /// Whether a race between miners cannot be what hinders agreement.
    pub fn is_fair(&self) -> bool {
        let quiets = self.quiets();
        let decided = |quiet: &Quiet| {
            let mut at = self.blocks.iter().filter(|block| block.at == quiet.block);
            matches!((at.next(), at.next()), (Some(block), None) if !self.ends_down(block.node))
        };
        let near = |quiet: &Quiet, at: Nanos| quiet.from <= at && at < quiet.until;
        let disturbs = |at: Nanos| quiets.iter().any(|quiet| near(quiet, at)) && !self.decides(at);
        self.blocks.is_empty()
            || (quiets.iter().all(decided) && !self.blocks.iter().any(|block| disturbs(block.at)))
    }
}
