//! Everything measured, and which judge an expectation goes to.

use peerlab_link::NodeId;

use super::Verdict;
use crate::check::bandwidth::node_name;
use crate::check::convergence::Terms;
use crate::check::double_spend::DoubleSpend;
use crate::check::forks::{FinalChain, Forks};
use crate::check::propagation::Spread;
use crate::check::record::Record;
use crate::check::timeline::Timeline;
use crate::experiment::Expectation;
use crate::plan::Plan;
use crate::plan::spec::{Work, WorkloadAction};

/// Everything measured that expectations are held against.
pub struct Evidence<'a> {
    pub plan: &'a Plan,
    pub record: &'a Record,
    /// Who was live when.
    pub timeline: &'a Timeline,
    /// The chain at the end.
    pub chain: &'a FinalChain,
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
        let verdict = Verdict::on(expectation);
        match expectation {
            Expectation::Converged {
                within,
                of,
                lag,
                hold,
            } => {
                let terms = Terms {
                    lag: *lag,
                    hold: *hold,
                };
                self.converged(verdict, *within, *of, terms)
            }
            Expectation::Agree { within, of, hold } => self.agree(verdict, *within, *of, *hold),
            Expectation::SameLedger => self.same_ledger(verdict),
            Expectation::DoubleSpend { confirmed } => self.double_spend(verdict, *confirmed),
            Expectation::ReorgDepth { min, max } => self.reorg_depth(verdict, *min, *max),
            Expectation::StaleRate { max } => self.stale_rate(verdict, *max),
            Expectation::Rewards { of, within } => self.rewards(verdict, of, *within),
            Expectation::Propagation {
                quantile,
                below,
                phase,
            } => self.propagation(verdict, *quantile, *below, phase.as_deref()),
            Expectation::Bandwidth { of, below, phase } => {
                self.bandwidth(verdict, *of, *below, phase.as_deref())
            }
            Expectation::NodesUp { min } => self.nodes_up(verdict, *min),
        }
    }

    /// Whether the plan mines, but no block was ever seen. Nodes that all stand where they began
    /// then agree on nothing new, which must not pass for convergence.
    pub(super) fn nothing_mined(&self) -> bool {
        let mines = |e: &WorkloadAction| matches!(e.work, Work::Mine { .. });
        self.plan.workload.iter().any(mines) && self.record.tree.mined().next().is_none()
    }

    /// Names of nodes.
    pub(super) fn names(&self, nodes: &[NodeId]) -> Vec<String> {
        nodes.iter().map(|n| node_name(self.plan, *n)).collect()
    }
}
