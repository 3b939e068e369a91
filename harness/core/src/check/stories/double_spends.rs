//! Conflicting transactions across a partition.

use super::told::*;

const ONE: Expectation = Expectation::DoubleSpend { confirmed: 1 };

#[test]
fn exactly_one_confirms() {
    let s = double_spend_story();
    holds(&s.verdict(ONE));
    let told = s.judge().figures.double_spends.remove(0);
    assert_eq!(told.sides[0].confirmed_height, Some(101));
    assert_eq!(told.sides[1].confirmed_height, None);
    assert!(told.sides[1].undone && !told.sides[0].undone);
}

#[test]
fn none_confirmed_fails() {
    let mut s = Story::of(4);
    s.partition(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
    s.double_spend(31.0, &[(0, "left"), (2, "right")]);
    fails(&s.verdict(ONE), "0");
}

#[test]
fn both_confirmed_fails_even_on_a_slow_host() {
    let mut s = double_spend_story().expect(ONE);
    s.mines_with(55.0, 0, "a3", "a2", &["tx-right"]);
    s.reaches(55.0, "a3", [1, 2, 3]);
    s.late_host(1.0);
    let j = s.judge();
    fails(&j.verdicts[0], "2");
    assert_eq!(j.outcome, Outcome::Failed);
}

#[test]
fn without_a_partition_between_them_it_did_not_take_place() {
    let mut s = Story::of(4);
    s.partition(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
    s.double_spend(31.0, &[(0, "left"), (1, "right")]);
    has_nothing_to_measure(&s.verdict(ONE));
    let mut s = Story::of(4);
    s.partition(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
    s.double_spend(55.0, &[(0, "left"), (2, "right")]);
    has_nothing_to_measure(&s.verdict(ONE));
}

#[test]
fn half_of_it_is_none() {
    let mut s = Story::of(4);
    s.partition(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
    s.double_spend(31.0, &[(0, "left")]);
    has_nothing_to_measure(&s.verdict(ONE));
}

#[test]
fn a_refused_half_is_none() {
    let mut s = Story::of(4);
    s.partition(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
    let fault = s.double_spend(31.0, &[(0, "left")]);
    let what = What::Transaction {
        node: peerlab_link::NodeId(2),
        txid: "right".into(),
        double_spend: Some(fault),
        refused: Some("txn-mempool-conflict".into()),
    };
    s.tell(secs(31.0), what);
    let v = s.verdict(ONE);
    has_nothing_to_measure(&v);
    assert!(
        v.sentence.contains("txn-mempool-conflict"),
        "{}",
        v.sentence
    );
}

#[test]
fn where_the_end_is_disputed_nothing_is_final() {
    let mut s = double_spend_story();
    s.mines(80.0, 3, "z1", "b1");
    has_nothing_to_measure(&s.verdict(ONE));
}

#[test]
fn a_plan_without_one_fails() {
    let v = Story::of(3).verdict(ONE);
    has_nothing_to_measure(&v);
    assert!(v.regardless_of_host);
}
