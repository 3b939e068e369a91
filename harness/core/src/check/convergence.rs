//! How long the network took to agree after a disturbance ended.
//!
//! **Converged at t**: all live nodes have the same tip, or a tip at most `lag` blocks behind it
//! on the same chain. **Time to converge**: from the end of the disturbance to the start of the
//! first interval of agreement that lasts `hold`.
//!
//! Who must agree:
//! - after a *heal*: the nodes that were live when the partition healed, for as long as they
//!   stay live. A node that churn brings back later recovers from its own absence, not from the
//!   partition, and would otherwise break agreement at each return;
//! - at *settle*, when everything is healed and every node is brought back for good: all live
//!   nodes, those that come back during the phase too.
//!
//! Fewer than two live nodes agree on nothing. An interval of agreement that the end of the run
//! cuts short of `hold` does not count.

use peerlab_link::{Nanos, NodeId};
use serde::Serialize;

use super::record::Move;
use super::run::Run;
use super::timeline::{Crowd, Timeline};
use crate::experiment::Disturbance;
use crate::plan::Plan;

/// Name of the phase that begins with everything healed.
pub const SETTLE: &str = "settle";

/// A disturbance that ended.
#[derive(Clone, Debug)]
pub struct Ending {
    pub of: Disturbance,
    /// The partition, by index into the plan's faults; `None` at settle.
    pub fault: Option<u32>,
    /// When it ended.
    pub t: Nanos,
}

/// What is asked of the network after a disturbance.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// A node may be this many blocks behind.
    pub lag: u32,
    /// How long agreement must last.
    pub hold: Nanos,
}

impl Terms {
    /// What the report uses where no expectation says otherwise: one block behind, for one
    /// block interval (10 s where nothing is mined).
    pub fn usual(plan: &Plan) -> Terms {
        Terms {
            lag: 1,
            hold: plan.ledger.block_interval.unwrap_or(Nanos::from_secs(10)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Convergence {
    /// The partition that healed, by index into the plan's faults; `None` at settle.
    pub fault: Option<u32>,
    /// When the disturbance ended.
    pub ended_at_ns: Nanos,
    /// From then to the start of the first agreement that lasted; `None` when none did.
    pub time_ns: Option<Nanos>,
    /// The longest agreement that did not last long enough, when none did.
    pub longest_ns: Nanos,
    /// How many nodes had to agree when the disturbance ended.
    pub nodes: u32,
}

/// The disturbances of this kind that ended, in the order of time.
pub fn endings(run: &Run<'_>, of: Disturbance) -> Vec<Ending> {
    let ending = |fault, t: Option<Nanos>| t.map(|t| Ending { of, fault, t });
    let mut endings: Vec<Ending> = match of {
        Disturbance::Heal => {
            let partitions = run.partitions.iter();
            partitions
                .filter_map(|p| ending(Some(p.fault), p.healed))
                .collect()
        }
        Disturbance::Settle => {
            let settle = run.record.phases.get(SETTLE).copied();
            ending(None, settle).into_iter().collect()
        }
    };
    endings.sort_by_key(|e| e.t);
    endings
}

/// Measures the time to converge after one disturbance.
pub fn measure(timeline: &Timeline<'_>, ending: &Ending, terms: Terms) -> Convergence {
    let mut crowd = crowd_at(timeline, ending, ending.t);
    let nodes = crowd.live();
    let mut since = crowd.agrees(terms.lag).then_some(ending.t);
    let mut longest = Nanos::ZERO;
    // Where agreement from `since` to `to` lasted long enough, its beginning.
    let mut lasted = |since: Option<Nanos>, to: Nanos| {
        let lasted = to.saturating_sub(since?);
        longest = longest.max(lasted);
        since.filter(|_| lasted >= terms.hold)
    };
    let mut found = None;
    for instant in timeline.instants().filter(|i| i[0].t > ending.t) {
        let t = instant[0].t;
        crowd.apply(instant);
        if crowd.agrees(terms.lag) {
            since = since.or(Some(t));
        } else {
            found = lasted(since.take(), t);
        }
        if found.is_some() {
            break;
        }
    }
    let found = found.or_else(|| lasted(since, timeline.end));
    Convergence {
        fault: ending.fault,
        ended_at_ns: ending.t,
        time_ns: found.map(|from| from.saturating_sub(ending.t)),
        longest_ns: found.map_or(longest, |_| Nanos::ZERO),
        nodes,
    }
}

/// Who disagreed at `t`, or, where nobody did, at the next moment when somebody did; with that
/// moment. Empty when nobody did until the end.
pub fn dissenters_from(
    timeline: &Timeline<'_>,
    ending: &Ending,
    lag: u32,
    t: Nanos,
) -> (Nanos, Vec<NodeId>) {
    let mut crowd = crowd_at(timeline, ending, t);
    let mut at = t;
    let mut later = timeline.instants().filter(|i| i[0].t > t);
    loop {
        let dissenters = crowd.dissenters(lag);
        if !dissenters.is_empty() {
            return (at, dissenters);
        }
        let Some(instant) = later.find(|instant| {
            crowd.apply(instant);
            !crowd.agrees(lag)
        }) else {
            return (t, Vec::new());
        };
        at = instant[0].t;
    }
}

/// Those who must agree after a disturbance, as they are at `t`.
fn crowd_at<'a>(timeline: &Timeline<'a>, ending: &Ending, t: Nanos) -> Crowd<'a> {
    let states = timeline.at(ending.t);
    let mut crowd = match ending.of {
        Disturbance::Heal => Crowd::those_live(timeline.tree, states),
        Disturbance::Settle => Crowd::everybody(timeline.tree, states),
    };
    let until = |i: &&[Move]| i[0].t > ending.t && i[0].t <= t;
    timeline
        .instants()
        .filter(until)
        .for_each(|i| crowd.apply(i));
    crowd
}
