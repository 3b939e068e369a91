//! A set of runs on disk: a folder of the runs' directories, and beside them what they come to
//! together.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use peerlab_core::check::{Judgement, OneRun, RunSet};
use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::report::{TerminalStyle, files, html, junit, planned_in, run_set, run_set_json};

use super::event_log::mark_written;
use super::{judge_run_directory, write, write_report};

/// Columns of `summary.txt`.
const TEXT_COLUMNS: usize = 100;

/// The directory of one run, or those in a folder of them.
///
/// # Errors
/// As bad input, when there is no run, or the folder cannot be read.
pub fn runs_at(path: &Path) -> Result<Vec<PathBuf>> {
    match is_run(path) {
        true => Ok(vec![path.to_owned()]),
        false => runs_in(path),
    }
}

/// The runs' directories in a folder, in the order of their names.
fn runs_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let what = || format!("cannot look for runs in {}", folder.display());
    let mut runs = fs::read_dir(folder)
        .or_input(what)?
        .map(|entry| Ok(entry.or_input(what)?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    runs.retain(|run| is_run(run));
    if runs.is_empty() {
        return Err(Error::input(format!("no run in {}", folder.display()))
            .hint("name a run's directory, or a folder of them"));
    }
    runs.sort();
    Ok(runs)
}

/// Whether this is the directory of one run.
pub fn is_run(directory: &Path) -> bool {
    directory.join(files::EVENTS).is_file()
}

/// Judges a run of a set, and writes its reports unless only its words are wanted.
///
/// # Errors
/// As [`judge_run_directory`] and [`write_report`].
pub fn judge_one(directory: &Path, writes: bool) -> Result<OneRun> {
    let report = judge_run_directory(directory)?;
    if writes {
        write_report(&report, directory)?;
    }
    Ok(one_run(directory, report.judgement))
}

/// A judged run of a set, by its directory.
pub fn one_run(directory: &Path, judgement: Judgement) -> OneRun {
    let folder = directory.file_name().unwrap_or(directory.as_os_str());
    OneRun::of(folder.display().to_string(), judgement)
}

/// Judges all runs in a folder again, which are of one experiment.
///
/// # Errors
/// As bad input, when there is none, they are of several, or one cannot be read.
pub fn judge_run_set(folder: &Path, writes: bool) -> Result<RunSet> {
    let runs = runs_in(folder)?;
    let runs = runs.iter().map(|run| judge_one(run, writes));
    let runs = runs.collect::<Result<Vec<OneRun>>>()?;
    let name = runs[0].run.name.clone();
    if let Some(other) = runs.iter().find(|run| run.run.name != name) {
        let folder = folder.display();
        return Err(
            Error::input(format!("the runs in {folder} are of several experiments"))
                .because(format!("there are {name} and {}", other.run.name))
                .hint("name the directory of one run, or the folder of a set of one experiment"),
        );
    }
    let summary = fs::read_to_string(folder.join(files::SUMMARY_JSON)).unwrap_or_default();
    let planned = planned_in(&summary).unwrap_or(0).max(runs.len());
    Ok(RunSet::of(name, runs, planned))
}

/// Writes down how many runs a set is to have, before the first. As long as what is returned is kept,
/// others see that the set is being made.
///
/// # Errors
/// As an environment error, when it cannot be written.
pub fn begin_run_set(name: &str, planned: usize, folder: &Path) -> Result<File> {
    let set = RunSet::of(name.to_owned(), Vec::new(), planned);
    let path = folder.join(files::SUMMARY_JSON);
    write(&path, run_set_json(&set)?)?;
    let what = || format!("cannot open {}", path.display());
    let file = File::open(&path).or_environment(what, DISK)?;
    mark_written(&file);
    Ok(file)
}

/// Writes `summary.txt`, `summary.json`, `summary.html` and `junit.xml` into the set's folder.
///
/// # Errors
/// As an environment error, when a file cannot be written.
pub fn write_run_set(set: &RunSet, folder: &Path, again: &dyn Fn(&OneRun) -> String) -> Result<()> {
    let style = TerminalStyle {
        width: TEXT_COLUMNS,
        ..TerminalStyle::default()
    };
    write(
        &folder.join(files::SUMMARY_TXT),
        run_set(set, &style, again),
    )?;
    write(&folder.join(files::SUMMARY_JSON), run_set_json(set)?)?;
    write(&folder.join(files::SUMMARY_HTML), html::set_page(set))?;
    write(&folder.join(files::JUNIT_XML), junit::set_xml(set)?)
}
