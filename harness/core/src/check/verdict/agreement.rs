//! Whether the network agreed in time after what was done to it ended.

use peerlab_link::Nanos;

use super::{Evidence, Verdict};
use crate::check::convergence::{self, Convergence, Ending, Terms};
use crate::check::timeline::Timeline;
use crate::check::tree::BlockTree;
use crate::plan::spec::Disturbance;
use crate::words;

/// What is said of agreement where there was nothing new to agree on.
pub(super) const NOTHING_MINED: &str =
    "The plan mines blocks, but none was ever seen: there was nothing new to agree on.";

/// What is to be agreed on, and who said what of it when.
struct On<'a> {
    tree: &'a BlockTree,
    timeline: &'a Timeline,
}

impl Evidence<'_> {
    pub(super) fn converged(
        &self,
        verdict: Verdict,
        within: Nanos,
        of: Disturbance,
        terms: Terms,
    ) -> Verdict {
        let (tree, timeline) = (&self.record.tree, self.timeline);
        self.agreement(&On { tree, timeline }, verdict, within, of, terms)
    }

    pub(super) fn agree(
        &self,
        verdict: Verdict,
        within: Nanos,
        of: Disturbance,
        hold: Nanos,
    ) -> Verdict {
        let (tree, timeline) = (&self.record.values, &self.timeline.of_values());
        let terms = Terms { lag: 0, hold };
        self.agreement(&On { tree, timeline }, verdict, within, of, terms)
    }

    fn agreement(
        &self,
        on: &On<'_>,
        verdict: Verdict,
        within: Nanos,
        of: Disturbance,
        terms: Terms,
    ) -> Verdict {
        if self.nothing_mined() {
            return verdict.not_measured(NOTHING_MINED);
        }
        let endings = convergence::endings(self.plan, self.record, of);
        if let Some(verdict) = self.nothing_ended(&verdict, of, endings.len()) {
            return verdict;
        }
        let measures: Vec<(Ending, Convergence)> = endings
            .into_iter()
            .map(|e| {
                let c = convergence::measure(on.tree, on.timeline, &e, terms);
                (e, c)
            })
            .collect();
        if let Some((ending, c)) = measures.iter().find(|(_, c)| c.nodes < 2) {
            let alone = words::count(u64::from(c.nodes), "node");
            return verdict
                .look_at(Vec::new(), Some(ending.t))
                .not_measured(format!(
                    "Only {alone} of the network was live at {}: there was nobody to agree with.",
                    words::instant(ending.t)
                ));
        }
        let time = |c: &Convergence| c.time_ns.unwrap_or(Nanos(u64::MAX));
        let Some((ending, worst)) = measures.iter().max_by_key(|(_, c)| time(c)) else {
            return verdict.not_measured("Nothing ended that the network could recover from.");
        };
        match worst.time_ns {
            Some(t) if t <= within => {
                let sentence = self.agreed_sentence(ending, worst, t, measures.len());
                verdict
                    .look_at(Vec::new(), Some(ending.t))
                    .held(words::duration(t), sentence)
            }
            _ => self.disagreed(on, verdict, ending, worst, within, terms),
        }
    }

    /// The verdict where a disturbance that should have ended did not.
    fn nothing_ended(&self, verdict: &Verdict, of: Disturbance, ended: usize) -> Option<Verdict> {
        let due = match of {
            Disturbance::Settle => 1,
            Disturbance::Heal => self.partitions_that_heal(),
        };
        if ended >= due && ended > 0 {
            return None;
        }
        let verdict = verdict.clone();
        Some(match of {
            Disturbance::Settle => verdict.not_measured("The run never came to its settle phase."),
            Disturbance::Heal if due == 0 => verdict.regardless_of_host(true).not_measured(
                "No partition of this plan heals, so there was nothing to recover from.",
            ),
            Disturbance::Heal => verdict.not_measured(format!(
                "Only {ended} of {} healed before the run ended.",
                words::count(due as u64, "partition")
            )),
        })
    }

    fn partitions_that_heal(&self) -> usize {
        self.plan
            .faults
            .iter()
            .filter(|f| f.sides().is_some() && f.end.is_some())
            .count()
    }

    fn agreed_sentence(
        &self,
        ending: &Ending,
        worst: &Convergence,
        t: Nanos,
        count: usize,
    ) -> String {
        let nodes = words::count(u64::from(worst.nodes), "live node");
        let t = words::duration(t);
        match ending.of {
            Disturbance::Settle => {
                format!("All live nodes agreed {t} after everything was healed.")
            }
            Disturbance::Heal if count == 1 => {
                format!("All {nodes} agreed {t} after the partition healed.")
            }
            Disturbance::Heal => {
                format!(
                    "After each of {count} partitions all live nodes agreed, at the latest {t} after it healed."
                )
            }
        }
    }

    fn disagreed(
        &self,
        on: &On<'_>,
        verdict: Verdict,
        ending: &Ending,
        worst: &Convergence,
        within: Nanos,
        terms: Terms,
    ) -> Verdict {
        let deadline = ending.t.saturating_add(within).min(on.timeline.end);
        let (at, nodes) =
            convergence::dissenters_from(on.tree, on.timeline, ending, terms.lag, deadline);
        let nodes = self.names(&nodes);
        let what = match ending.of {
            Disturbance::Heal => format!("the partition healed at {}", words::instant(ending.t)),
            Disturbance::Settle => {
                format!("everything was healed at {}", words::instant(ending.t))
            }
        };
        let who = match nodes.as_slice() {
            [] => "The live nodes".to_owned(),
            some => words::names(some),
        };
        let (measured, how, missed) = match worst.time_ns {
            Some(t) => {
                let missed = words::duration(t.saturating_sub(within));
                let how = format!(
                    "the network agreed {} after, {missed} too late",
                    words::duration(t)
                );
                (words::duration(t), how, missed)
            }
            None => {
                let lasted = match worst.longest_ns {
                    Nanos::ZERO => String::new(),
                    longest => format!(
                        " (the longest agreement lasted {})",
                        words::duration(longest)
                    ),
                };
                let how = format!(
                    "the network never agreed for {} together{lasted}",
                    words::duration(terms.hold)
                );
                ("never".to_owned(), how, "it never agreed".to_owned())
            }
        };
        let still = words::duration(at.saturating_sub(ending.t));
        verdict.missed_by(missed).look_at(nodes, Some(at)).failed(
            measured,
            format!("{who} disagreed with the others {still} after {what}: {how}."),
        )
    }
}
