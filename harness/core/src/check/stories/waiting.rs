//! Nodes that wait for a CPU, and whom they wait for. Every node computes 10 ms a second.

use peerlab_link::NodeId;
use peerlab_link::proto::NodeUsage;

use super::told::*;
use crate::experiment::FaultKind;
use crate::plan::spec::{Cause, Fault};

/// So many seconds of a node that waits so long in each.
fn seconds(count: usize, waits: f64) -> Vec<(f64, f64)> {
    vec![(0.01, waits); count]
}

/// Six nodes that all wait so long a second, while others take so many CPUs.
fn busy(waits: f64, others: f64) -> Story {
    let mut s = fork_and_heal().expect(Expectation::SameLedger);
    s.computes(s.nodes(), &seconds(90, waits));
    s.others_compute(0.0, 90.0, others);
    s
}

fn outcome(s: &Story) -> (Outcome, Vec<String>) {
    let j = s.judge();
    (j.outcome, j.inconclusive_because)
}

#[test]
fn a_run_beside_a_build_proves_nothing_and_says_why() {
    let (outcome, reasons) = outcome(&busy(0.03, 1.5));
    assert_eq!(outcome, Outcome::Inconclusive);
    assert_eq!(
        reasons,
        [
            "in settle nodes waited for a CPU in 75 % of the time in which they wanted one, because other programs used 1.5 of 2 CPUs (at most 10 % may be)"
        ]
    );
}

#[test]
fn nodes_that_wait_for_each_other_prove_something() {
    // Others take a twentieth of the machine: so much of the waiting is theirs at most.
    for (waits, others) in [(5.0, 0.0), (5.0, 0.1), (0.0, 2.0), (0.001, 2.0)] {
        let story = busy(waits, others);
        assert_eq!(
            outcome(&story),
            (Outcome::Passed, vec![]),
            "{waits} {others}"
        );
    }
    assert_eq!(outcome(&busy(5.0, 0.3)).0, Outcome::Inconclusive);
}

#[test]
fn what_gates_compute_is_the_runs_own() {
    // As much as others may not take.
    let mut s = fork_and_heal().expect(Expectation::SameLedger);
    for node in s.nodes() {
        for second in (1..=90).map(f64::from) {
            let usage = NodeUsage {
                cpu: secs(second * 0.01),
                waited: Some(secs(second * 5.0)),
                gate_cpu: secs(second * 0.05),
                ..NodeUsage::default()
            };
            let node = NodeId(node);
            s.tell(secs(second), What::Usage { node, usage });
        }
    }
    assert_eq!(outcome(&s), (Outcome::Passed, vec![]));
}

#[test]
fn what_is_told_is_the_waiting_of_each_phase() {
    let mut s = fork_and_heal();
    let times = [seconds(20, 0.0), seconds(40, 0.03), seconds(30, 0.0)].concat();
    s.computes(s.nodes(), &times);
    s.others_compute(20.0, 60.0, 1.0);
    let waiting = s.judge().figures.fidelity.waiting;
    let told: Vec<(Option<&str>, String)> = waiting
        .iter()
        .map(|w| {
            let [waited, others] = [w.waited_percent, w.for_others_percent];
            (
                w.within.as_deref(),
                format!("{waited:.0} {others:.0} {:.1}", w.other_cpus),
            )
        })
        .collect();
    let told: Vec<(Option<&str>, &str)> = told.iter().map(|(w, s)| (*w, s.as_str())).collect();
    assert_eq!(
        told,
        [
            (None, "57 38 0.4"),
            (Some("warmup"), "0 0 0.0"),
            (Some("faults"), "75 50 1.0"),
            (Some("settle"), "0 0 0.0")
        ]
    );
}

