//! How long nodes waited for a CPU, and how much of that because of programs that are not the run's.
//!
//! **Wanted**: the time in which threads of nodes computed or could have, and had no CPU; that they
//! **waited**. (It is the kernel's run delay, summed over threads.) What the experiment asks for is
//! left out: nodes of groups with a `cpu` limit, and nodes while they are slow.
//!
//! **Others** are whatever computed on the host but the run: the time in which its CPUs were not idle,
//! without that of nodes, gates, fabric, harness, the engine's own processes and the kernel's threads.
//! What others took of all CPUs between two measurements of a node is at most what it can have waited
//! for them: as large a share of the time that it wanted a CPU. So **for others** is the lesser of that and what it waited. Nodes that only
//! contend with each other wait long, but not for others, and others that leave nodes enough make
//! none wait. A wait is counted when it ends, so what others took in the measurement before counts as
//! well, where it is more.
//!
//! Measurements come every second or, of large networks, of some nodes a second; where one reaches
//! into a window it counts by its part.

use peerlab_link::{Nanos, NodeId};
use serde::Serialize;

use super::convergence::{self, SETTLE};
use super::record::CpuTime;
use super::run::Run;
use crate::experiment::Expectation;
use crate::plan::spec::{Fault, Phase};
use crate::words;

/// The share of the time that nodes wanted a CPU, percent, in which they may have waited for one
/// because of other programs in a run that counts. What a node computes takes a ninth longer then:
/// half of what a bound that stands a fifth beyond the usual allows for.
pub const FOR_OTHERS_PERCENT_MAX: f64 = 10.0;

/// How nodes waited in a stretch of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Waiting {
    /// Which: a phase, or that in which an expectation was judged; `None` for the whole run.
    pub within: Option<String>,
    /// Of the time that nodes wanted a CPU, the share in which they waited for one, percent.
    pub waited_percent: f64,
    /// Likewise, because of others.
    pub for_others_percent: f64,
    /// CPUs that others took, on average.
    pub other_cpus: f64,
    /// CPUs that there are.
    pub cpus: u32,
}

/// A stretch of the run, and how a sentence names it.
type Window = (Option<String>, Nanos, Nanos);

/// The whole run first, then each phase; and the worst of those that figures were judged in. Nothing
/// where the host or a node's kernel does not tell.
pub fn measure(run: &Run<'_>) -> (Vec<Waiting>, Option<Waiting>) {
    let Some(measured) = Measured::of(run) else {
        return (Vec::new(), None);
    };
    let named = run.plan.phases.iter().map(|phase| phase.name.as_str());
    let phases = std::iter::once(None).chain(named.map(Some));
    let shown = phases
        .map(|name| measured.within(phase(run, name)))
        .collect();
    let windows = run.plan.expect.iter().flat_map(|e| windows(run, e));
    let judged = windows.map(|window| measured.within(window));
    let worst = judged.max_by(|a, b| a.for_others_percent.total_cmp(&b.for_others_percent));
    (shown, worst)
}

impl Waiting {
    /// Why the run proves nothing, if so.
    pub fn inconclusive_because(&self) -> Option<String> {
        let within = self.within.as_deref().unwrap_or("the whole run");
        (self.for_others_percent > FOR_OTHERS_PERCENT_MAX).then(|| {
            format!(
                "in {within} nodes waited for a CPU in {:.0} % of the time in which they wanted one, because other programs used {:.1} of {} (at most {FOR_OTHERS_PERCENT_MAX:.0} % may be)",
                self.for_others_percent,
                self.other_cpus,
                words::count(u64::from(self.cpus), "CPU"),
            )
        })
    }
}

/// A phase by its name, or the whole run.
fn phase(run: &Run<'_>, name: Option<&str>) -> Window {
    let is_it = |phase: &&Phase| Some(phase.name.as_str()) == name;
    let found = run.plan.phases.iter().find(is_it);
    let (from, to) = found.map_or((Nanos::ZERO, run.plan.end()), |p| (p.start, p.end));
    (name.map(str::to_owned), from, to)
}

/// The stretches of the run in which what an expectation is about took place.
fn windows(run: &Run<'_>, expectation: &Expectation) -> Vec<Window> {
    match expectation {
        Expectation::Converged { within, of, .. } | Expectation::Agree { within, of, .. } => {
            let window = |from: Nanos| {
                let [length, at] = [words::duration(*within), words::instant(from)];
                let name = format!("the {length} from {at} on");
                (Some(name), from, from.saturating_add(*within))
            };
            let endings = convergence::endings(run, *of);
            endings.iter().map(|ending| window(ending.t)).collect()
        }
        Expectation::Propagation { phase: name, .. }
        | Expectation::Bandwidth { phase: name, .. } => vec![phase(run, name.as_deref())],
        Expectation::SameLedger | Expectation::DoubleSpend { .. } | Expectation::NodesUp { .. } => {
            vec![phase(run, Some(SETTLE))]
        }
        Expectation::ReorgDepth { .. }
        | Expectation::StaleRate { .. }
        | Expectation::Rewards { .. } => vec![phase(run, None)],
    }
}

/// What was measured, to be summed over windows.
struct Measured {
    /// What others took by an instant, seconds; ascending.
    others: Vec<(Nanos, f64)>,
    cpus: u32,
    intervals: Vec<Interval>,
}

