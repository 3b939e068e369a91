//! Agreement on what nodes say, whatever it is.

use peerlab_link::{Nanos, NodeId};

use super::told::*;
use crate::experiment::Disturbance;
use crate::plan::spec::Group;

fn agree(within: f64) -> Expectation {
    Expectation::Agree {
        within: secs(within),
        of: Disturbance::Settle,
        hold: secs(5.0),
    }
}

/// Four nodes of which the first two follow a chain.
fn story() -> Story {
    let mut s = Story::of(4);
    s.mines(30.0, 0, "a", "base");
    s.reaches(30.0, "a", [1]);
    s
}

fn says(s: &mut Story, t: f64, node: u32, value: &str) {
    let node = NodeId(node);
    let value = value.into();
    s.tell(secs(t), What::Value { node, value });
}

#[test]
fn a_value_agrees_with_the_best_block_of_those_that_have_a_chain() {
    let mut s = story();
    says(&mut s, 30.5, 2, "a");
    says(&mut s, 40.0, 3, "other");
    says(&mut s, 62.0, 3, "a");
    let v = s.verdict(agree(5.0));
    holds(&v);
    assert_eq!(v.measured.as_deref(), Some("2 s"));
    fails(&s.verdict(agree(1.0)), "2 s");
}

#[test]
fn who_says_something_else_is_named() {
    let mut s = story();
    says(&mut s, 30.5, 2, "a");
    says(&mut s, 40.0, 3, "other");
    let v = s.verdict(agree(5.0));
    fails(&v, "never");
    assert_eq!(v.nodes, ["peers-3"]);
}

#[test]
fn who_says_nothing_any_more_agrees_with_nobody() {
    let mut s = story();
    says(&mut s, 30.5, 2, "a");
    says(&mut s, 30.5, 3, "a");
    holds(&s.verdict(agree(5.0)));
    says(&mut s, 55.0, 3, "");
    let v = s.verdict(agree(5.0));
    fails(&v, "never");
    assert_eq!(v.nodes, ["peers-3"]);
}

#[test]
fn who_has_no_chain_is_asked_about_no_block() {
    let mut s = story();
    let program = crate::experiment::Probe::Exec {
        command: vec!["/bin/true".into()],
    };
    s.plan.groups.push(Group {
        probe: program,
        ..s.plan.groups[0].clone()
    });
    for node in [2, 3] {
        s.plan.nodes[node].group = 1;
        says(&mut s, 30.5, node as u32, "a");
    }
    let judgement = s.expect(agree(5.0)).judge();
    assert_eq!(judgement.figures.live_at_end, 4);
    assert_eq!(judgement.figures.settle.unwrap().nodes, 2);
    assert_eq!(
        judgement.figures.propagation[0].p99_ns,
        Some(Nanos(100_000_000))
    );
    assert_eq!(judgement.verdicts[0].status, Status::Held);
}

#[test]
fn values_are_no_blocks() {
    let mut s = story();
    says(&mut s, 30.5, 2, "a");
    says(&mut s, 40.0, 3, "other");
    let judgement = s.expect(agree(5.0)).judge();
    assert_eq!(judgement.figures.forks.stale_blocks, 0);
    assert!(
        judgement
            .warnings
            .iter()
            .all(|w| !w.contains("never described"))
    );
}
