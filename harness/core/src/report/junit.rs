//! `junit.xml`: one test case an expectation, and one for the host, so that a CI system shows
//! what failed by name; what else a reader should know is the suite's output. An inconclusive run has an *error* there, not a failure.
//!
//! A set of runs has a suite for each run, with the same cases: one case a run would hide which
//! expectation failed. CI systems tell cases apart by class and name, whatever suite they are in, and
//! keep a history of each; so the run stands in the case's name.

use crate::error::hint;
use quick_junit::{
    NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use crate::check::{EarlierTry, Judgement, RunFacts, RunSet, Status, Verdict};
use crate::error::{Explain, Result};
use crate::report::sentences::{block_sums, earlier_try};

/// The XML text of a run.
///
/// # Errors
/// When the text cannot be written, for instance because a name holds a control character.
pub fn xml(judgement: &Judgement) -> Result<String> {
    let told = std::iter::once(block_sums(judgement)).chain(judgement.warnings.iter().cloned());
    let mut suite = suite(judgement.run.name.clone(), &judgement.run);
    suite.set_system_out(told.collect::<Vec<String>>().join("\n"));
    let (because, tries) = (&judgement.inconclusive_because, &judgement.earlier_tries);
    suite.add_test_case(host("", because, tries));
    suite.add_test_cases(judgement.verdicts.iter().map(|verdict| case("", verdict)));
    written(vec![suite])
}

/// The XML text of a set of runs.
///
/// # Errors
/// As [`xml`].
pub fn set_xml(set: &RunSet) -> Result<String> {
    let mut suites = vec![whole_set(set)];
    suites.extend(set.runs.iter().map(|run| {
        let of_run = format!("{}: ", run.folder);
        let mut suite = suite(format!("{}, {}", set.name, run.folder), &run.run);
        suite.set_system_out(run.warnings.join("\n"));
        let (because, tries) = (&run.inconclusive_because, &run.earlier_tries);
        suite.add_test_case(host(&of_run, because, tries));
        suite.add_test_cases(run.verdicts.iter().map(|verdict| case(&of_run, verdict)));
        suite
    }));
    written(suites)
}

/// Whether all runs were made.
fn whole_set(set: &RunSet) -> TestSuite {
    let (made, planned) = (set.runs.len(), set.planned);
    let status = if made < planned {
        let message = format!("{made} of {planned} runs were made");
        non_success(NonSuccessKind::Error, "inconclusive", message)
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new("all runs were made", status);
    case.set_classname("run_set");
    let mut suite = TestSuite::new(set.name.clone());
    suite.add_test_case(case);
    suite
}

fn suite(name: String, run: &RunFacts) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.set_time(run.observed_ns.into());
    suite.add_property(("seed", run.seed.to_string().as_str()));
    suite.add_property(("engine", run.engine.as_str()));
    suite.add_property(("nodes", run.nodes.to_string().as_str()));
    suite
}

fn written(suites: Vec<TestSuite>) -> Result<String> {
    let mut report = Junit::new("peerlab");
    report.add_test_suites(suites);
    report.to_string().or_environment(
        || "cannot write the verdicts as JUnit XML".to_owned(),
        hint::BUG,
    )
}

/// An expectation of a run; `of_run` stands before its name.
fn case(of_run: &str, verdict: &Verdict) -> TestCase {
    let failure = |how| non_success(NonSuccessKind::Failure, how, verdict.sentence.clone());
    let status = match verdict.status {
        Status::Held => TestCaseStatus::success(),
        Status::Failed => failure("failed"),
        Status::NotMeasured => failure("not measured"),
    };
    // With its bound, since a file may hold several of one kind against the same time.
    let name = format!("{of_run}{}: {}", verdict.expectation, verdict.bound);
    let mut case = TestCase::new(name, status);
    case.set_classname(verdict.check);
    case.set_system_out(verdict.sentence.clone());
    case
}

fn non_success(kind: NonSuccessKind, how: &str, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(how);
    status.set_message(message);
    status
}

/// Whether the run can prove anything. Earlier tries stand here as other tools write them: as a flaky
/// case where this one can, as reruns where it cannot.
fn host(of_run: &str, inconclusive_because: &[String], tries: &[EarlierTry]) -> TestCase {
    let mut status = if inconclusive_because.is_empty() {
        TestCaseStatus::success()
    } else {
        let reasons = inconclusive_because.join("; ");
        non_success(NonSuccessKind::Error, "inconclusive", reasons)
    };
    for earlier in tries {
        let mut rerun = TestRerun::new(NonSuccessKind::Error);
        rerun.set_type("inconclusive");
        rerun.set_message(earlier_try(earlier));
        status.add_rerun(rerun);
    }
    let mut case = TestCase::new(
        format!("{of_run}the host kept up and the run came to its end"),
        status,
    );
    case.set_classname("fidelity");
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn each_expectation_is_a_test_case() {
        insta::assert_snapshot!(xml(&samples::failed()).unwrap());
    }

    #[test]
    fn an_inconclusive_run_is_an_error() {
        let text = xml(&samples::inconclusive()).unwrap();
        assert!(text.contains(r#"errors="1""#), "{text}");
        assert!(
            text.contains(r#"<error message="the host delivered "#),
            "{text}"
        );
    }

    #[test]
    fn earlier_tries_are_named_whatever_the_last_one_came_to() {
        let mut run = samples::tried_again();
        insta::assert_snapshot!(xml(&run).unwrap());
        run.inconclusive_because = vec!["the host was busy".into()];
        let text = xml(&run).unwrap();
        assert_eq!(text.matches("<rerunError ").count(), 2, "{text}");
        assert!(!text.contains("<flakyError"), "{text}");
    }

    #[test]
    fn a_set_has_a_case_for_each_run_and_expectation() {
        let text = set_xml(&samples::eight_seeds()).unwrap();
        assert_eq!(text.matches("<testsuite ").count(), 1 + 8);
        assert!(
            text.contains(r#"name="seed-9: agreement after each heal: "#),
            "{text}"
        );
        let failed = samples::failed()
            .verdicts
            .iter()
            .filter(|v| v.status != Status::Held)
            .count();
        assert!(
            text.contains(&format!(r#"failures="{failed}" errors="1""#)),
            "{text}"
        );
        let mut names: Vec<&str> = text.split("<testcase ").skip(1).collect();
        names
            .iter_mut()
            .for_each(|case| *case = case.split(" time=").next().unwrap());
        let cases = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), cases, "{text}");
    }

    #[test]
    fn runs_that_were_not_made_are_an_error() {
        let text = set_xml(&samples::three_runs()).unwrap();
        assert!(
            text.contains(r#"message="3 of 4 runs were made""#),
            "{text}"
        );
    }
}
