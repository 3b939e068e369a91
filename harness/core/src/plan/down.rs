//! Who is down when. Churn and faults each hold nodes down for a while; where their spans overlap
//! on one node they are joined, so that no fault brings a node up that another still holds down.
//! The joined spans are the plan's outages, and become process control in the fault schedule.

use std::collections::BTreeMap;

use peerlab_link::proto::{Action, ProcessOp, Timed};
use peerlab_link::{Change, Nanos, NodeId};

use super::spec::Outage;
use crate::experiment::{Down, PERIOD_MIN};

/// How long after its link a vanishing node dies: its packets under way are gone by then, and
/// what its kernel still sends (FIN, RST) is dropped.
const VANISH_KILL_DELAY: Nanos = Nanos::from_millis(100);

/// Joins causes for nodes to be down that overlap, or leave no time between for the program to
/// start. Sorted by node and start.
pub fn merge_outages(mut causes: Vec<Outage>) -> Vec<MergedOutage> {
    causes.sort_by_key(|cause| (cause.node, cause.start, cause.end.is_none(), cause.end));
    let mut joined: Vec<MergedOutage> = Vec::new();
    for cause in causes {
        let too_soon = |end: Nanos| cause.start < end.saturating_add(PERIOD_MIN);
        match joined.last_mut() {
            Some(open) if open.node() == cause.node && open.end.is_none_or(too_soon) => {
                open.end = open.end.zip(cause.end).map(|(a, b)| a.max(b));
                open.causes.push(cause);
            }
            _ => joined.push(MergedOutage {
                end: cause.end,
                causes: vec![cause],
            }),
        }
    }
    joined
}

/// A stretch in which a node is down, with all its causes in the order of their start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedOutage {
    end: Option<Nanos>,
    causes: Vec<Outage>,
}

impl MergedOutage {
    fn node(&self) -> NodeId {
        self.causes[0].node
    }

    /// The first cause that ends the program.
    fn death(&self) -> Option<&Outage> {
        // A node that does not start at `go` is down, not frozen.
        let dead = |cause: &&Outage| cause.how != Down::Freeze || cause.start == Nanos::ZERO;
        self.causes.iter().find(dead)
    }

    /// As the plan tells it.
    pub fn outage(&self) -> Outage {
        Outage {
            end: self.end,
            how: self.death().unwrap_or(&self.causes[0]).how,
            ..self.causes[0]
        }
    }

    /// What is done to the node, in order of time. The program is ended once, by the first cause
    /// that does; it starts again when the last cause lets it go.
    pub fn actions(&self) -> Vec<Timed> {
        let node = self.node();
        let first = &self.causes[0];
        let process = |at, op| Timed {
            at,
            action: Action::Process { node, op },
        };
        let link = |at, change| Timed {
            at,
            action: Action::Link(change),
        };
        let mut actions = Vec::new();
        let death = self.death();
        let frozen = first.how == Down::Freeze && first.start > Nanos::ZERO;
        if frozen {
            actions.push(process(first.start, ProcessOp::Freeze));
        }
        let mut silenced = false;
        if let Some(death) = death.filter(|death| death.start > Nanos::ZERO) {
            let vanishes = |cause: &&Outage| cause.how == Down::Vanish && cause.start > Nanos::ZERO;
            let vanish = self.causes.iter().find(vanishes);
            if let Some(vanish) = vanish.filter(|vanish| vanish.start <= death.start) {
                actions.push(link(vanish.start, Change::Silence { node }));
                silenced = true;
            }
            let (after, op) = match death.how {
                Down::Vanish => (VANISH_KILL_DELAY, ProcessOp::Kill),
                // A frozen program cannot stop politely.
                Down::Stop if !frozen => (Nanos::ZERO, ProcessOp::Stop),
                _ => (Nanos::ZERO, ProcessOp::Kill),
            };
            actions.push(process(death.start.saturating_add(after), op));
        }
        let Some(end) = self.end else {
            return actions;
        };
        if silenced {
            actions.push(link(end, Change::Unsilence { node }));
        }
        let Some(death) = death else {
            actions.push(process(end, ProcessOp::Thaw));
            return actions;
        };
        // It may have been stopping all the time until now.
        if death.how == Down::Stop && death.start > Nanos::ZERO {
            actions.push(process(end, ProcessOp::Kill));
        }
        if self.causes.iter().any(|cause| cause.how == Down::Replace) {
            actions.push(process(end, ProcessOp::Wipe));
        }
        actions.push(process(end, ProcessOp::Start));
        actions
    }
}

/// Whether nodes are meant to be up, by the plan's outages.
#[derive(Clone, Debug, Default)]
pub struct Downtime(BTreeMap<NodeId, Vec<Outage>>);

impl Downtime {
    /// Of these outages.
    pub fn new(outages: &[Outage]) -> Downtime {
        let mut by_node: BTreeMap<NodeId, Vec<Outage>> = BTreeMap::new();
        for outage in outages {
            by_node.entry(outage.node).or_default().push(*outage);
        }
        Downtime(by_node)
    }

    /// Whether a node is meant to be up at a moment.
    pub fn is_up(&self, node: NodeId, at: Nanos) -> bool {
        let outages = self.0.get(&node).map_or(&[][..], Vec::as_slice);
        let next = outages.partition_point(|outage| outage.start <= at);
        next == 0 || outages[next - 1].end.is_some_and(|end| end <= at)
    }

