//! `junit.xml`: one test case an expectation, and one for the host, so that a CI system shows
//! what failed by name. An inconclusive run has an *error* there, not a failure.

use crate::error::hint;
use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use crate::check::{Judgement, Status, Verdict};
use crate::error::{Explain, Result};

/// The XML text.
///
/// # Errors
/// When the text cannot be written, for instance because a name holds a control character.
pub fn xml(judgement: &Judgement) -> Result<String> {
    let mut suite = TestSuite::new(judgement.run.name.clone());
    suite.set_time(judgement.run.observed_ns.into());
    suite.add_property(("seed", judgement.run.seed.to_string().as_str()));
    suite.add_property(("engine", judgement.run.engine.as_str()));
    suite.add_property(("nodes", judgement.run.nodes.to_string().as_str()));
    suite.add_test_case(host(judgement));
    suite.add_test_cases(judgement.verdicts.iter().map(case));
    let mut report = Junit::new("peerlab");
    report.add_test_suite(suite);
    report.to_string().or_environment(
        || "cannot write the verdicts as JUnit XML".to_owned(),
        hint::BUG,
    )
}

fn case(verdict: &Verdict) -> TestCase {
    let failure = |how| non_success(NonSuccessKind::Failure, how, verdict.sentence.clone());
    let status = match verdict.status {
        Status::Held => TestCaseStatus::success(),
        Status::Failed => failure("failed"),
        Status::NotMeasured => failure("not measured"),
    };
    // With its bound, since a file may hold several of one kind against the same time.
    let name = format!("{}: {}", verdict.expectation, verdict.bound);
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

/// Whether the run can prove anything.
fn host(judgement: &Judgement) -> TestCase {
    let status = if judgement.inconclusive_because.is_empty() {
        TestCaseStatus::success()
    } else {
        let reasons = judgement.inconclusive_because.join("; ");
        non_success(NonSuccessKind::Error, "inconclusive", reasons)
    };
    let mut case = TestCase::new("the host kept up and the run came to its end", status);
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
}
