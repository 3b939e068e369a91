//! Nodes live at the end.

use super::told::*;

#[test]
fn all_that_are_meant_to_be() {
    holds(&Story::of(3).verdict(Expectation::NodesUp { min: 3 }));
}

#[test]
fn who_is_missing_is_named() {
    let mut s = Story::of(3);
    s.dies(40.0, 1);
    let v = s.verdict(Expectation::NodesUp { min: 3 });
    fails(&v, "2");
    assert_eq!(v.nodes, ["peers-1"]);
    assert_eq!(
        v.sentence,
        "Only 2 nodes were live at the end, 1 too few; meant to be up but down: peers-1."
    );
}

#[test]
fn why_a_node_is_missing_is_told_in_its_own_words() {
    let mut s = Story::of(4);
    s.dies(40.0, 1);
    s.dies(50.0, 2);
    // Started again, and up by the plan.
    s.unanswered(2, "HTTP 401 Unauthorized");
    s.tell(
        secs(89.0),
        What::LogEnd {
            node: peerlab_link::NodeId(1),
            lines: vec!["no disk".into(), "\u{1b}[2J".into()],
        },
    );
    let v = s.verdict(Expectation::NodesUp { min: 4 });
    assert_eq!(
        v.sentence,
        "Only 2 nodes were live at the end, 2 too few; meant to be up but down: peers-2 (HTTP 401 \
         Unauthorized), peers-1 (its log ends: `no disk` `\\u{1b}[2J`)."
    );
    let warnings = s.judge().warnings.join("\n");
    assert!(
        warnings.contains("peers-2 (HTTP 401 Unauthorized)"),
        "{warnings}"
    );
}

#[test]
fn what_came_before_a_node_went_down_is_not_why() {
    let mut s = Story::of(2);
    s.tell(
        secs(30.0),
        What::Unanswered {
            node: peerlab_link::NodeId(1),
            reason: "busy".into(),
        },
    );
    s.dies(40.0, 1);
    let v = s.verdict(Expectation::NodesUp { min: 2 });
    assert!(v.sentence.ends_with("down: peers-1."), "{}", v.sentence);
}

#[test]
fn a_node_up_against_the_plan_is_not_live() {
    let mut s = Story::of(3);
    s.plan.outages.push(crate::plan::spec::Outage {
        node: peerlab_link::NodeId(2),
        start: secs(30.0),
        end: None,
        how: Down::Kill,
    });
    fails(&s.verdict(Expectation::NodesUp { min: 3 }), "2");
}
