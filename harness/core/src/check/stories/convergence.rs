//! Agreement after heals and at settle.

use super::told::*;

#[test]
fn partition_heals_and_nodes_agree() {
    let s = fork_and_heal();
    let v = s.verdict(converged_of_heal(5.0));
    holds(&v);
    assert_eq!(v.measured.as_deref(), Some("500 ms"));
    assert_eq!(
        v.sentence,
        "All 6 live nodes agreed 500 ms after the partition healed."
    );
}

#[test]
fn agreement_that_comes_too_late_fails_by_how_much() {
    let s = fork_and_heal();
    let v = s.verdict(converged_of_heal(0.4));
    fails(&v, "500 ms");
    assert_eq!(v.missed_by.as_deref(), Some("100 ms"));
    assert_eq!(v.nodes, ["peers-5"]);
    assert_eq!(v.at_ns, Some(secs(50.4)));
}

#[test]
fn one_node_never_agrees_fails_and_is_named() {
    let mut s = Story::of(6);
    s.partition(30.0, Some(50.0), &[&[0, 1, 2], &[3, 4, 5]]);
    s.mines(32.0, 0, "a1", "base");
    s.reaches(32.0, "a1", [1, 2]);
    s.mines(33.0, 3, "b1", "base");
    s.mines(36.0, 0, "a2", "a1");
    s.reaches(36.0, "a2", [1, 2]);
    s.reaches(50.0, "a2", [4, 5]);
    let v = s.verdict(converged_of_heal(5.0));
    fails(&v, "never");
    assert_eq!(v.nodes, ["peers-3"]);
    assert!(
        v.sentence.starts_with("peers-3 disagreed"),
        "{}",
        v.sentence
    );
    let settle = s.verdict(converged_of_settle(5.0));
    fails(&settle, "never");
    assert_eq!(settle.nodes, ["peers-3"]);
}

#[test]
fn a_node_far_behind_on_the_same_chain_does_not_agree() {
    let mut s = Story::of(3);
    s.mines(62.0, 0, "a1", "base");
    s.reaches(62.0, "a1", [1]);
    s.mines(65.0, 0, "a2", "a1");
    s.reaches(65.0, "a2", [1]);
    let v = s.verdict(converged_of_settle(1.0));
    // They agreed at first, but for less than the 10 s that agreement must last.
    fails(&v, "never");
    assert_eq!(v.nodes, ["peers-2"]);
    assert!(v.sentence.contains("lasted 5 s"), "{}", v.sentence);
}

#[test]
fn one_block_behind_is_within_the_lag() {
    let mut s = Story::of(3);
    s.mines(61.0, 0, "a1", "base");
    holds(&s.verdict(converged_of_settle(0.001)));
}

#[test]
fn agreement_must_last() {
    let mut s = fork_and_heal();
    // Two seconds after they agreed, a fork again, until 55 s.
    s.mines(52.5, 0, "d1", "a3");
    s.mines(52.5, 5, "e1", "a3");
    s.mines(53.0, 0, "d2", "d1");
    s.reaches(54.5, "d2", [1, 2, 3, 4, 5]);
    let v = s.verdict(converged_of_heal(20.0));
    holds(&v);
    assert_eq!(v.measured.as_deref(), Some("5 s"));
    fails(&s.verdict(converged_of_heal(2.0)), "5 s");
}

#[test]
fn agreement_at_the_very_end_has_not_lasted() {
    let mut s = Story::of(2);
    s.mines(61.0, 0, "a1", "base");
    s.mines(61.0, 1, "b1", "base");
    s.mines(84.0, 0, "a2", "a1");
    s.takes(85.0, 1, "a2");
    let v = s.verdict(converged_of_settle(29.0));
    fails(&v, "never");
    assert!(v.sentence.contains("lasted 5.2 s"), "{}", v.sentence);
}

