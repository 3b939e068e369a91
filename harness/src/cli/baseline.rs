//! `peerlab baseline save` and `check`: the figures of some runs are stored, and later runs of the same
//! experiment are held against them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::job;
use super::report::exit_code;
use crate::disk::{baseline_file, judge_one, load_baseline, runs_at, save_baseline};
use crate::ui::{Format, Ui};
use peerlab_core::check::{Baseline, OneRun, hold};
use peerlab_core::error::Result;
use peerlab_core::report::annotation::of_baseline;
use peerlab_core::report::{baseline_check, baseline_check_json, baseline_markdown};
use peerlab_core::words;

/// Of a hundred checks of equal networks, so many may alarm.
const FALSE_ALARMS_DEFAULT: f64 = 1.0;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Store the figures of runs, or sets of runs, of one experiment
    Save(Save),
    /// Hold runs, or sets of runs, against those that were stored: exit code 1 where a figure is
    /// worse by more than chance
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Save {
    /// A name (its file is baselines/NAME.json), or a file
    baseline: PathBuf,
    /// Directories of runs, or of sets of runs (run --seeds)
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Write it in the place of one that is there
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// A name (its file is baselines/NAME.json), or a file
    baseline: PathBuf,
    /// Directories of runs, or of sets of runs (run --seeds), with seeds of their own
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// How many of a hundred checks may fail though nothing has changed
    #[arg(long, value_name = "PERCENT", default_value_t = FALSE_ALARMS_DEFAULT)]
    #[arg(value_parser = false_alarms)]
    false_alarms: f64,
    /// Print the figures as JSON instead of a table
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Whom the verdict is printed for
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn false_alarms(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 50.0 => Ok(percent),
        _ => Err("write a percentage above 0 and up to 50, as 1 or 0.1".to_owned()),
    }
}

impl Args {
    /// Whom the verdict is printed for.
    pub fn format(&self) -> Format {
        match &self.command {
            Command::Save(_) => Format::Text,
            Command::Check(check) => check.format,
        }
    }
}

/// Stores figures, or holds runs against them.
///
/// # Errors
/// When runs cannot be read, are of several experiments or too few, or the file cannot be read or
/// written.
pub fn baseline(args: &Args, ui: &Ui) -> Result<ExitCode> {
    match &args.command {
        Command::Save(save) => save.carry_out(ui),
        Command::Check(check) => check.carry_out(ui),
    }
}

impl Save {
    fn carry_out(&self, ui: &Ui) -> Result<ExitCode> {
        let runs = judged(&self.runs)?;
        let baseline = Baseline::of(&runs)?;
        let file = baseline_file(&self.baseline);
        save_baseline(&baseline, &file, self.replace)?;
        let left_out = match runs.len() - baseline.runs() {
            0 => String::new(),
            some => format!("; left out: {some} inconclusive"),
        };
        ui.result(&format!(
            "{}: {} of {}{left_out}\n",
            file.display(),
            words::count(baseline.runs() as u64, "run"),
            baseline.experiment.name,
        ));
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn carry_out(&self, ui: &Ui) -> Result<ExitCode> {
        let baseline = load_baseline(&baseline_file(&self.baseline))?;
        let runs = judged(&self.runs)?;
        let check = hold(&baseline, &runs, self.false_alarms / 100.0)?;
        let text = match self.json {
            true => baseline_check_json(&check)?,
            false => baseline_check(&check, &ui.style(None)),
        };
        ui.result(&text);
        job::tell(ui, || (of_baseline(&check), baseline_markdown(&check)));
        Ok(exit_code(check.outcome))
    }
}

/// The runs in some directories, judged. One that is named twice counts once.
fn judged(directories: &[PathBuf]) -> Result<Vec<OneRun>> {
    let mut seen = BTreeSet::new();
    let mut judged = Vec::new();
    for directory in directories {
        for run in runs_at(directory)? {
            let place = run.canonicalize().unwrap_or_else(|_| run.clone());
            if seen.insert(place) {
                judged.push(judge_one(&run, false)?);
            }
        }
    }
    Ok(judged)
}
