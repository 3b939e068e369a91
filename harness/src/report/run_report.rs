//! A run's report: made of its plan and its events, or made again from its run directory, and
//! written as files beside them.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{html, junit};
use crate::check::{Judgement, judge};
use crate::engine::sim;
use crate::error::{Explain, Result};
use crate::event::{EventReader, RunEvent};
use crate::plan::Plan;

/// Names of the files in a run directory.
pub mod files {
    /// The plan that was carried out.
    pub const PLAN: &str = "plan.json";
    /// What happened.
    pub const EVENTS: &str = crate::event::log::FILE_NAME;
    /// The report, for programs.
    pub const REPORT_JSON: &str = "report.json";
    /// The verdicts, for CI systems.
    pub const JUNIT_XML: &str = "junit.xml";
    /// The report, for people.
    pub const REPORT_HTML: &str = "report.html";
}

/// A run, judged, as `report.json` has it. Instants and lengths of time are whole nanoseconds
/// (`_ns`), the former since `go`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Format of `report.json`; [`Report::SCHEMA`].
    pub schema: u32,
    /// The judgement.
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Report {
    /// The format that this code writes. It grows when a field changes its meaning or goes;
    /// new fields may come without it.
    pub const SCHEMA: u32 = 1;

    /// Judges a run.
    pub fn of(plan: &Plan, events: impl Iterator<Item = RunEvent>) -> Report {
        Report {
            schema: Report::SCHEMA,
            judgement: judge(plan, events),
        }
    }

    /// Judges a run from its directory. A run that was killed is judged as far as it came.
    ///
    /// # Errors
    /// As bad input, when the plan or the events cannot be read.
    pub fn of_run_directory(dir: &Path) -> Result<Report> {
        let plan = Plan::load(&dir.join(files::PLAN))?;
        let path = dir.join(files::EVENTS);
        let what = || format!("cannot judge the run in {}", dir.display());
        let mut reader = EventReader::open(&path).or_input(what)?;
        let mut failed = None;
        let events = std::iter::from_fn(|| match reader.next()? {
            Ok(event) => Some(event),
            Err(e) => {
                failed = Some(e);
                None
            }
        });
        let mut report = Report::of(&plan, events);
        if let Some(e) = failed {
            return Err(e).or_input(what);
        }
        let run = &mut report.judgement.run;
        run.trace = (run.engine == sim::NAME).then(|| reader.sha256());
        if let Some(line) = reader.torn() {
            report.judgement.warnings.push(format!(
                "line {line} of {} was cut off while it was written, and left out",
                files::EVENTS
            ));
        }
        Ok(report)
    }

    /// Writes `report.json`, `junit.xml` and `report.html` into the run directory.
    ///
    /// # Errors
    /// As an environment error, when a file cannot be written.
    pub fn write_to(&self, dir: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).or_environment(|| format!("cannot write {}", path.display()))
        };
        write(files::REPORT_JSON, self.to_json()?)?;
        write(files::JUNIT_XML, junit::xml(&self.judgement)?)?;
        write(files::REPORT_HTML, html::page(&self.judgement))
    }

    /// `report.json`.
    ///
    /// # Errors
    /// Never in practice: all of its types can be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self)
            .or_environment(|| "cannot write the report as JSON".to_owned())?;
        text.push('\n');
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;
    use crate::check::Outcome;
    use crate::check::story::{Story, converged_of_settle};
    use crate::error::Kind;
    use crate::event::EventLog;
    use crate::report::samples;

    fn run_directory(story: &Story) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let plan = serde_json::to_vec(&story.plan).unwrap();
        fs::write(dir.path().join(files::PLAN), plan).unwrap();
        let mut log = EventLog::create(&dir.path().join(files::EVENTS)).unwrap();
        for event in story.events() {
            log.write(&event).unwrap();
        }
        log.finish().unwrap();
        dir
    }

    #[test]
    fn report_json_keeps_its_schema() {
        let report = Report {
            schema: Report::SCHEMA,
            judgement: samples::failed(),
        };
        insta::assert_snapshot!(report.to_json().unwrap());
    }

    #[test]
    fn a_run_directory_gives_the_same_report_again() {
        let story = Story::of(3).expect(converged_of_settle(5.0));
        let dir = run_directory(&story);
        let report = Report::of_run_directory(dir.path()).unwrap();
        let mut expected = Report::of(&story.plan, story.events().into_iter());
        // The story says that a simulator ran: its record is named by its hash.
        let record = fs::read(dir.path().join(files::EVENTS)).unwrap();
        let hash = sha2::Sha256::digest(record);
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        expected.judgement.run.trace = Some(hash);
        assert_eq!(report, expected);
        report.write_to(dir.path()).unwrap();
        let json = fs::read_to_string(dir.path().join(files::REPORT_JSON)).unwrap();
        assert_eq!(json, report.to_json().unwrap());
        for name in [files::JUNIT_XML, files::REPORT_HTML] {
            assert!(dir.path().join(name).exists());
        }
    }

    #[test]
    fn a_killed_run_is_judged_as_far_as_it_came() {
        let story = Story::of(3).expect(converged_of_settle(5.0));
        let dir = run_directory(&story);
        let path = dir.path().join(files::EVENTS);
        let events = fs::read(&path).unwrap();
        fs::write(&path, &events[..events.len() - 20]).unwrap();
        let judgement = Report::of_run_directory(dir.path()).unwrap().judgement;
        assert_eq!(judgement.outcome, Outcome::Inconclusive);
        let told = judgement.warnings.iter().any(|w| w.contains("was cut off"));
        assert!(told, "{:?}", judgement.warnings);
    }

    #[test]
    fn what_is_no_run_directory_is_bad_input() {
        let dir = tempfile::tempdir().unwrap();
        let error = Report::of_run_directory(dir.path()).unwrap_err();
        assert_eq!(error.kind, Kind::Input);
        assert!(error.to_string().contains("plan.json"), "{error}");

        let dir = run_directory(&Story::of(2));
        fs::write(dir.path().join(files::EVENTS), "{}\n{}\n").unwrap();
        let error = Report::of_run_directory(dir.path()).unwrap_err();
        assert!(
            error.render().contains("events.jsonl, line 1"),
            "{}",
            error.render()
        );
    }
}
