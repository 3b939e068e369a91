//! Whether blocks spread fast enough, and cheaply enough.

use std::cmp::Reverse;

use peerlab_link::Nanos;

use super::{Evidence, Verdict};
use crate::check::bandwidth;
use crate::check::propagation::{self, Reach};
use crate::experiment::{NodeQuantile, in_phase};
use crate::words;

impl Evidence<'_> {
    pub(super) fn propagation(&self, quantile: u8, below: Nanos, phase: Option<&str>) -> Verdict {
        let within = in_phase(phase);
        let chosen = propagation::born_in(self.run.plan, self.spreads, phase);
        let blocks = words::count(chosen.len() as u64, "block");
        match propagation::over_blocks(&chosen, quantile, self.run.timeline.end) {
            None if chosen.is_empty() => {
                Verdict::not_measured(format!("No block was mined{within}, so none could spread."))
            }
            None => Verdict::not_measured(format!(
                "The run ended before any of the {blocks} mined{within} could be judged."
            )),
            Some(Reach::After(t)) => {
                let took = words::duration(t);
                let story = format!(
                    "A block took {took} to reach {quantile} % of the live nodes (median of {blocks}{within})"
                );
                let over = words::duration(t.saturating_sub(below));
                let missed = (t >= below).then(|| (over.clone(), format!(", {over} too long")));
                Verdict::told(took, story, missed)
            }
            Some(Reach::Never) => Verdict::failed(
                "never".to_owned(),
                "it never did".to_owned(),
                format!(
                    "Most of the {blocks} mined{within} never reached {quantile} % of the live nodes."
                ),
            ),
        }
    }

    pub(super) fn bandwidth(&self, of: NodeQuantile, below: u64, phase: Option<&str>) -> Verdict {
        let within = in_phase(phase);
        let mut measured = match bandwidth::measure(self.run, phase) {
            Ok(measured) => measured,
            Err(why) => {
                return Verdict::not_measured(format!("Bandwidth{within} is not known: {why}."));
            }
        };
        let value = measured.per_node.get(of);
        let story = format!(
            "The {} of {} sent and received {}{within}",
            of.title(),
            words::count(measured.nodes.len() as u64, "node"),
            words::rate(value)
        );
        let Some(over) = value.checked_sub(below).map(words::rate) else {
            return Verdict::told(words::rate(value), story, None);
        };
        measured.nodes.retain(|n| n.both() >= below);
        measured
            .nodes
            .sort_by(|a, b| (Reverse(a.both()), &a.node).cmp(&(Reverse(b.both()), &b.node)));
        let nodes: Vec<String> = measured.nodes.into_iter().map(|n| n.node).collect();
        let most = words::names(&nodes);
        let end = format!(", {over} over the budget (over it: {most})");
        Verdict::told(words::rate(value), story, Some((over, end))).look_at(nodes, None)
    }
}
