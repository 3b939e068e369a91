//! Every shipped experiment of a size for tests gives the verdict that it gives with real nodes.

use peerlab::check::{Outcome, Status};

use crate::simulation::{Run, plan_of, shipped};

fn run(name: &str) -> Run {
    Run::of(plan_of(&shipped(name), None), 2)
}

fn failed(name: &str) -> Vec<String> {
    let judgement = run(name).judged();
    assert_eq!(judgement.outcome, Outcome::Failed, "{name}");
    let verdicts = judgement.verdicts.iter();
    verdicts
        .filter(|verdict| verdict.status == Status::Failed)
        .map(|verdict| verdict.check.to_owned())
        .collect()
}

#[test]
fn what_must_hold_holds() {
    for name in ["quickstart", "p2p-graph", "churn-partition"] {
        let judgement = run(name).judged();
        assert_eq!(judgement.outcome, Outcome::Passed, "{name}: {judgement:#?}");
    }
}

#[test]
fn other_seeds_hold_as_well() {
    for seed in 100..106 {
        let plan = plan_of(&shipped("quickstart"), Some(seed));
        let judgement = Run::of(plan, 1).judged();
        assert_eq!(
            judgement.outcome,
            Outcome::Passed,
            "seed {seed}: {judgement:#?}"
        );
    }
}

#[test]
fn what_must_fail_fails_for_its_reason() {
    assert_eq!(failed("negative/bandwidth-budget"), ["bandwidth"]);
    assert_eq!(
        failed("negative/partition-never-heals"),
        ["converged", "same_ledger"]
    );
    assert!(failed("client-server").contains(&"same_ledger".to_owned()));
}
