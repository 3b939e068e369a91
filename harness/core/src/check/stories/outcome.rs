//! What verdicts and inconclusive_because come to.

use super::told::*;

#[test]
fn a_healthy_run_passes() {
    let j = fork_and_heal()
        .expect(converged_of_heal(5.0))
        .expect(Expectation::SameLedger)
        .judge();
    assert_eq!(j.outcome, Outcome::Passed, "{:?}", j.inconclusive_because);
}

#[test]
fn one_failure_fails_it() {
    let j = fork_and_heal()
        .expect(Expectation::SameLedger)
        .expect(converged_of_heal(0.1))
        .judge();
    assert_eq!(j.outcome, Outcome::Failed);
}

#[test]
fn a_host_that_cannot_keep_up_proves_nothing_either_way() {
    for reason in 0..4 {
        for within in [0.1, 5.0] {
            let mut s = fork_and_heal().expect(converged_of_heal(within));
            match reason {
                0 => s.late_host(0.05),
                1 => s.busy_cpu(97.0),
                2 => s.overload(1),
                _ => s.fidelity_never_told(),
            }
            let j = s.judge();
            assert_eq!(
                j.outcome,
                Outcome::Inconclusive,
                "reason {reason}, within {within}"
            );
            assert_eq!(
                j.inconclusive_because.len(),
                1,
                "{:?}",
                j.inconclusive_because
            );
        }
    }
}

#[test]
fn a_run_that_was_cut_short_proves_nothing() {
    let mut s = fork_and_heal().expect(Expectation::SameLedger);
    s.interrupted();
    assert_eq!(s.judge().outcome, Outcome::Inconclusive);
    let mut s = fork_and_heal().expect(Expectation::SameLedger);
    s.killed(70.0);
    assert_eq!(s.judge().outcome, Outcome::Inconclusive);
}

#[test]
fn no_expectation_passes_with_a_warning() {
    let j = fork_and_heal().judge();
    assert_eq!(j.outcome, Outcome::Passed);
    assert!(j.warnings[0].contains("no expectation"));
}

#[test]
fn no_events_at_all_prove_nothing() {
    let s = Story::of(3).expect(converged_of_settle(1.0));
    let j = judge(&s.plan, std::iter::empty());
    assert_eq!(j.outcome, Outcome::Inconclusive);
    assert_eq!(j.verdicts[0].status, Status::NotMeasured);
}
