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
