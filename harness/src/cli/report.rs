//! `peerlab report RUN`: judges the record of an earlier run again, and writes its reports anew.

use crate::disk::{judge_run_directory, write_report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::ui::Ui;
use peerlab_core::check::Outcome;
use peerlab_core::error::{Kind, Result};
use peerlab_core::report::terminal;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of an earlier run
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

/// Judges the run that has just ended, writes its reports, and prints the verdict.
///
/// # Errors
/// As [`report`].
pub fn judge(run: &Path, ui: &Ui) -> Result<ExitCode> {
    let report = judge_run_directory(run)?;
    write_report(&report, run)?;
    let style = ui.style(Some(run.to_owned()));
    ui.result(&terminal(&report.judgement, &style));
    Ok(exit_code(report.judgement.outcome))
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::Failed => Kind::Failed.into(),
        Outcome::Inconclusive => Kind::Inconclusive.into(),
    }
}
