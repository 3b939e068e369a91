//! The same plan gives the same record, byte for byte: twice, on any number of threads, and in any
//! build (the golden value was written by another one).

use crate::simulation::{Run, plan_of, plan_of_text, shipped};

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

/// Links that change while packets wait for them, of nodes that one thread or several carry out.
const CHANGING_LINKS: &str = "name: changing-links
seed: 9
phases: { warmup: 10s, faults: 20s, settle: 20s }
nodes: { peers: { count: 70, hashpower: 1 } }
network: { latency: 20ms jitter 10ms, discovery: { graph: random-regular(degree 6) } }
ledger: { block_interval: 2s, transactions: 5/s }
faults:
  - { at: 10s, for: 8s, shape: { nodes: [peers 0-30], rate: 30 kbit/s } }
  - { at: 14s, for: 8s, shape: { nodes: [peers 20-50], delay: 300ms } }
  - { at: 16s, for: 10s, shape: { nodes: [peers 0-10], rate: 1 Mbit/s, jitter: 200ms } }
expect: [{ same_ledger: { at: end } }]
";

#[test]
fn threads_change_nothing_where_links_change() {
    let plan = plan_of_text(CHANGING_LINKS);
    let alone = Run::of(plan.clone(), 1);
    for threads in [2, 3] {
        assert_eq!(alone.trace(), Run::of(plan.clone(), threads).trace());
    }
}

#[test]
fn another_seed_is_another_record() {
    let trace = |seed| Run::of(plan_of(&shipped("quickstart"), Some(seed)), 1).trace();
    assert_ne!(trace(1), trace(2));
}
