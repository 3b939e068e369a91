//! `peerlab compare A B`: two runs side by side, or two folders of runs of the same experiment
//! with other seeds.

use crate::disk::{judge_run_directory, runs_at};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::job;
use crate::ui::{Format, Ui};
use peerlab_core::check::{self, Judgement, Row};
use peerlab_core::error::{Kind, Result};
use peerlab_core::report;
use peerlab_core::report::annotation::of_comparison;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of a run, or a folder of such directories
    a: PathBuf,
    /// What it is compared with
    b: PathBuf,
    /// Fail when the median or 90th percentile of propagation, or the bytes of a node, differ by
    /// more
    #[arg(long, value_name = "PERCENT")]
    within: Option<f64>,
    /// Whom the answer is printed for
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Compares two sides; the answer is no (exit code 1) where they differ by more than asked.
///
/// # Errors
/// When a side holds no run, or one cannot be read.
pub fn compare(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let sides = [side(&args.a)?, side(&args.b)?];
    let comparison = check::compare([&sides[0], &sides[1]]);
    let names = [&args.a, &args.b].map(|path| path.display().to_string());
    ui.result(&report::comparison(&comparison, [&names[0], &names[1]]));
    let percent = args.within.unwrap_or(f64::INFINITY);
    let beyond = match args.within {
        Some(percent) => comparison.beyond(percent / 100.0),
        None => Vec::new(),
    };
    let told = |row: &&Row| format!("further apart than {percent} %: {}", row.key.what);
    let told: Vec<String> = beyond.iter().map(told).collect();
    told.iter().for_each(|line| ui.note(line));
    job::tell(ui, || {
        let page = report::comparison_markdown(&comparison, [&names[0], &names[1]], &told);
        (of_comparison(&beyond, percent), page)
    });
    Ok(match beyond.is_empty() {
        true => ExitCode::SUCCESS,
        false => Kind::Failed.into(),
    })
}

/// The run in a directory, or all runs in a folder.
fn side(path: &Path) -> Result<Vec<Judgement>> {
    let runs = runs_at(path)?;
    let judgements = runs
        .iter()
        .map(|run| Ok(judge_run_directory(run)?.judgement));
    judgements.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_run_is_no_side() {
        let folder = tempfile::tempdir().unwrap();
        let error = side(folder.path()).unwrap_err();
        assert_eq!(error.kind, Kind::Input);
        assert!(side(&folder.path().join("none")).is_err());
    }
}