/// One node between two measurements.
struct Interval {
    from: Nanos,
    to: Nanos,
    /// Seconds, summed over its threads.
    wanted: f64,
    waited: f64,
    for_others: f64,
}

impl Measured {
    fn of(run: &Run<'_>) -> Option<Measured> {
        let record = run.record;
        let cpus = record.host_cpu.first()?.1.cpus;
        let mut measured = Measured {
            others: others(run),
            cpus,
            intervals: Vec::new(),
        };
        for (node, times) in &record.cpu_times {
            measured.add(run, *node, times);
        }
        (!measured.intervals.is_empty()).then_some(measured)
    }

    /// Adds a node's intervals, but for those in which the experiment has it wait.
    fn add(&mut self, run: &Run<'_>, node: NodeId, times: &[CpuTime]) {
        let plan = run.plan;
        let group = plan.nodes.get(node.index()).map(|node| node.group as usize);
        let group = group.and_then(|group| plan.groups.get(group));
        if group.is_none_or(|group| group.cpu_millis.is_some()) {
            return;
        }
        let slow = slow_spans(run, node);
        let starts = std::iter::once(CpuTime::default()).chain(times.iter().copied());
        let mut share_before = 0.0;
        for (a, b) in starts.zip(times) {
            let seconds = |now: Nanos, then: Nanos| now.saturating_sub(then).as_secs_f64();
            let waited = seconds(b.waited, a.waited);
            let wanted = waited + seconds(b.cpu, a.cpu);
            let share = self.others_within(a.t, b.t) / f64::from(self.cpus.max(1));
            let share = share.clamp(0.0, 1.0);
            let for_others = waited.min(wanted * share.max(share_before));
            share_before = share;
            if !slow.iter().any(|(from, to)| *from < b.t && a.t < *to) {
                self.intervals.push(Interval {
                    from: a.t,
                    to: b.t,
                    wanted,
                    waited,
                    for_others,
                });
            }
        }
    }

    /// CPUs that others took in a window, on average.
    fn others_within(&self, from: Nanos, to: Nanos) -> f64 {
        let [before, after] = [from, to].map(|t| at(&self.others, t));
        (after - before) / to.saturating_sub(from).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn within(&self, (within, from, to): Window) -> Waiting {
        let mut sum = Interval {
            from,
            to,
            wanted: 0.0,
            waited: 0.0,
            for_others: 0.0,
        };
        for interval in &self.intervals {
            let length = interval.to.saturating_sub(interval.from).as_secs_f64();
            let common = interval.to.min(to).saturating_sub(interval.from.max(from));
            let part = common.as_secs_f64() / length.max(f64::MIN_POSITIVE);
            sum.wanted += interval.wanted * part;
            sum.waited += interval.waited * part;
            sum.for_others += interval.for_others * part;
        }
        let percent = |time: f64| time / sum.wanted.max(f64::MIN_POSITIVE) * 100.0;
        Waiting {
            within,
            waited_percent: percent(sum.waited),
            for_others_percent: percent(sum.for_others),
            other_cpus: self.others_within(from, to).max(0.0),
            cpus: self.cpus,
        }
    }
}

/// When a node was slow by the plan.
fn slow_spans(run: &Run<'_>, node: NodeId) -> Vec<(Nanos, Nanos)> {
    let record = run.record;
    let span = |(fault, planned): (u32, &Fault)| {
        let slowed = planned.kind()?.slowed()?;
        let span = record.faults.get(&fault)?;
        let is_slow = slowed.contains(&node);
        is_slow.then_some((span.began?, span.ended.unwrap_or(record.end)))
    };
    (0..).zip(&run.plan.faults).filter_map(span).collect()
}

/// What others had taken at each reading of the host's CPUs, seconds.
fn others(run: &Run<'_>) -> Vec<(Nanos, f64)> {
    let record = run.record;
    let nodes: Vec<Vec<(Nanos, f64)>> = record
        .cpu_times
        .values()
        .map(|times| {
            let took = |time: &CpuTime| time.cpu.saturating_add(time.gate).as_secs_f64();
            let cpu = times.iter().map(|time| (time.t, took(time)));
            std::iter::once((Nanos::ZERO, 0.0)).chain(cpu).collect()
        })
        .collect();
    let others = record.host_cpu.iter().map(|(t, host)| {
        let nodes: f64 = nodes.iter().map(|node| at(node, *t)).sum();
        let own = host.own.as_secs_f64() + nodes;
        (*t, host.busy.as_secs_f64() - own)
    });
    others.collect()
}

/// A sum by an instant, on straight lines between its readings.
fn at(readings: &[(Nanos, f64)], t: Nanos) -> f64 {
    let next = readings.partition_point(|(at, _)| *at <= t);
    let (before, after) = (next.checked_sub(1).map(|i| readings[i]), readings.get(next));
    match (before, after) {
        (Some((from, low)), Some((to, high))) => {
            let part = t.saturating_sub(from).as_secs_f64() / to.saturating_sub(from).as_secs_f64();
            low + (high - low) * part
        }
        (Some((_, value)), None) => value,
        (None, first) => first.map_or(0.0, |(_, value)| *value),
    }
}
