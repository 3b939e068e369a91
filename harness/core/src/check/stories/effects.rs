//! Faults that had no effect, and nodes that kept what they were to lose.

use peerlab_link::NodeId;
use peerlab_link::proto::{Action, ProcessOp, Seen};

use super::told::*;
use crate::experiment::FaultKind;
use crate::plan::spec::{Cause, Fault};

/// Three nodes with two blocks, `c2` last; node 2 is to be replaced from 30 s to 40 s. The lines are
/// its kill, wipe and start.
fn replacement() -> Story {
    let mut s = Story::of(3).expect(converged_of_settle(5.0));
    s.spreads(5.0, 0, "c1", "base");
    s.spreads(15.0, 1, "c2", "c1");
    let nodes = vec![NodeId(2)];
    let how = Down::Replace;
    s.plan.faults.push(Fault {
        start: secs(30.0),
        end: Some(secs(40.0)),
        cause: Cause::Fault(FaultKind::Down { nodes, how }),
        label: "replace of peers-2".into(),
    });
    s.goes_down(30.0, 2, Some(how));
    for (t, op) in [
        (30.0, ProcessOp::Kill),
        (40.0, ProcessOp::Wipe),
        (40.0, ProcessOp::Start),
    ] {
        let node = NodeId(2);
        s.orders(t, Action::Process { node, op });
    }
    s
}

/// The same, all of it done, but for what `told` says.
fn told(told: impl Fn(u32) -> Option<Result<Seen, &'static str>>) -> Story {
    let mut s = replacement();
    for line in 0..3 {
        if let Some(result) = told(line) {
            s.effect([30.0, 40.0, 40.1][line as usize], line, result);
        }
    }
    s.comes_up(40.2, 2, "base");
    s.takes(41.0, 2, "c2");
    s
}

fn done(_line: u32) -> Option<Result<Seen, &'static str>> {
    Some(Ok(Seen::NotRunning))
}

fn reasons(s: &Story) -> Vec<String> {
    let j = s.judge();
    let inconclusive = j.outcome == Outcome::Inconclusive;
    assert_eq!(inconclusive, !j.inconclusive_because.is_empty());
    j.inconclusive_because
}

#[test]
fn a_fault_that_took_effect_is_no_reason() {
    assert_eq!(reasons(&told(done)), [""; 0]);
}

#[test]
fn a_fault_that_failed_proves_nothing_and_is_named_with_node_and_reason() {
    let s = told(|line| match line {
        1 => Some(Err("cannot remove /data/blocks: Permission denied")),
        line => done(line),
    });
    let expected = "the wipe of peers-2 at 40 s (replace of peers-2) had no effect: cannot remove \
                    /data/blocks: Permission denied";
    assert_eq!(reasons(&s), [expected]);
    // Nor does a failure.
    let failing = s.expect(Expectation::ReorgDepth {
        min: Some(9),
        max: None,
    });
    assert_eq!(failing.judge().outcome, Outcome::Inconclusive);
}

#[test]
fn a_fault_of_which_nothing_was_heard_proves_nothing() {
    let silent = |line| if line == 0 { None } else { done(line) };
    let expected =
        "the kill of peers-2 at 30 s (replace of peers-2) had no effect: nothing was heard of it";
    assert_eq!(reasons(&told(silent)), [expected]);
    // Unless the run ended soon after.
    let mut s = told(silent);
    s.plan.fault_schedule[0].at = secs(80.0);
    assert_eq!(reasons(&s), [""; 0]);
    // Records of before say nothing of it.
    let mut s = told(|_| None);
    s.format(2);
    assert_eq!(reasons(&s), [""; 0]);
}

#[test]
fn of_many_the_first_are_named() {
    let mut s = Story::of(2);
    for second in 0..10 {
        let (node, op) = (NodeId(1), ProcessOp::Kill);
        let line = s.orders(f64::from(second), Action::Process { node, op });
        s.effect(f64::from(second), line, Err("its gate is gone"));
    }
    let reasons = reasons(&s);
    assert_eq!(reasons.len(), 4);
    let first = "the kill of peers-1 at 0 s had no effect: its gate is gone";
    assert_eq!(reasons[0], first);
    let others = "7 other orders of the fault schedule had no effect";
    assert_eq!(reasons[3], others);
}

/// The replaced node answers with this block when so many bytes had come.
fn answers(tip: &str, received: u64) -> Vec<String> {
    let mut s = replacement();
    for line in 0..3 {
        s.effect(40.0, line, Ok(Seen::NotRunning));
    }
    s.comes_up(40.2, 2, tip);
    let node = NodeId(2);
    s.tell(secs(40.2), What::Replaced { node, received });
    s.takes(41.0, 2, "c2");
    reasons(&s)
}

#[test]
fn a_replaced_node_that_has_more_than_it_received_kept_its_disk() {
    // Two blocks of 250 B.
    let expected = "the replacement of peers-2 at 40.2 s (replace of peers-2) had no effect: its \
                    first answer was a chain to height 102 with 500 B of blocks, and it had received \
                    249 B: it kept its disk";
    assert_eq!(answers("c2", 249), [expected]);
    assert_eq!(
        answers("c2", 250),
        [""; 0],
        "it may have come without witnesses"
    );
    assert_eq!(answers("c1", 124).len(), 1);
    assert_eq!(answers("base", 0), [""; 0], "what all nodes start from");
}

#[test]
fn a_partition_that_no_packet_ran_into_is_told() {
    let warned = |after| {
        let mut s = fork_and_heal().expect(Expectation::SameLedger);
        for (t, cut) in [(30.0, 7), (50.0, after)] {
            let (id, one_way) = (0, false);
            let groups = vec![vec![NodeId(0)]];
            let change = match t {
                30.0 => peerlab_link::Change::Partition {
                    id,
                    groups,
                    one_way,
                },
                _ => peerlab_link::Change::Heal { id },
            };
            let line = s.orders(t, Action::Link(change));
            s.effect(t, line, Ok(Seen::Linked { cut }));
        }
        s.judge().warnings
    };
    assert_eq!(warned(8), [""; 0]);
    assert_eq!(warned(7), ["no packet was dropped by the partition 0"]);
}
