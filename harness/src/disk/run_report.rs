//! A run's report, made again from its directory, and written as files into it.

use std::collections::BTreeMap;
use std::path::Path;

use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::event::{FORMAT_BY_HAND, RunEvent, What};
use peerlab_core::plan::{Plan, completed};
use peerlab_core::report::{Report, files, html, junit};
use peerlab_sim::simulator;

use super::tries::earlier_tries;
use super::{EventReader, load_plan, write};

/// Lines of a record by which it has told what it runs on.
const HEAD_LINES: usize = 2;

/// Judges a run from its directory, and names its earlier tries. A run that was killed is judged as far
/// as it came.
///
/// # Errors
/// As bad input, when the plan or the events cannot be read.
pub fn judge_run_directory(dir: &Path) -> Result<Report> {
    let mut report = judge_record(dir)?;
    report.judgement.earlier_tries =
        earlier_tries(dir, |dir| judge_record(dir).map(|report| report.judgement));
    Ok(report)
}

fn judge_record(dir: &Path) -> Result<Report> {
    let plan = whole_plan(dir)?;
    let path = dir.join(files::EVENTS);
    let what = || format!("cannot judge the run in {}", dir.display());
    let mut reader = EventReader::open(&path).or_input(what)?;
    let mut failed: Option<Error> = None;
    let events = std::iter::from_fn(|| match reader.next()? {
        Ok(RunEvent {
            what: What::Started(started),
            ..
        }) if started.format > FORMAT_BY_HAND => {
            let newer = format!(
                "its record has format {}, and this Peerlab reads up to {FORMAT_BY_HAND}",
                started.format
            );
            let hint = "use the Peerlab that made the run, or a later one";
            failed = Some(Error::input(what()).because(newer).hint(hint));
            None
        }
        other => other.or_input(what).map_err(|e| failed = Some(e)).ok(),
    });
    let mut report = Report::of(&plan, events);
    if let Some(error) = failed {
        return Err(error);
    }
    let run = &mut report.judgement.run;
    run.trace = (run.engine == simulator::NAME).then(|| reader.sha256());
    if let Some(line) = reader.torn() {
        report.judgement.warnings.push(format!(
            "line {line} of {} was cut off while it was written, and left out",
            files::EVENTS
        ));
    }
    Ok(report)
}

/// The plan of a run; that of a network that stayed with all that was done to it, as far as its record
/// can be read.
///
/// # Errors
/// As bad input, when the plan cannot be read.
pub fn whole_plan(dir: &Path) -> Result<Plan> {
    let plan = load_plan(&dir.join(files::PLAN))?;
    match EventReader::open(&dir.join(files::EVENTS)) {
        Ok(reader) if plan.stays() => Ok(completed(plan, reader.map_while(|event| event.ok()))),
        _ => Ok(plan),
    }
}

/// The digests of the images that a run had, by its plan's names; none where its record has none.
pub fn recorded_images(dir: &Path) -> BTreeMap<String, String> {
    let Ok(reader) = EventReader::open(&dir.join(files::EVENTS)) else {
        return BTreeMap::new();
    };
    let mut head = reader.take(HEAD_LINES).map_while(std::result::Result::ok);
    let host = head.find_map(|event| match event.what {
        What::Host(host) => Some(host),
        _ => None,
    });
    host.unwrap_or_default().images
}

