//! A run's directory, `runs/<time>-<name>/`: the whole record of one run.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::plan::Plan;

/// Where runs are kept by default.
const RUNS: &str = "runs";
/// The plan, in a run's directory.
pub const PLAN_FILE: &str = peerlab_core::report::files::PLAN;
/// The experiment file, in a run's directory.
const TOPOLOGY_FILE: &str = "topology.yaml";
/// Runs that may begin in one second.
const SAME_SECOND_MAX: u32 = 100;

/// A run's directory.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the directory that was asked for, or a new one under `runs/`.
    ///
    /// # Errors
    /// When it cannot be made, or holds something already.
    pub fn create(asked: Option<&Path>, name: &str) -> Result<RunDir> {
        let Some(path) = asked else {
            return RunDir::create_new(name);
        };
        std::fs::create_dir_all(path)
            .or_input(|| format!("cannot make the run's directory {}", path.display()))?;
        let empty = std::fs::read_dir(path)
            .or_input(|| format!("cannot read {}", path.display()))?
            .next()
            .is_none();
        if !empty {
            return Err(Error::input(format!("{} is not empty", path.display()))
                .hint("a run writes into a directory of its own: name another"));
        }
        Ok(RunDir {
            path: path.to_owned(),
        })
    }

    fn create_new(name: &str) -> Result<RunDir> {
        std::fs::create_dir_all(RUNS).or_environment(|| format!("cannot make {RUNS}/"))?;
        let stem = format!("{}-{}", utc(SystemTime::now()), file_name(name));
        for attempt in 1..=SAME_SECOND_MAX {
            let path = match attempt {
                1 => Path::new(RUNS).join(&stem),
                _ => Path::new(RUNS).join(format!("{stem}-{attempt}")),
            };
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { path }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    return Err(e).or_environment(|| format!("cannot make {}", path.display()));
                }
            }
        }
        Err(Error::environment(format!("{RUNS}/{stem} is taken")))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes down what is going to be run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_input(&self, topology: Option<&str>, plan: &Plan) -> Result<()> {
        if let Some(text) = topology {
            self.write(TOPOLOGY_FILE, text.as_bytes())?;
        }
        self.write(PLAN_FILE, plan.to_json().as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name);
        std::fs::write(&path, bytes).or_environment(|| format!("cannot write {}", path.display()))
    }
}

/// A name as a file may be called.
fn file_name(name: &str) -> String {
    let harmless = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '-'
        }
    };
    name.chars().map(harmless).take(80).collect()
}

/// A time as `20261123T224201Z`.
fn utc(time: SystemTime) -> String {
    let secs = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (secs / 86_400, secs % 86_400);
    // Days to a date of the Gregorian calendar: years start in March, so that the leap day is
    // the last; an era is the 146,097 days of 400 years; day 719,468 of era 0 is 1970-01-01.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (secs, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (4_107_542_400, "21000301T000000Z"),
            (1_795_473_721, "20261123T224201Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(secs)), text);
        }
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        assert_eq!(file_name("../a b/ü"), "---a-b--");
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunDir::create(Some(&dir.path().join("new/run")), "x").is_ok());
        let error = RunDir::create(Some(dir.path()), "x").unwrap_err();
        assert_eq!(error.kind, peerlab_core::error::Kind::Input);
    }
}
