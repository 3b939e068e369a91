//! `run --retry-inconclusive N`: a run that proves nothing is made again, so many times at most. What
//! failed is never tried again: that would turn a network that fails now and then into one that holds.

use std::path::Path;

use crate::disk::{judge_run_directory, keep_try, write_report};
use crate::ui::Ui;
use peerlab_core::check::Outcome;
use peerlab_core::error::Result;
use peerlab_core::report::Report;

/// Most further tries: a host that is too slow so often is no host for the experiment.
const RETRIES_MAX: i64 = 20;

/// How often a run may be made again.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Retries {
    /// Where a run proves nothing since the host could not keep up, make it again, so many times at
    /// most: the last try decides, and the records of all are kept
    #[arg(long = "retry-inconclusive", value_name = "N", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=RETRIES_MAX))]
    retries: u16,
}

impl Retries {
    /// None.
    pub const NONE: Retries = Retries { retries: 0 };

    /// Makes a run by `attempt`, which leaves a record in `dir` and judges it ([`judged`]), until it proves
    /// something, and gives the last report. Whether a try is the last whatever it proves, `attempt` is
    /// told. `same_every_time`: where nothing is left to chance, one try says all.
    ///
    /// # Errors
    /// That of a try, or when a report or record cannot be written.
    pub async fn make(
        self,
        dir: &Path,
        same_every_time: bool,
        ui: &Ui,
        mut attempt: impl AsyncFnMut(bool) -> Result<Report>,
    ) -> Result<Report> {
        let tries = self.retries + 1;
        let mut number = 1;
        loop {
            let report = attempt(same_every_time || number >= tries).await?;
            let judgement = &report.judgement;
            if judgement.outcome != Outcome::Inconclusive || number >= tries {
                return Ok(report);
            }
            let place = dir.display();
            if same_every_time {
                ui.note(&format!(
                    "{place}: not tried again, since the simulator makes the same run every time"
                ));
                return Ok(report);
            }
            let because = judgement.inconclusive_because.join("; ");
            let kept = keep_try(dir)?;
            ui.note(&format!(
                "{place}: try {number} of {tries} is inconclusive, {because}; trying again, its \
                 record is in {}",
                kept.display()
            ));
            number += 1;
        }
    }
}

/// Judges the record of a run that has just ended, and writes its reports.
///
/// # Errors
/// When the record cannot be read, or a report cannot be written.
pub fn judged(dir: &Path) -> Result<Report> {
    let report = judge_run_directory(dir)?;
    write_report(&report, dir)?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use peerlab_core::error::hint::DISK;
    use peerlab_core::error::{Error, Explain as _};
    use peerlab_core::plan::compile;
    use peerlab_core::report::files;
    use peerlab_core::topology;

    use super::*;
    use crate::disk::EventLog;
    use crate::ui::Format;

    const EXPERIMENT: &str = "
name: pair
seed: 1
phases: { warmup: 2s, settle: 6s }
nodes: { peers: { count: 2, hashpower: 1 } }
ledger: { block_interval: 1s }
expect: [{ nodes_up: { min: 100% } }]
";

    /// The record of a run that was cut short before anything happened.
    fn record_nothing(dir: &Path) -> Result<()> {
        let topology = topology::parse("pair.yaml", EXPERIMENT)?;
        let plan = compile(&topology, 1)?;
        crate::disk::write(&dir.join(files::PLAN), plan.to_json())?;
        let log = EventLog::create(&dir.join(files::EVENTS)).or_environment(String::new, DISK)?;
        log.finish().or_environment(String::new, DISK)
    }

    /// What comes of a run of which each try proves nothing, but for those that fail to begin; and how
    /// many there were.
    async fn made(
        dir: &Path,
        retries: u16,
        same_every_time: bool,
        begins: impl Fn(u16) -> bool,
    ) -> (u16, Result<Report>) {
        let tries = Cell::new(0);
        let attempt = async |is_last: bool| {
            tries.set(tries.get() + 1);
            assert_eq!(is_last, same_every_time || tries.get() > retries);
            match begins(tries.get()) {
                true => record_nothing(dir).and_then(|()| judged(dir)),
                false => Err(Error::environment("no engine", "none", "start one")),
            }
        };
        let ui = Ui::new(0, true, Format::Text);
        let made = Retries { retries }
            .make(dir, same_every_time, &ui, attempt)
            .await;
        (tries.get(), made)
    }

    #[tokio::test]
    async fn what_proves_nothing_is_tried_again_and_every_try_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (tries, made) = made(dir.path(), 2, false, |_| true).await;
        assert_eq!(tries, 3);
        let earlier = made.unwrap().judgement.earlier_tries;
        let folders: Vec<&str> = earlier.iter().map(|it| it.folder.as_str()).collect();
        assert_eq!(folders, ["tries/1", "tries/2"]);
        let junit = std::fs::read_to_string(dir.path().join(files::JUNIT_XML)).unwrap();
        assert_eq!(junit.matches("<rerunError ").count(), 2, "{junit}");
        // Judged again later it says the same.
        let again = judge_run_directory(dir.path()).unwrap();
        assert_eq!(again.judgement.earlier_tries, earlier);
    }

    #[tokio::test]
    async fn nobody_asked_or_nothing_left_to_chance_is_one_try() {
        for (retries, same_every_time) in [(0, false), (2, true)] {
            let dir = tempfile::tempdir().unwrap();
            let (tries, made) = made(dir.path(), retries, same_every_time, |_| true).await;
            assert_eq!(tries, 1);
            assert!(made.unwrap().judgement.earlier_tries.is_empty());
        }
    }

    #[tokio::test]
    async fn a_try_that_cannot_be_made_is_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let (tries, made) = made(dir.path(), 5, false, |number| number == 1).await;
        assert_eq!(tries, 2);
        assert_eq!(made.unwrap_err().to_string(), "no engine");
        assert!(dir.path().join("tries/1").join(files::PLAN).is_file());
    }
}
