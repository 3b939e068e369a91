//! A run's report, made of its plan and its events. The files that it is written to are the
//! harness' affair.

use crate::error::hint;
use serde::Serialize;

use crate::check::{Judgement, judge};
use crate::error::{Explain, Result};
use crate::event::RunEvent;
use crate::plan::Plan;

/// Names of the files in a run directory.
pub mod files {
    /// The plan that was carried out.
    pub const PLAN: &str = "plan.json";
    /// The folder of archives of images, where somebody put them for a replay.
    pub const IMAGES: &str = "images";
    pub const EVENTS: &str = "events.jsonl";
    /// The events of a network that stayed after its run.
    pub const KEPT_EVENTS: &str = "kept.jsonl";
    /// The experiment that the plan was drawn from.
    pub const TOPOLOGY: &str = "topology.yaml";
    /// The folder of logs of nodes.
    pub const LOGS: &str = "logs";
    /// The words of the process that held a network, and those before.
    pub const NETWORK_LOG: &str = "network.log";
    pub const EARLIER_NETWORK_LOG: &str = "network.log.1";
    /// The report, for programs.
    pub const REPORT_JSON: &str = "report.json";
    /// The verdicts, for CI systems.
    pub const JUNIT_XML: &str = "junit.xml";
    /// The report, for people.
    pub const REPORT_HTML: &str = "report.html";
    /// The folder of the records of earlier tries.
    pub const TRIES: &str = "tries";
    /// Of a set of runs, in the folder above theirs: what they come to together.
    pub const SUMMARY_TXT: &str = "summary.txt";
    pub const SUMMARY_JSON: &str = "summary.json";
    pub const SUMMARY_HTML: &str = "summary.html";
}

/// A run, judged, as `report.json` has it. Instants and lengths of time are whole nanoseconds
/// (`_ns`), the former since `go`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Format of `report.json`; [`Report::SCHEMA`].
    pub schema: u32,
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Report {
    /// The format that this code writes. It grows when a field changes its meaning or goes;
    /// new fields may come without it.
    pub const SCHEMA: u32 = 2;

    pub fn of(plan: &Plan, events: impl Iterator<Item = RunEvent>) -> Report {
        Report {
            schema: Report::SCHEMA,
            judgement: judge(plan, events),
        }
    }

    /// `report.json`.
    ///
    /// # Errors
    /// Never in practice: all of its types can be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self)
            .or_environment(|| "cannot write the report as JSON".to_owned(), hint::BUG)?;
        text.push('\n');
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn report_json_keeps_its_schema() {
        let report = Report {
            schema: Report::SCHEMA,
            judgement: samples::failed(),
        };
        insta::assert_snapshot!(report.to_json().unwrap());
    }
}
