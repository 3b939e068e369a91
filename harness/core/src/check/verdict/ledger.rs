//! Whether the ledger is one at the end, and what it went through: states, double spends,
//! reorganisations, nodes that are up.

use std::collections::BTreeMap;

use peerlab_link::NodeId;

use super::{Evidence, Verdict};
use crate::check::double_spend::DoubleSpend;
use crate::check::state::{self, Flaw};
use crate::check::timeline::NodeState;
use crate::words;

impl Evidence<'_> {
    pub(super) fn same_ledger(&self) -> Verdict {
        if let Some(verdict) = self.nothing_mined() {
            return verdict;
        }
        let live = self.run.timeline.at_end(NodeState::live);
        let count = live.len();
        if count < 2 {
            let live = were(count as u64);
            return Verdict::not_measured(format!(
                "Only {live} live at the end: there was no other ledger to compare with."
            ));
        }
        let Some((flaw, nodes)) = state::flaw(self.run.record, &live) else {
            let sentence = format!(
                "All {count} live nodes ended with the same tip and the same ledger state."
            );
            return Verdict::held(format!("{count} equal"), sentence);
        };
        let (word, what) = match flaw {
            Flaw::Unread => (
                "unread",
                "did not tell the ledger state at the end, though live",
            ),
            Flaw::OtherTip => ("differ", "ended with another tip than most"),
            Flaw::OtherState => (
                "contradict",
                "ended with the same tip as others but another ledger state: the ledger contradicts itself",
            ),
            Flaw::Incomparable => {
                let who = words::names(&self.run.names(&nodes));
                return Verdict::not_measured(format!(
                    "{who} told the ledger state by a digest that no other live node told: there was none to compare it with."
                ))
                .look_at(self.run.names(&nodes), Some(self.run.timeline.end));
            }
        };
        let nodes = self.run.names(&nodes);
        let count = nodes.len();
        let who = match flaw {
            Flaw::Unread => self.why().named(&nodes),
            Flaw::OtherTip | Flaw::OtherState | Flaw::Incomparable => words::names(&nodes),
        };
        let sentence = format!("{who} {what}.");
        let missed = words::count(count as u64, "node");
        Verdict::failed(format!("{count} {word}"), missed, sentence)
            .look_at(nodes, Some(self.run.timeline.end))
            .regardless_of_host(flaw == Flaw::OtherState)
    }

    pub(super) fn double_spend(&self, expected: u32) -> Verdict {
        let missed = |d: &&DoubleSpend| d.confirmed.abs_diff(expected);
        let flawed = self.double_spends.iter().find(|d| d.flaw.is_some());
        let Some(worst) = flawed.or(self.double_spends.iter().max_by_key(missed)) else {
            return Verdict::not_measured("The plan has no double spend.").regardless_of_host(true);
        };
        let nodes: Vec<String> = worst.sides.iter().map(|s| s.node.clone()).collect();
        let at = worst.sides.first().map(|s| s.submitted_ns);
        self.confirmed(worst, expected, &words::names(&nodes))
            .look_at(nodes, at)
    }

    /// How many transactions of one double spend are final.
    fn confirmed(&self, spend: &DoubleSpend, expected: u32, given_to: &str) -> Verdict {
        if let Some(flaw) = &spend.flaw {
            return Verdict::not_measured(format!("The double spend did not take place: {flaw}."));
        }
        let measured = spend.confirmed.to_string();
        let missed = spend.confirmed.abs_diff(expected).to_string();
        // Two conflicting transactions on one chain stay so, whatever the others think.
        if spend.confirmed > 1 && spend.confirmed != expected {
            let sentence = "Both conflicting transactions are in the final chain: the same money was spent twice.";
            return Verdict::failed(measured, missed, sentence.to_owned()).regardless_of_host(true);
        }
        if !self.run.chain.undisputed {
            return Verdict::not_measured(
                "The live nodes ended on different chains, so neither transaction is final.",
            );
        }
        let final_side = spend.sides.iter().find(|s| s.confirmed_height.is_some());
        let fate = match (spend.confirmed, final_side) {
            (1, Some(side)) => format!("only that of {} is", side.node),
            (0, _) => "neither is".to_owned(),
            _ => "both are".to_owned(),
        };
        let story = format!(
            "Of two conflicting transactions, given to {given_to}, {fate} in the final chain"
        );
        let end = format!(", instead of {expected}");
        Verdict::told(
            measured,
            story,
            (spend.confirmed != expected).then_some((missed, end)),
        )
    }

    pub(super) fn reorg_depth(&self, min: Option<u32>, max: Option<u32>) -> Verdict {
        let Some(deepest) = &self.forks.deepest_reorg else {
            return Verdict::not_measured("No node ever told its tip.");
        };
        let depth = deepest.depth;
        let blocks = |n: u32| words::count(u64::from(n), "block");
        let missed = |by: u32, how| (blocks(by), format!(": {} {how}", blocks(by)));
        let missed = if let Some(max) = max.filter(|max| depth > *max) {
            Some(missed(depth - max, "more than allowed"))
        } else {
            let min = min.filter(|min| depth < *min);
            min.map(|min| missed(min - depth, "fewer than expected"))
        };
        if depth == 0 {
            let story = "No node's chain was ever reorganised".to_owned();
            return Verdict::told(depth.to_string(), story, missed);
        }
        let story = format!(
            "The deepest reorganisation undid {}, on {} at {}",
            blocks(depth),
            words::names(&deepest.nodes),
            words::instant(deepest.at_ns)
        );
        Verdict::told(depth.to_string(), story, missed)
            .look_at(deepest.nodes.clone(), Some(deepest.at_ns))
    }

    pub(super) fn stale_rate(&self, max: f64) -> Verdict {
        let Some(rate) = self.forks.stale_rate else {
            return Verdict::not_measured("No block was mined, so none could become stale.");
        };
        if !self.run.chain.undisputed {
            return Verdict::not_measured(
                "The live nodes ended on different chains, so no block is stale for good.",
            );
        }
        let measured = words::percent(rate);
        let story = format!(
            "{} of {} ({measured}) are not in the final chain",
            self.forks.stale_blocks,
            words::count(u64::from(self.forks.mined_blocks), "block")
        );
        let missed = || (words::percent(rate - max), ": too many".to_owned());
        Verdict::told(measured, story, (rate > max).then(missed))
    }

    pub(super) fn rewards(&self, of: &str, within: f64) -> Verdict {
        if !self.run.chain.undisputed {
            return Verdict::not_measured(
                "The live nodes ended on different chains, so no block is rewarded for good.",
            );
        }
        let mut mined: BTreeMap<NodeId, Earned> = BTreeMap::new();
        let mut all = Earned::default();
        for (block, described) in self.run.tree().mined() {
            let Some(miner) = described.miner else {
                continue;
            };
            let kept = u32::from(self.run.chain.blocks.contains(&block));
            for sum in [&mut all, mined.entry(miner).or_default()] {
                sum.mined += 1;
                sum.kept += kept;
            }
        }
        let plan = self.run.plan;
        let group = plan.groups.iter().position(|group| group.name == of);
        let is_judged = |miner: &NodeId| {
            let node = plan.nodes.get(miner.index());
            node.is_some_and(|node| Some(node.group as usize) == group)
        };
        let off = |earned: &Earned| (earned.gain(&all) - 1.0).abs();
        // Of equal ones the first.
        let judged = mined.iter().rev().filter(|(miner, _)| is_judged(miner));
        let Some((miner, worst)) = judged.max_by(|a, b| off(a.1).total_cmp(&off(b.1))) else {
            return Verdict::not_measured(format!("No node of {of} mined a block."));
        };
        let off = off(worst);
        let measured = words::percent(off);
        let side = if worst.gain(&all) < 1.0 {
            "less"
        } else {
            "more"
        };
        let name = plan.node_name(*miner);
        let blocks = words::count(u64::from(all.mined), "block");
        let story = format!(
            "{name} mined {} of {blocks} and has {} of the {} in the final chain, {measured} {side} than its part",
            worst.mined, worst.kept, all.kept
        );
        let verdict = if off <= within {
            Verdict::held(measured, format!("{story}; no other is further off."))
        } else {
            Verdict::failed(measured, words::percent(off - within), format!("{story}."))
        };
        verdict.look_at(vec![name], None)
    }

    pub(super) fn nodes_up(&self, min: u32) -> Verdict {
        if self.run.record.started.is_none() {
            return Verdict::not_measured("The run never started.");
        }
        let timeline = &self.run.timeline;
        let live = timeline.at_end(NodeState::live).len() as u64;
        let measured = live.to_string();
        let lacking = u64::from(min).saturating_sub(live);
        if lacking == 0 {
            return Verdict::held(measured, format!("{} live at the end.", were(live)));
        }
        let missing = self.run.names(&timeline.at_end(NodeState::missing));
        let who = match missing.as_slice() {
            [] => String::new(),
            some => format!("; meant to be up but down: {}", self.why().named(some)),
        };
        let sentence = format!(
            "Only {} live at the end, {lacking} too few{who}.",
            were(live)
        );
        Verdict::failed(measured, words::count(lacking, "node"), sentence)
            .look_at(missing, Some(timeline.end))
    }
}

fn were(nodes: u64) -> String {
    let verb = if nodes == 1 { "was" } else { "were" };
    format!("{} {verb}", words::count(nodes, "node"))
}

/// Blocks of a miner, or of all.
#[derive(Clone, Copy, Debug, Default)]
struct Earned {
    mined: u32,
    /// Of these, blocks of the final chain.
    kept: u32,
}

impl Earned {
    /// Its part of the chain for its part of the blocks: 1 is fair.
    fn gain(&self, all: &Earned) -> f64 {
        let part = |own: u32, all: u32| f64::from(own) / f64::from(all.max(1));
        part(self.kept, all.kept) / part(self.mined, all.mined)
    }
}
