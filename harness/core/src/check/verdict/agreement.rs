//! Whether the network agreed in time after what was done to it ended.

use peerlab_link::Nanos;

use super::{Evidence, Verdict};
use crate::check::convergence::{self, Convergence, Ending, Terms};
use crate::check::timeline::Timeline;
use crate::experiment::Disturbance;
use crate::plan::spec::Fault;
use crate::words;

impl Evidence<'_> {
    /// Whether nodes agreed on what the timeline tells of them.
    pub(super) fn agreement(
        &self,
        timeline: &Timeline<'_>,
        within: Nanos,
        of: Disturbance,
        terms: Terms,
    ) -> Verdict {
        if let Some(verdict) = self.nothing_mined() {
            return verdict;
        }
        let endings = convergence::endings(self.run, of);
        if let Some(verdict) = self.nothing_ended(of, endings.len()) {
            return verdict;
        }
        let count = endings.len();
        let measure = |e: Ending| {
            let c = convergence::measure(timeline, &e, terms);
            (e, c)
        };
        let measures: Vec<(Ending, Convergence)> = endings.into_iter().map(measure).collect();
        if let Some((ending, c)) = measures.iter().find(|(_, c)| c.nodes < 2) {
            let alone = words::count(u64::from(c.nodes), "node");
            let at = words::instant(ending.t);
            return Verdict::not_measured(format!(
                "Only {alone} of the network was live at {at}: there was nobody to agree with."
            ))
            .look_at(Vec::new(), Some(ending.t));
        }
        let time = |c: &Convergence| c.time_ns.unwrap_or(Nanos(u64::MAX));
        let Some((ending, worst)) = measures.iter().max_by_key(|(_, c)| time(c)) else {
            return Verdict::not_measured("Nothing ended that the network could recover from.");
        };
        match worst.time_ns {
            Some(t) if t <= within => {
                let t = words::duration(t);
                let sentence = agreed_sentence(ending.of, worst.nodes, &t, count);
                Verdict::held(t, sentence).look_at(Vec::new(), Some(ending.t))
            }
            _ => self.disagreed(timeline, ending, worst, within, terms),
        }
    }

    /// The verdict where a disturbance that should have ended did not.
    fn nothing_ended(&self, of: Disturbance, ended: usize) -> Option<Verdict> {
        let heals = |f: &&Fault| f.sides().is_some() && f.end.is_some();
        let due = match of {
            Disturbance::Settle => 1,
            Disturbance::Heal => self.run.plan.faults.iter().filter(heals).count(),
        };
        if ended >= due && ended > 0 {
            return None;
        }
        Some(match of {
            Disturbance::Settle => Verdict::not_measured("The run never came to its settle phase."),
            Disturbance::Heal if due == 0 => Verdict::not_measured(
                "No partition of this plan heals, so there was nothing to recover from.",
            )
            .regardless_of_host(true),
            Disturbance::Heal => Verdict::not_measured(format!(
                "Only {ended} of {} healed before the run ended.",
                words::count(due as u64, "partition")
            )),
        })
    }

    fn disagreed(
        &self,
        timeline: &Timeline<'_>,
        ending: &Ending,
        worst: &Convergence,
        within: Nanos,
        terms: Terms,
    ) -> Verdict {
        let deadline = ending.t.saturating_add(within).min(timeline.end);
        let (at, nodes) = convergence::dissenters_from(timeline, ending, terms.lag, deadline);
        let nodes = self.run.names(&nodes);
        let healed = match ending.of {
            Disturbance::Heal => "the partition healed",
            Disturbance::Settle => "everything was healed",
        };
        let who = match nodes.as_slice() {
            [] => "The live nodes".to_owned(),
            some => words::names(some),
        };
        let (measured, how, missed) = match worst.time_ns {
            Some(t) => {
                let (t, missed) = (
                    words::duration(t),
                    words::duration(t.saturating_sub(within)),
                );
                let how = format!("the network agreed {t} after, {missed} too late");
                (t, how, missed)
            }
            None => {
                let lasted = match worst.longest_ns {
                    Nanos::ZERO => String::new(),
                    longest => {
                        let longest = words::duration(longest);
                        format!(" (the longest agreement lasted {longest})")
                    }
                };
                let hold = words::duration(terms.hold);
                let how = format!("the network never agreed for {hold} together{lasted}");
                ("never".to_owned(), how, "it never agreed".to_owned())
            }
        };
        let still = words::duration(at.saturating_sub(ending.t));
        let since = words::instant(ending.t);
        let sentence =
            format!("{who} disagreed with the others {still} after {healed} at {since}: {how}.");
        Verdict::failed(measured, missed, sentence).look_at(nodes, Some(at))
    }
}

fn agreed_sentence(of: Disturbance, nodes: u32, t: &str, count: usize) -> String {
    match of {
        Disturbance::Settle => format!("All live nodes agreed {t} after everything was healed."),
        Disturbance::Heal if count == 1 => {
            let nodes = words::count(u64::from(nodes), "live node");
            format!("All {nodes} agreed {t} after the partition healed.")
        }
        Disturbance::Heal => format!(
            "After each of {count} partitions all live nodes agreed, at the latest {t} after it healed."
        ),
    }
}
