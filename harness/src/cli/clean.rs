//! `peerlab clean`: removes what runs have left that are over: containers and volumes, or (`--runs`) old records.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use crate::disk::{Record, records_in, remove_record};
use crate::engine::docker::{connect, remove_dead_runs, remove_images, timeouts};
use crate::network::networks;
use crate::ui::Ui;
use peerlab_core::error::{Error, Result};
use peerlab_core::topology;
use peerlab_core::words;

/// How an age ends that is one in days.
const DAYS: char = 'd';
const SECONDS_OF_DAY: u64 = 24 * 60 * 60;
/// Oldest that can be asked for: some lifetimes.
const DAYS_MAX: u64 = 100_000;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove the images that Peerlab built as well; the next run builds them again
    #[arg(long, conflicts_with = "runs")]
    images: bool,
    /// Remove old records in a folder, and nothing else [default of DIR: runs]
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "runs")]
    runs: Option<PathBuf>,
    /// With --runs: those whose run ended so long ago, as 7d or 12h
    #[arg(long, value_name = "TIME", value_parser = age, requires = "runs")]
    older_than: Option<Duration>,
    /// With --runs: all but the latest N
    #[arg(long, value_name = "N", requires = "runs")]
    keep: Option<usize>,
    /// With --runs: say what would be removed, and remove nothing
    #[arg(long, requires = "runs")]
    dry_run: bool,
}

/// Removes leftovers. Runs under way are left alone.
///
/// # Errors
/// When no engine answers, or something cannot be removed.
pub async fn clean(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let text = match &args.runs {
        Some(folder) => clean_records(args, folder).await?,
        None => clean_engine(args).await?,
    };
    ui.result(&text);
    Ok(ExitCode::SUCCESS)
}

async fn clean_engine(args: &Args) -> Result<String> {
    let docker = connect().await?;
    let removed = remove_dead_runs(&docker).await?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match (removed.runs.len(), removed.volumes) {
        (0, 0) => writeln!(text, "no run has left anything"),
        (0, _) => Ok(()),
        (runs, _) => writeln!(
            text,
            "removed {} containers of {runs} runs",
            removed.containers
        ),
    };
    if removed.volumes > 0 {
        let volumes = words::count(removed.volumes as u64, "volume");
        let _ = writeln!(text, "removed {volumes} without a container");
    }
    if !removed.starting.is_empty() {
        let seconds = timeouts::answer().as_secs();
        let _ = writeln!(
            text,
            "left alone: {}, which may be starting; if not, try again in {seconds} s",
            removed.starting.join(", ")
        );
    }
    if args.images {
        for image in remove_images(&docker).await? {
            let _ = writeln!(text, "removed image {image}");
        }
    }
    Ok(text)
}

/// Removes the records that are old enough, and further down than the latest.
async fn clean_records(args: &Args, folder: &Path) -> Result<String> {
    if args.older_than.is_none() && args.keep.is_none() {
        return Err(Error::input("which records are to go is not said")
            .because("`--runs` alone would be all of them")
            .hint(
                "add `--older-than 7d`, `--keep 20`, or both; `--dry-run` shows what they mean",
            ));
    }
    let up: Vec<PathBuf> = networks().await?.into_iter().map(|it| it.dir).collect();
    let mut said = Said::default();
    let keep = args.keep.unwrap_or(0);
    for record in records_in(folder)?.iter().skip(keep) {
        if args.older_than.is_some_and(|least| age_of(record) < least) {
            continue;
        }
        let is_up = up.iter().any(|dir| is_same(dir, &record.path));
        let in_use = is_up.then_some("its network is up");
        match in_use.or(record.stays.as_deref()) {
            Some(why) => said.left_alone(record, why),
            None if args.dry_run => said.removed("would remove", record),
            None => {
                remove_record(record)?;
                said.removed("removed", record);
            }
        }
    }
    Ok(said.text(args.dry_run))
}

fn age_of(record: &Record) -> Duration {
    let age = SystemTime::now().duration_since(record.written);
    age.unwrap_or_default()
}

fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// What was done, in words.
#[derive(Default)]
struct Said {
    lines: String,
    count: u64,
    bytes: u64,
}

impl Said {
    fn removed(&mut self, what: &str, record: &Record) {
        self.count += 1;
        self.bytes += record.bytes;
        self.line(&format!(
            "{what} {}, {}",
            record.path.display(),
            words::bytes(record.bytes)
        ));
    }

    fn left_alone(&mut self, record: &Record, why: &str) {
        self.line(&format!("left alone: {}: {why}", record.path.display()));
    }

    fn line(&mut self, line: &str) {
        // A folder may be called anything.
        self.lines.push_str(&words::visible(line));
        self.lines.push('\n');
    }

    fn text(mut self, dry_run: bool) -> String {
        let what = words::count(self.count, "record");
        let of = words::bytes(self.bytes);
        let done = if dry_run { "would go" } else { "removed" };
        self.line(&format!("{what} of {of} {done}"));
        self.lines
    }
}

/// Reads an age: that of experiment files, and days.
fn age(text: &str) -> std::result::Result<Duration, String> {
    let Some(days) = text.strip_suffix(DAYS) else {
        return topology::time(text).map(Duration::from);
    };
    let days: Option<u64> = days.trim().parse().ok();
    let days = days.filter(|days| *days <= DAYS_MAX);
    let days = days.ok_or_else(|| format!("write whole days, as `7{DAYS}`, or hours, as `12h`"))?;
    Ok(Duration::from_secs(days * SECONDS_OF_DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_one_in_days_or_as_in_experiment_files() {
        assert_eq!(age("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(age("0d"), Ok(Duration::ZERO));
        assert_eq!(age("12h"), Ok(Duration::from_secs(12 * 3_600)));
        for wrong in ["", "d", "-1d", "7", "1.5d", "99999999999999999999d", "7w"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
