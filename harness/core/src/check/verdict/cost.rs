//! Whether blocks spread fast enough, and cheaply enough.

use peerlab_link::Nanos;

use super::{Evidence, Verdict};
use crate::check::bandwidth::{self, NodeRate};
use crate::check::propagation::{self, Reach, Spread};
use crate::experiment::{NodeQuantile, in_phase};
use crate::words;

impl Evidence<'_> {
    pub(super) fn propagation(
        &self,
        verdict: Verdict,
        quantile: u8,
        below: Nanos,
        phase: Option<&str>,
    ) -> Verdict {
        let within = in_phase(phase);
        let chosen: Vec<&Spread> = self
            .spreads
            .iter()
            .filter(|s| phase.is_none_or(|p| propagation::born_in(self.plan, s.birth, p)))
            .collect();
        let blocks = words::count(chosen.len() as u64, "block");
        match propagation::over_blocks(&chosen, quantile, self.timeline.end) {
            None if chosen.is_empty() => {
                verdict.not_measured(format!("No block was mined{within}, so none could spread."))
            }
            None => verdict.not_measured(format!(
                "The run ended before any of the {blocks} mined{within} could be judged."
            )),
            Some(Reach::After(t)) if t < below => verdict.held(
                words::duration(t),
                format!(
                    "A block took {} to reach {quantile} % of the live nodes (median of {blocks}{within}).",
                    words::duration(t)
                ),
            ),
            Some(Reach::After(t)) => {
                let missed = words::duration(t.saturating_sub(below));
                verdict.missed_by(missed.clone()).failed(
                    words::duration(t),
                    format!(
                        "A block took {} to reach {quantile} % of the live nodes (median of {blocks}{within}), {missed} too long.",
                        words::duration(t)
                    ),
                )
            }
            Some(Reach::Never) => verdict.missed_by("it never did".to_owned()).failed(
                "never".to_owned(),
                format!("Most of the {blocks} mined{within} never reached {quantile} % of the live nodes."),
            ),
        }
    }

    pub(super) fn bandwidth(
        &self,
        verdict: Verdict,
        of: NodeQuantile,
        below: u64,
        phase: Option<&str>,
    ) -> Verdict {
        let within = in_phase(phase);
        let figure = of.title();
        let measured = match bandwidth::measure(self.plan, self.record, self.timeline, phase) {
            Ok(measured) => measured,
            Err(why) => {
                return verdict.not_measured(format!("Bandwidth{within} is not known: {why}."));
            }
        };
        let value = measured.per_node.get(of);
        let story = format!(
            "The {figure} of {} sent and received {}{within}",
            words::count(measured.nodes.len() as u64, "node"),
            words::rate(value)
        );
        if value < below {
            return verdict.held(words::rate(value), format!("{story}."));
        }
        let missed = words::rate(value - below);
        let mut over: Vec<&NodeRate> = measured
            .nodes
            .iter()
            .filter(|n| n.both() >= below)
            .collect();
        over.sort_by_key(|n| (std::cmp::Reverse(n.both()), &n.node));
        let over: Vec<String> = over.into_iter().map(|n| n.node.clone()).collect();
        let most = words::names(&over);
        verdict
            .missed_by(missed.clone())
            .look_at(over, None)
            .failed(
                words::rate(value),
                format!("{story}, {missed} over the budget (over it: {most})."),
            )
    }
}
