//! `peerlab report RUN`: judges the record of an earlier run again, or those of a set of runs, and
//! writes the reports anew.

use crate::disk::{is_run, judge_run_directory, judge_run_set, write_report, write_run_set};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::job;
use crate::ui::Ui;
use peerlab_core::check::{OneRun, Outcome, RunSet};
use peerlab_core::error::{Kind, Place, Result};
use peerlab_core::report::annotation::{of_run, of_set};
use peerlab_core::report::{
    Report, run_markdown, run_set, run_set_json, run_set_markdown, terminal,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of an earlier run, or of a set of runs (`run --seeds`)
    run: PathBuf,
    /// Print the report as JSON instead of the verdict
    #[arg(long)]
    json: bool,
    /// Leave the files in the run's directory as they are
    #[arg(long)]
    dry_run: bool,
}

/// Judges a run again.
///
/// # Errors
/// When there is no such run, its record cannot be read, or a report cannot be written.
pub fn report(args: &Args, ui: &Ui) -> Result<ExitCode> {
    if !is_run(&args.run) && args.run.is_dir() {
        return report_set(args, ui);
    }
    let report = judge_run_directory(&args.run)?;
    if !args.dry_run {
        write_report(&report, &args.run)?;
    }
    let text = if args.json {
        report.to_json()?
    } else {
        terminal(&report.judgement, &ui.style(Some(args.run.clone())))
    };
    ui.result(&text);
    Ok(exit_code(report.judgement.outcome))
}

fn report_set(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let set = judge_run_set(&args.run, !args.dry_run)?;
    let command = ui.style(None).command;
    let again = |run: &OneRun| replay_command(&command, &args.run, run);
    if !args.dry_run {
        write_run_set(&set, &args.run, &again)?;
    }
    let text = if args.json {
        run_set_json(&set)?
    } else {
        run_set(&set, &ui.style(Some(args.run.clone())), &again)
    };
    ui.result(&text);
    Ok(exit_code(set.outcome))
}

/// Writes what a set of runs comes to that have just ended, prints it, and tells the job. `again` is the
/// command that makes one of them by itself; `places` are those of the expectations.
///
/// # Errors
/// When a file cannot be written.
pub fn tell_set(
    set: &RunSet,
    dir: &Path,
    again: &dyn Fn(&OneRun) -> String,
    places: &[Place],
    ui: &Ui,
) -> Result<ExitCode> {
    write_run_set(set, dir, again)?;
    ui.result(&run_set(set, &ui.style(Some(dir.to_owned())), again));
    job::tell(ui, || (of_set(set, places), run_set_markdown(set, again)));
    Ok(exit_code(set.outcome))
}

/// The command that makes a run of a set again by itself.
pub fn replay_command(command: &str, set: &Path, run: &OneRun) -> String {
    let dir = set.join(&run.folder);
    let engine = match run.run.engine.as_str() {
        "" => String::new(),
        engine => format!(" --engine {engine}"),
    };
    format!("{command} replay {}{engine}", dir.display())
}

/// Prints the verdict of a run that has just ended, and tells the job. `places` are those of the
/// expectations.
pub fn tell_run(report: &Report, dir: &Path, places: &[Place], ui: &Ui) -> ExitCode {
    let judgement = &report.judgement;
    let style = ui.style(Some(dir.to_owned()));
    ui.result(&terminal(judgement, &style));
    job::tell(ui, || {
        let again = format!("{} replay {}", style.command, dir.display());
        let page = run_markdown(judgement, Some(&again));
        (of_run(judgement, places), page)
    });
    exit_code(judgement.outcome)
}

/// What an outcome is as an exit code.
pub fn exit_code(outcome: Outcome) -> ExitCode {
    exit_number(outcome).into()
}

/// The same as a number.
pub fn exit_number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Passed => 0,
        Outcome::Failed => Kind::Failed.exit_code(),
        Outcome::Inconclusive => Kind::Inconclusive.exit_code(),
    }
}