#[test]
fn only_where_something_is_judged_may_nobody_wait() {
    let warmup = Expectation::Propagation {
        quantile: 50,
        below: secs(10.0),
        phase: Some("warmup".into()),
    };
    // Of the heal at 50 s, the ten seconds after it are judged.
    for (expectation, from, judged) in [
        (warmup.clone(), 5, true),
        (warmup, 45, false),
        (converged_of_heal(10.0), 45, false),
        (converged_of_heal(10.0), 55, true),
        (converged_of_settle(10.0), 55, false),
        (converged_of_settle(10.0), 62, true),
        (Expectation::NodesUp { min: 1 }, 55, false),
        (Expectation::NodesUp { min: 1 }, 85, true),
        (Expectation::StaleRate { max: 1.0 }, 30, true),
    ] {
        let mut s = fork_and_heal().expect(expectation.clone());
        let mut times = seconds(90, 0.0);
        times[from..from + 4].fill((0.01, 1.0));
        s.computes(s.nodes(), &times);
        s.others_compute(from as f64, from as f64 + 4.0, 2.0);
        let proves_nothing = outcome(&s).0 == Outcome::Inconclusive;
        assert_eq!(
            proves_nothing, judged,
            "{expectation:?} and others at {from} s"
        );
    }
}

#[test]
fn a_wait_that_ends_when_the_others_do_was_for_them() {
    let mut s = fork_and_heal().expect(Expectation::SameLedger);
    let mut times = seconds(90, 0.0);
    times[84] = (0.01, 3.0);
    s.computes(s.nodes(), &times);
    s.others_compute(81.0, 84.0, 2.0);
    assert_eq!(outcome(&s).0, Outcome::Inconclusive);
}

#[test]
fn nodes_that_are_meant_to_wait_are_left_out() {
    let limited = |cpu_millis| {
        let mut s = busy(0.03, 1.5);
        s.plan.groups[0].cpu_millis = cpu_millis;
        outcome(&s).0
    };
    assert_eq!(limited(None), Outcome::Inconclusive);
    assert_eq!(limited(Some(100)), Outcome::Passed);

    let slow = |nodes: &[u32]| {
        let mut s = fork_and_heal().expect(Expectation::SameLedger);
        s.computes([0], &seconds(90, 0.03));
        s.computes(1..4, &seconds(90, 0.0));
        s.others_compute(0.0, 90.0, 1.5);
        let fault = s.plan.faults.len() as u32;
        s.plan.faults.push(Fault {
            start: secs(50.0),
            end: None,
            cause: Cause::Fault(FaultKind::Slow {
                nodes: nodes.iter().copied().map(NodeId).collect(),
                cpu_millis: 100,
            }),
            label: "slow".into(),
        });
        s.tell(secs(50.0), What::FaultBegan { fault });
        outcome(&s).0
    };
    assert_eq!(slow(&[1]), Outcome::Inconclusive);
    assert_eq!(slow(&[0]), Outcome::Passed);
}

#[test]
fn of_many_nodes_some_are_measured_each_second() {
    let mut s = fork_and_heal().expect(Expectation::SameLedger);
    let usage = |seconds: f64| NodeUsage {
        cpu: secs(seconds * 0.01),
        waited: Some(secs(seconds * 0.03)),
        ..NodeUsage::default()
    };
    for node in s.nodes() {
        for turn in 0..9 {
            let t = f64::from(turn * 10 + node * 2) + 1.0;
            let node = NodeId(node);
            s.tell(
                secs(t),
                What::Usage {
                    node,
                    usage: usage(t),
                },
            );
        }
    }
    let told = s.judge().figures.fidelity.waiting.swap_remove(3);
    assert_eq!(
        format!("{:.0} {:.1}", told.waited_percent, told.other_cpus),
        "75 0.0"
    );
}

#[test]
fn where_waiting_is_not_told_the_hosts_pressure_decides() {
    let mut s = fork_and_heal().expect(Expectation::SameLedger);
    s.busy_cpu(97.0);
    assert_eq!(outcome(&s).0, Outcome::Inconclusive);
    s.computes(s.nodes(), &seconds(90, 5.0));
    assert_eq!(outcome(&s), (Outcome::Passed, vec![]));
}
