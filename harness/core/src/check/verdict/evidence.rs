//! Everything measured, and which judge an expectation goes to.

use super::Verdict;
use crate::check::convergence::Terms;
use crate::check::double_spend::DoubleSpend;
use crate::check::forks::Forks;
use crate::check::missed::MissedKind;
use crate::check::propagation::Spread;
use crate::check::run::Run;
use crate::check::why::Reasons;
use crate::experiment::Expectation;
use crate::plan::spec::{Work, WorkloadAction};

/// Everything measured that expectations are held against.
pub struct Evidence<'a> {
    pub run: &'a Run<'a>,
    /// Forks and reorganisations.
    pub forks: &'a Forks,
    /// Every block's spread.
    pub spreads: &'a [Spread],
    /// Every double spend.
    pub double_spends: &'a [DoubleSpend],
}

impl Evidence<'_> {
    /// The verdict on one expectation.
    pub fn judge(&self, expectation: &Expectation) -> Verdict {
        let verdict = match *expectation {
            Expectation::Converged {
                within,
                of,
                lag,
                hold,
            } => self.agreement(&self.run.timeline, within, of, Terms { lag, hold }),
            Expectation::Agree { within, of, hold } => {
                let said = self.run.timeline.of_values(self.run.record);
                self.agreement(&said, within, of, Terms { lag: 0, hold })
            }
            Expectation::SameLedger => self.same_ledger(),
            Expectation::DoubleSpend { confirmed } => self.double_spend(confirmed),
            Expectation::ReorgDepth { min, max } => self.reorg_depth(min, max),
            Expectation::StaleRate { max } => self.stale_rate(max),
            Expectation::Rewards { ref of, within } => self.rewards(of, within),
            Expectation::Propagation {
                quantile,
                below,
                ref phase,
            } => self.propagation(quantile, below, phase.as_deref()),
            Expectation::Bandwidth {
                of,
                below,
                ref phase,
            } => self.bandwidth(of, below, phase.as_deref()),
            Expectation::NodesUp { min } => self.nodes_up(min),
        };
        verdict.on(expectation)
    }

    /// The verdict where the plan mines, but no block was ever seen. Nodes that all stand where they
    /// began then agree on nothing new, which must not pass for convergence.
    pub(super) fn nothing_mined(&self) -> Option<Verdict> {
        let mines = |e: &WorkloadAction| matches!(e.work, Work::Mine { .. });
        let nothing =
            self.run.plan.workload.iter().any(mines) && self.run.tree().mined().next().is_none();
        nothing.then(|| {
            let why = self.run.record.missed.story(MissedKind::Block);
            Verdict::not_measured(format!(
                "The plan mines blocks, but none was ever seen: there was nothing new to agree on{}.",
                why.map_or_else(String::new, |why| format!("; {why}"))
            ))
        })
    }

    /// Why nodes are down, or gave no answer.
    pub(super) fn why(&self) -> Reasons {
        Reasons::of(self.run.plan, self.run.record)
    }
}