    /// Whether a node is meant to be up for the whole run.
    pub fn is_always_up(&self, node: NodeId) -> bool {
        !self.0.contains_key(&node)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(start: u64, end: Option<u64>, how: Down) -> Outage {
        Outage {
            node: NodeId(0),
            start: Nanos::from_secs(start),
            end: end.map(Nanos::from_secs),
            how,
        }
    }

    /// What is done to one node, as `second op`.
    fn story(spans: &[Outage]) -> Vec<String> {
        let told = |timed: Timed| {
            let what = match timed.action {
                Action::Process { op, .. } => format!("{op:?}"),
                Action::Link(Change::Silence { .. }) => "Silence".into(),
                Action::Link(Change::Unsilence { .. }) => "Unsilence".into(),
                Action::Link(other) => format!("{other:?}"),
            };
            format!("{} {what}", timed.at.as_secs_f64())
        };
        merge_outages(spans.to_vec())
            .iter()
            .flat_map(MergedOutage::actions)
            .map(told)
            .collect()
    }

    #[test]
    fn each_way_down_has_its_way_back() {
        assert_eq!(
            story(&[span(5, Some(9), Down::Kill)]),
            ["5 Kill", "9 Start"]
        );
        assert_eq!(
            story(&[span(5, Some(9), Down::Stop)]),
            ["5 Stop", "9 Kill", "9 Start"]
        );
        assert_eq!(
            story(&[span(5, Some(9), Down::Freeze)]),
            ["5 Freeze", "9 Thaw"]
        );
        assert_eq!(
            story(&[span(5, Some(9), Down::Replace)]),
            ["5 Kill", "9 Wipe", "9 Start"]
        );
        let vanish = ["5 Silence", "5.1 Kill", "9 Unsilence", "9 Start"];
        assert_eq!(story(&[span(5, Some(9), Down::Vanish)]), vanish);
        assert_eq!(story(&[span(5, None, Down::Kill)]), ["5 Kill"]);
        assert_eq!(story(&[span(0, Some(9), Down::Vanish)]), ["9 Start"]);
        assert_eq!(story(&[span(0, Some(9), Down::Freeze)]), ["9 Start"]);
    }

    #[test]
    fn a_node_returns_when_the_last_fault_lets_it_go() {
        let (kill, freeze) = (
            span(5, Some(9), Down::Kill),
            span(7, Some(12), Down::Freeze),
        );
        assert_eq!(story(&[kill, freeze]), ["5 Kill", "12 Start"]);
        let freeze = span(3, Some(6), Down::Freeze);
        assert_eq!(story(&[kill, freeze]), ["3 Freeze", "5 Kill", "9 Start"]);
        let never = span(6, None, Down::Stop);
        assert_eq!(story(&[kill, never]), ["5 Kill"]);
        // No time to start in between.
        let next = span(9, Some(11), Down::Kill);
        assert_eq!(story(&[kill, next]), ["5 Kill", "11 Start"]);
    }

    fn any_span() -> impl Strategy<Value = Outage> {
        let how = prop_oneof![
            Just(Down::Kill),
            Just(Down::Vanish),
            Just(Down::Stop),
            Just(Down::Freeze),
            Just(Down::Replace)
        ];
        (0u64..50, proptest::option::weighted(0.9, 1u64..20), how)
            .prop_map(|(start, length, how)| span(start, length.map(|length| start + length), how))
    }

    proptest! {
        #[test]
        fn the_program_runs_exactly_when_no_cause_holds_it_down(spans in proptest::collection::vec(any_span(), 0..8)) {
            let joined = merge_outages(spans.clone());
            let outages: Vec<Outage> = joined.iter().map(MergedOutage::outage).collect();
            let downtime = Downtime::new(&outages);
            let fault_schedule: Vec<Timed> = joined.iter().flat_map(MergedOutage::actions).collect();
            prop_assert!(fault_schedule.is_sorted_by_key(|timed| timed.at));
            for half_second in 0..160u64 {
                // Between the instants at which something happens, and after VANISH_KILL_DELAY.
                let at = Nanos::from_millis(half_second * 500 + 250);
                let mut running = !spans.iter().any(|span| span.start == Nanos::ZERO);
                let mut frozen = false;
                let mut silent = false;
                for timed in fault_schedule.iter().filter(|timed| timed.at <= at) {
                    match timed.action {
                        Action::Process { op: ProcessOp::Start, .. } => { prop_assert!(!running); running = true; frozen = false }
                        Action::Process { op: ProcessOp::Kill | ProcessOp::Stop, .. } => running = false,
                        Action::Process { op: ProcessOp::Freeze, .. } => frozen = true,
                        Action::Process { op: ProcessOp::Thaw, .. } => { prop_assert!(frozen); frozen = false }
                        Action::Process { op: ProcessOp::Wipe, .. } => prop_assert!(!running),
                        Action::Link(Change::Silence { .. }) => silent = true,
                        Action::Link(Change::Unsilence { .. }) => silent = false,
                        Action::Process { op: ProcessOp::Slow { .. } | ProcessOp::Unslow { .. }, .. }
                        | Action::Link(_) => prop_assert!(false),
                    }
                }
                let up = running && !frozen && !silent;
                prop_assert_eq!(up, downtime.is_up(NodeId(0), at), "at {:?} of {:?}", at, &fault_schedule);
                let held = spans.iter().any(|span| span.start <= at && span.end.is_none_or(|end| at < end));
                if held {
                    prop_assert!(!up);
                }
            }
        }
    }
}
