//! Shipped experiments, judged in virtual time.

use peerlab_core::check::Outcome;

use crate::simulation::{Run, plan_of, shipped};

#[test]
fn a_hundred_nodes_live_through_churn_a_partition_and_a_double_spend() {
    let judgement = Run::of(plan_of(&shipped("churn-partition"), None), 2).judged();
    assert_eq!(judgement.outcome, Outcome::Passed, "{judgement:#?}");
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
fn shipped_experiments_give_the_verdicts_that_real_nodes_give() {
    crate::shipped::each_gives_its_verdict("sim");
}