/// Writes `report.json`, `junit.xml` and `report.html` into the run directory.
///
/// # Errors
/// As an environment error, when a file cannot be written.
pub fn write_report(report: &Report, dir: &Path) -> Result<()> {
    write(&dir.join(files::REPORT_JSON), report.to_json()?)?;
    write(&dir.join(files::JUNIT_XML), junit::xml(&report.judgement)?)?;
    write(&dir.join(files::REPORT_HTML), html::page(&report.judgement))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use peerlab_core::check::Outcome;
    use peerlab_core::conduct::{Observer, Stage, Stop};
    use peerlab_core::error::Kind;
    use peerlab_core::error::hint::DISK;
    use peerlab_core::event::FORMAT;
    use peerlab_core::plan::compile;
    use peerlab_core::topology;
    use peerlab_sim::simulator::{Options, simulate};
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::disk::EventLog;

    const EXPERIMENT: &str = "
name: three
seed: 1
phases: { warmup: 10s, faults: 0s, settle: 10s }
nodes: { miners: { count: 3, hashpower: 1 } }
ledger: { block_interval: 3s }
expect:
  - converged: { within: 5s, of: settle }
";

    struct Recorder(Mutex<EventLog>);

    impl Observer for Recorder {
        fn stage(&self, _: Stage) {}

        fn event(&self, event: &RunEvent) -> Result<()> {
            let mut log = self.0.lock().unwrap();
            log.write(event).or_environment(|| "no record".into(), DISK)
        }
    }

    /// The directory of a simulated run.
    fn run_directory() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let topology = topology::parse("three.yaml", EXPERIMENT).unwrap();
        let plan = compile(&topology, topology.seed).unwrap();
        fs::write(dir.path().join(files::PLAN), plan.to_json()).unwrap();
        let log = EventLog::create(&dir.path().join(files::EVENTS)).unwrap();
        let recorder = Recorder(Mutex::new(log));
        let options = Options {
            threads: 1,
            stop: Stop::never(),
        };
        simulate(&plan, &recorder, &options).unwrap();
        recorder.0.into_inner().unwrap().finish().unwrap();
        dir
    }

    #[test]
    fn a_run_directory_gives_the_same_report_again() {
        let dir = run_directory();
        let report = judge_run_directory(dir.path()).unwrap();
        assert_eq!(report.judgement.outcome, Outcome::Passed);
        let record = fs::read(dir.path().join(files::EVENTS)).unwrap();
        let hash = Sha256::digest(record);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(report.judgement.run.trace, Some(hash));
        write_report(&report, dir.path()).unwrap();
        let json = fs::read_to_string(dir.path().join(files::REPORT_JSON)).unwrap();
        assert_eq!(json, report.to_json().unwrap());
        for name in [files::JUNIT_XML, files::REPORT_HTML] {
            assert!(dir.path().join(name).exists());
        }
    }

    #[test]
    fn a_killed_run_is_judged_as_far_as_it_came() {
        let dir = run_directory();
        let path = dir.path().join(files::EVENTS);
        let events = fs::read(&path).unwrap();
        fs::write(&path, &events[..events.len() - 20]).unwrap();
        let judgement = judge_run_directory(dir.path()).unwrap().judgement;
        assert_eq!(judgement.outcome, Outcome::Inconclusive);
        let warned = judgement.warnings.iter().any(|w| w.contains("was cut off"));
        assert!(warned, "{:?}", judgement.warnings);
    }

    #[test]
    fn a_record_of_the_first_format_is_read_and_one_of_a_later_is_refused_by_name() {
        let dir = run_directory();
        let path = dir.path().join(files::EVENTS);
        let record = fs::read_to_string(&path).unwrap();
        let ours = format!(r#""format":{FORMAT},"#);
        assert!(record.lines().next().unwrap().contains(&ours));
        fs::write(&path, record.replacen(&ours, "", 1)).unwrap();
        let report = judge_run_directory(dir.path()).unwrap();
        assert_eq!(report.judgement.outcome, Outcome::Passed);
        fs::write(&path, record.replacen(&ours, r#""format":99,"#, 1)).unwrap();
        let text = judge_run_directory(dir.path()).unwrap_err().render();
        assert!(text.contains("its record has format 99"), "{text}");
    }

    #[test]
    fn what_is_no_run_directory_is_bad_input() {
        let dir = tempfile::tempdir().unwrap();
        let error = judge_run_directory(dir.path()).unwrap_err();
        assert_eq!(error.kind, Kind::Input);
        assert!(error.to_string().contains("plan.json"), "{error}");

        let dir = run_directory();
        fs::write(dir.path().join(files::EVENTS), "{}\n{}\n").unwrap();
        let error = judge_run_directory(dir.path()).unwrap_err();
        let text = error.render();
        assert!(text.contains("events.jsonl, line 1"), "{text}");
    }
}
