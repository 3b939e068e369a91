//! Whether the ledger is one at the end, and what it went through: states, double spends,
//! reorganisations, nodes that are up.

use std::collections::BTreeMap;

use peerlab_link::NodeId;

use super::agreement::NOTHING_MINED;
use super::{Evidence, Verdict};
use crate::check::double_spend::DoubleSpend;
use crate::check::state::{self, LedgerState};
use crate::words;

impl Evidence<'_> {
    pub(super) fn same_ledger(&self, verdict: Verdict) -> Verdict {
        if self.nothing_mined() {
            return verdict.not_measured(NOTHING_MINED);
        }
        let (nodes, fault, sentence, regardless_of_host) = match state::compare(
            self.record,
            self.timeline,
        ) {
            LedgerState::Same { nodes } => {
                let sentence = format!(
                    "All {nodes} live nodes ended with the same tip and the same ledger state."
                );
                return verdict.held(format!("{nodes} equal"), sentence);
            }
            LedgerState::TooFew { nodes } => {
                return verdict.not_measured(format!(
                    "Only {} live at the end: there was no other ledger to compare with.",
                    were(u64::from(nodes))
                ));
            }
            LedgerState::Silent(nodes) => (
                nodes,
                "unread",
                "did not tell the ledger state at the end, though live",
                false,
            ),
            LedgerState::OtherTip(nodes) => {
                (nodes, "differ", "ended with another tip than most", false)
            }
            LedgerState::OtherState(nodes) => (
                nodes,
                "contradict",
                "ended with the same tip as others but another ledger state: the ledger contradicts itself",
                true,
            ),
        };
        let nodes = self.names(&nodes);
        let count = nodes.len();
        let sentence = format!("{} {sentence}.", words::names(&nodes));
        verdict
            .missed_by(words::count(count as u64, "node"))
            .look_at(nodes, Some(self.timeline.end))
            .regardless_of_host(regardless_of_host)
            .failed(format!("{count} {fault}"), sentence)
    }

    pub(super) fn double_spend(&self, verdict: Verdict, expected: u32) -> Verdict {
        let missed = |d: &&DoubleSpend| d.confirmed.abs_diff(expected);
        let flawed = self.double_spends.iter().find(|d| d.flaw.is_some());
        let Some(worst) = flawed.or(self.double_spends.iter().max_by_key(missed)) else {
            return verdict
                .regardless_of_host(true)
                .not_measured("The plan has no double spend.");
        };
        let nodes: Vec<String> = worst.sides.iter().map(|s| s.node.clone()).collect();
        let given_to = words::names(&nodes);
        let verdict = verdict.look_at(nodes, worst.sides.first().map(|s| s.submitted_ns));
        if let Some(flaw) = &worst.flaw {
            return verdict.not_measured(format!("The double spend did not take place: {flaw}."));
        }
        let measured = worst.confirmed.to_string();
        // Two conflicting transactions on one chain stay so, whatever the others think.
        if worst.confirmed > 1 && worst.confirmed != expected {
            let sentence = "Both conflicting transactions are in the final chain: the same money was spent twice.";
            return verdict
                .missed_by(missed(&worst).to_string())
                .regardless_of_host(true)
                .failed(measured, sentence.to_owned());
        }
        if !self.chain.undisputed {
            return verdict.not_measured(
                "The live nodes ended on different chains, so neither transaction is final.",
            );
        }
        let final_side = worst.sides.iter().find(|s| s.confirmed_height.is_some());
        let fate = match (worst.confirmed, final_side) {
            (1, Some(side)) => format!("only that of {} is", side.node),
            (0, _) => "neither is".to_owned(),
            _ => "both are".to_owned(),
        };
        let story = format!(
            "Of two conflicting transactions, given to {given_to}, {fate} in the final chain"
        );
        if worst.confirmed == expected {
            return verdict.held(measured, format!("{story}."));
        }
        verdict
            .missed_by(missed(&worst).to_string())
            .failed(measured, format!("{story}, instead of {expected}."))
    }

    pub(super) fn reorg_depth(
        &self,
        verdict: Verdict,
        min: Option<u32>,
        max: Option<u32>,
    ) -> Verdict {
        let Some(deepest) = &self.forks.deepest_reorg else {
            return verdict.not_measured("No node ever told its tip.");
        };
        let depth = deepest.depth;
        let (low, high) = (min.unwrap_or(0), max.unwrap_or(u32::MAX));
        let blocks = words::count(u64::from(depth), "block");
        let story = match depth {
            0 => "No node's chain was ever reorganised".to_owned(),
            _ => format!(
                "The deepest reorganisation undid {blocks}, on {} at {}",
                words::names(&deepest.nodes),
                words::instant(deepest.at_ns)
            ),
        };
        let verdict = match depth {
            0 => verdict,
            _ => verdict.look_at(deepest.nodes.clone(), Some(deepest.at_ns)),
        };
        if depth > high {
            let over = words::count(u64::from(depth - high), "block");
            return verdict.missed_by(over.clone()).failed(
                depth.to_string(),
                format!("{story}: {over} more than allowed."),
            );
        }
        if depth < low {
            let under = words::count(u64::from(low - depth), "block");
            return verdict.missed_by(under.clone()).failed(
                depth.to_string(),
                format!("{story}: {under} fewer than expected."),
            );
        }
        verdict.held(depth.to_string(), format!("{story}."))
    }

    pub(super) fn stale_rate(&self, verdict: Verdict, max: f64) -> Verdict {
        let Some(rate) = self.forks.stale_rate else {
            return verdict.not_measured("No block was mined, so none could become stale.");
        };
        if !self.chain.undisputed {
            return verdict.not_measured(
                "The live nodes ended on different chains, so no block is stale for good.",
            );
        }
        let measured = words::percent(rate);
        let story = format!(
            "{} of {} ({measured}) are not in the final chain",
            self.forks.stale_blocks,
            words::count(u64::from(self.forks.mined_blocks), "block")
        );
        if rate <= max {
            return verdict.held(measured, format!("{story}."));
        }
        verdict
            .missed_by(words::percent(rate - max))
            .failed(measured, format!("{story}: too many."))
    }

    pub(super) fn rewards(&self, verdict: Verdict, of: &str, within: f64) -> Verdict {
        let group = self.plan.groups.iter().position(|group| group.name == of);
        let is_judged = |miner: NodeId| {
            let node = self.plan.nodes.get(miner.index());
            node.is_some_and(|node| Some(node.group as usize) == group)
        };
        let mut mined: BTreeMap<NodeId, Earned> = BTreeMap::new();
        let mut all = Earned::default();
        for (block, described) in self.record.tree.mined() {
            let Some(miner) = described.miner else {
                continue;
            };
            let kept = u32::from(self.chain.blocks.contains(&block));
            for sum in [&mut all, mined.entry(miner).or_default()] {
                sum.mined += 1;
                sum.kept += kept;
            }
        }
        mined.retain(|miner, _| is_judged(*miner));
        if !self.chain.undisputed {
            return verdict.not_measured(
                "The live nodes ended on different chains, so no block is rewarded for good.",
            );
        }
        let off = |earned: &Earned| (earned.gain(&all) - 1.0).abs();
        // Of equal ones the first.
        let worst = mined
            .iter()
            .rev()
            .max_by(|a, b| off(a.1).total_cmp(&off(b.1)));
        let Some((miner, worst)) = worst else {
            return verdict.not_measured(format!("No node of {of} mined a block."));
        };
        let off = off(worst);
        let names = self.names(&[*miner]);
        let story = format!(
            "{} mined {} of {} and has {} of the {} in the final chain, {} {} than its part",
            words::names(&names),
            worst.mined,
            words::count(u64::from(all.mined), "block"),
            worst.kept,
            all.kept,
            words::percent(off),
            if worst.gain(&all) < 1.0 {
                "less"
            } else {
                "more"
            },
        );
        let verdict = verdict.look_at(names, None);
        if off <= within {
            return verdict.held(
                words::percent(off),
                format!("{story}; no other is further off."),
            );
        }
        verdict
            .missed_by(words::percent(off - within))
            .failed(words::percent(off), format!("{story}."))
    }

    pub(super) fn nodes_up(&self, verdict: Verdict, min: u32) -> Verdict {
        let states = self.timeline.at_end();
        let live = states.iter().filter(|s| s.live()).count() as u64;
        let missing: Vec<NodeId> = states
            .iter()
            .enumerate()
            .filter(|(_, s)| s.missing())
            .map(|(i, _)| NodeId(i as u32))
            .collect();
        let missing = self.names(&missing);
        if self.record.started.is_none() {
            return verdict.not_measured("The run never started.");
        }
        if live >= u64::from(min) {
            return verdict.held(live.to_string(), format!("{} live at the end.", were(live)));
        }
        let lacking = u64::from(min) - live;
        let who = match missing.as_slice() {
            [] => String::new(),
            some => format!("; meant to be up but down: {}", words::names(some)),
        };
        verdict
            .missed_by(words::count(lacking, "node"))
            .look_at(missing, Some(self.timeline.end))
            .failed(
                live.to_string(),
                format!(
                    "Only {} live at the end, {lacking} too few{who}.",
                    were(live)
                ),
            )
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
