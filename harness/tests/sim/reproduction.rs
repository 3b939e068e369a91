//! The same plan gives the same record, byte for byte: twice, on any number of threads, and in any
//! build (the golden value was written by another one).

use crate::simulation::{Run, plan_of, shipped};

/// SHA-256 of the record of `topologies/quickstart.yaml`. It changes with whatever changes what
/// nodes do, with the plan, and with Peerlab's version: then, and only then, write it anew.
const GOLDEN: &str = include_str!("quickstart.sha256");

#[test]
fn the_record_is_the_golden_one() {
    let run = Run::of(plan_of(&shipped("quickstart"), None), 1);
    assert_eq!(run.trace(), GOLDEN.trim());
}

#[test]
fn threads_change_nothing() {
    let plan = plan_of(&shipped("churn-partition"), None);
    let alone = Run::of(plan.clone(), 1);
    for threads in [2, 3] {
        let together = Run::of(plan.clone(), threads);
        let first = alone
            .events
            .iter()
            .zip(&together.events)
            .find(|(a, b)| a != b);
        assert!(first.is_none(), "{threads} threads: {first:#?}");
        assert_eq!(alone.trace(), together.trace());
        assert_eq!(alone.events, together.events);
    }
}

#[test]
fn another_seed_is_another_record() {
    let trace = |seed| Run::of(plan_of(&shipped("quickstart"), Some(seed)), 1).trace();
    assert_ne!(trace(1), trace(2));
}