#[test]
fn every_partition_that_heals_is_judged() {
    let mut s = fork_and_heal();
    s.partition(52.0, Some(58.0), &[&[0, 1, 2], &[3, 4, 5]]);
    s.mines(53.0, 0, "d1", "a3");
    s.reaches(53.0, "d1", [1, 2]);
    s.mines(54.0, 3, "e1", "a3");
    s.mines(57.0, 0, "d2", "d1");
    s.reaches(57.0, "d2", [1, 2]);
    s.reaches(65.0, "d2", [3, 4, 5]);
    let v = s.verdict(converged_of_heal(5.0));
    fails(&v, "15.3 s");
    assert_eq!(v.at_ns, Some(secs(55.0)), "{v:#?}");
}

#[test]
fn nothing_healed_is_no_success() {
    let v = Story::of(3).verdict(converged_of_heal(5.0));
    has_nothing_to_measure(&v);
    assert!(v.regardless_of_host);
    let mut s = Story::of(4);
    s.partition_planned(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
    let v = s.verdict(converged_of_heal(5.0));
    has_nothing_to_measure(&v);
    assert!(!v.regardless_of_host);
}

#[test]
fn a_partition_that_never_heals_fails_at_settle() {
    let mut s = Story::of(4);
    s.partition(30.0, None, &[&[0, 1], &[2, 3]]);
    s.mines(32.0, 0, "a1", "base");
    s.reaches(32.0, "a1", [1]);
    s.mines(33.0, 2, "b1", "base");
    s.reaches(33.0, "b1", [3]);
    let v = s.verdict(converged_of_settle(10.0));
    fails(&v, "never");
    assert_eq!(v.nodes.len(), 2);
    has_nothing_to_measure(&s.verdict(converged_of_heal(10.0)));
}

#[test]
fn a_run_that_never_settles_is_no_success() {
    let mut s = Story::of(3);
    s.killed(55.0);
    has_nothing_to_measure(&s.verdict(converged_of_settle(5.0)));
}

#[test]
fn a_node_alone_agrees_with_nobody() {
    let mut s = Story::of(2);
    s.dies(40.0, 1);
    has_nothing_to_measure(&s.verdict(converged_of_settle(5.0)));
}

#[test]
fn a_heal_is_not_blamed_for_who_returns_later() {
    let mut s = fork_and_heal();
    s.outage(45.0, 55.0, 1);
    s.takes(54.9, 0, "a3");
    // Back with the tip of before the outage, it catches up ten seconds later.
    s.mines(56.0, 0, "d1", "a3");
    s.reaches(56.0, "d1", [2, 3, 4, 5]);
    s.mines(57.0, 0, "d2", "d1");
    s.reaches(57.0, "d2", [2, 3, 4, 5]);
    s.takes(66.0, 1, "d2");
    let heal = s.verdict(converged_of_heal(2.0));
    holds(&heal);
    // The settle phase asks everybody.
    let settle = s.verdict(converged_of_settle(5.0));
    fails(&settle, "6 s");
    assert_eq!(settle.nodes, ["peers-1"]);
}

#[test]
fn a_node_that_comes_up_and_tells_no_tip_does_not_agree() {
    let mut s = Story::of(3);
    s.outage(40.0, 59.0, 2);
    s.goes_down(61.0, 2, Some(Down::Freeze));
    s.tell(
        secs(62.0),
        What::NodeUp {
            node: peerlab_link::NodeId(2),
        },
    );
    let v = s.verdict(converged_of_settle(1.0));
    fails(&v, "never");
    assert_eq!(v.nodes, ["peers-2"]);
}

#[test]
fn where_no_planned_block_came_there_was_nothing_to_agree_on() {
    let mut s = Story::of(3);
    s.means_to_mine(30.0, 0);
    has_nothing_to_measure(&s.verdict(converged_of_settle(5.0)));
    has_nothing_to_measure(&s.verdict(Expectation::SameLedger));
    s.spreads(30.0, 0, "a1", "base");
    holds(&s.verdict(converged_of_settle(5.0)));
}
