//! `peerlab compare A B`: two runs side by side, or two folders of runs of the same experiment
//! with other seeds.

use crate::disk::judge_run_directory;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::ui::Ui;
use peerlab_core::check::{self, Judgement};
use peerlab_core::error::{Error, Explain, Kind, Result};
use peerlab_core::report::{self, files};

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
    let mut exit = ExitCode::SUCCESS;
    if let Some(percent) = args.within {
        for row in comparison.beyond(percent / 100.0) {
            ui.note(&format!("further apart than {percent} %: {}", row.what));
            exit = Kind::Failed.into();
        }
    }
    Ok(exit)
}

/// The run in a directory, or all runs in a folder, in the order of their names.
fn side(path: &Path) -> Result<Vec<Judgement>> {
    if path.join(files::EVENTS).is_file() {
        return Ok(vec![judge_run_directory(path)?.judgement]);
    }
    let what = || format!("cannot look for runs in {}", path.display());
    let mut folders = fs::read_dir(path)
        .or_input(what)?
        .map(|entry| Ok(entry.or_input(what)?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    folders.retain(|folder| folder.join(files::EVENTS).is_file());
    folders.sort();
    if folders.is_empty() {
        return Err(Error::input(format!("no run in {}", path.display()))
            .hint("name a run's directory, or a folder of them"));
    }
    folders
        .iter()
        .map(|folder| Ok(judge_run_directory(folder)?.judgement))
        .collect()
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
