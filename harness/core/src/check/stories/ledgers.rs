//! Equal ledger states at the end.

use super::told::*;
use crate::event::StateDigest;

#[test]
fn all_equal_holds() {
    holds(&fork_and_heal().verdict(Expectation::SameLedger));
}

#[test]
fn a_node_with_another_tip_is_named() {
    let mut s = Story::of(3);
    s.mines(70.0, 1, "c1", "base");
    s.reaches(70.0, "c1", [2]);
    let v = s.verdict(Expectation::SameLedger);
    fails(&v, "1 differ");
    assert_eq!(v.nodes, ["peers-0"]);
    assert!(!v.regardless_of_host);
}

#[test]
fn one_tip_with_two_states_fails_even_on_a_slow_host() {
    let mut s = Story::of(3).expect(Expectation::SameLedger);
    s.ledger(2, Some(StateDigest::Muhash("forged".into())));
    s.late_host(1.0);
    let j = s.judge();
    fails(&j.verdicts[0], "1 contradict");
    assert_eq!(j.verdicts[0].nodes, ["peers-2"]);
    assert_eq!(j.outcome, Outcome::Failed);
}

#[test]
fn a_live_node_that_does_not_tell_its_state_fails() {
    let mut s = Story::of(3);
    s.ledger(1, None);
    let unread = s.verdict(Expectation::SameLedger);
    fails(&unread, "1 unread");
    assert_eq!(unread.nodes, ["peers-1"]);
    s.unanswered(1, "muhash is not a valid hash_type (code -8)");
    assert_eq!(
        s.verdict(Expectation::SameLedger).sentence,
        "peers-1 (muhash is not a valid hash_type (code -8)) did not tell the ledger state at the \
         end, though live."
    );
}

/// Four nodes with one tip, the last two of which tell these digests of another kind.
fn two_kinds(digests: [&str; 2]) -> Story {
    let mut s = Story::of(4);
    for (node, digest) in (2..).zip(digests) {
        s.ledger(node, Some(StateDigest::HashSerialized2(digest.into())));
    }
    s
}

#[test]
fn digests_are_compared_with_those_of_their_kind() {
    holds(&two_kinds(["same", "same"]).verdict(Expectation::SameLedger));
    let v = two_kinds(["same", "other"]).verdict(Expectation::SameLedger);
    fails(&v, "1 contradict");
    assert_eq!(v.nodes.len(), 1);
    assert!(["peers-2", "peers-3"].contains(&v.nodes[0].as_str()));
}

#[test]
fn a_digest_that_nobody_else_tells_compares_with_none() {
    let mut s = Story::of(3);
    s.ledger(2, Some(StateDigest::HashSerialized3("x".into())));
    let v = s.verdict(Expectation::SameLedger);
    has_nothing_to_measure(&v);
    assert_eq!(v.nodes, ["peers-2"]);
}

#[test]
fn a_node_that_died_is_not_asked_but_warned_of() {
    let mut s = Story::of(3).expect(Expectation::SameLedger);
    s.dies(40.0, 1);
    let j = s.judge();
    holds(&j.verdicts[0]);
    assert!(
        j.warnings
            .iter()
            .any(|w| w.contains("stayed down: peers-1")),
        "{:?}",
        j.warnings
    );
    assert_eq!(j.figures.missing_at_end, ["peers-1"]);
}

#[test]
fn one_ledger_alone_is_equal_to_nothing() {
    has_nothing_to_measure(&Story::of(1).verdict(Expectation::SameLedger));
}
