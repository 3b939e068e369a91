//! Bytes per second of nodes.

use super::told::*;

fn below(of: NodeQuantile, below: u64, phase: Option<&str>) -> Expectation {
    Expectation::Bandwidth {
        of,
        below,
        phase: phase.map(str::to_owned),
    }
}

#[test]
fn both_directions_count() {
    let s = Story::of(5);
    let v = s.verdict(below(NodeQuantile::Mean, 20_001, None));
    holds(&v);
    assert_eq!(v.measured.as_deref(), Some("20 kB/s"));
}

#[test]
fn who_is_over_the_budget_is_named() {
    let mut s = Story::of(5);
    s.bytes_per_s(3, 60_000);
    let v = s.verdict(below(NodeQuantile::Max, 100_000, Some("warmup")));
    fails(&v, "120 kB/s");
    assert_eq!(v.missed_by.as_deref(), Some("20 kB/s"));
    assert_eq!(v.nodes, ["peers-3"]);
    holds(&s.verdict(below(NodeQuantile::P50, 100_000, Some("settle"))));
}

#[test]
fn without_counters_it_fails() {
    let mut s = Story::of(3);
    s.no_traffic_after(0.0);
    has_nothing_to_measure(&s.verdict(below(NodeQuantile::Mean, 1 << 40, None)));
}

#[test]
fn counters_of_a_small_part_of_a_phase_do_not_stand_for_it() {
    let mut s = Story::of(3);
    s.no_traffic_after(65.0);
    has_nothing_to_measure(&s.verdict(below(NodeQuantile::Mean, 1 << 40, Some("settle"))));
    holds(&s.verdict(below(NodeQuantile::Mean, 1 << 40, Some("faults"))));
}

#[test]
fn an_unknown_phase_is_no_success() {
    has_nothing_to_measure(&Story::of(3).verdict(below(NodeQuantile::Mean, 1 << 40, Some("moon"))));
}
