//! A run's directory, `runs/<time>-<name>/`: the whole record of one run.

use peerlab_core::error::hint::DISK;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use peerlab_core::error::{Error, Explain, Result};

/// Where runs are kept by default.
const RUNS: &str = "runs";
/// As `20261123T224201Z`.
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// Longest name of an experiment in that of its run.
const NAME_CHARS_MAX: usize = 80;
/// Runs that may begin in one second.
const SAME_SECOND_MAX: u32 = 100;

/// Makes the directory that was asked for, or a new one under `runs/`.
///
/// # Errors
/// When it cannot be made, or holds something already.
pub fn new_run_directory(asked: Option<&Path>, name: &str) -> Result<PathBuf> {
    let Some(path) = asked else {
        return new_by_time(name);
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
    Ok(path.to_owned())
}

fn new_by_time(name: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(RUNS).or_environment(|| format!("cannot make {RUNS}/"), DISK)?;
    let now = DateTime::<Utc>::from(SystemTime::now()).format(TIME_FORMAT);
    let stem = format!("{now}-{}", plain_name(name, NAME_CHARS_MAX));
    for attempt in 1..=SAME_SECOND_MAX {
        let path = match attempt {
            1 => Path::new(RUNS).join(&stem),
            _ => Path::new(RUNS).join(format!("{stem}-{attempt}")),
        };
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => {
                made.or_environment(|| format!("cannot make {}", path.display()), DISK)?;
                return Ok(path);
            }
        }
    }
    Err(Error::environment(
        format!("cannot make {RUNS}/{stem}"),
        format!("there are {SAME_SECOND_MAX} of that name and second"),
        "name another one with --out",
    ))
}

/// Writes a file of a run.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, contents)
        .or_environment(|| format!("cannot write {}", path.display()), DISK)
}

/// A name as a file may be called, in letters, digits and dashes, of which so many are kept.
pub fn plain_name(name: &str, chars_max: usize) -> String {
    let harmless = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '-'
        }
    };
    name.chars().map(harmless).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_folder() {
        assert_eq!(plain_name("../a b/ü", 40), "---a-b--");
        assert_eq!(plain_name("churn.v2", 40), "churn-v2");
        assert_eq!(plain_name(&"n".repeat(64), 40).len(), 40);
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(new_run_directory(Some(&dir.path().join("new/run")), "x").is_ok());
        let error = new_run_directory(Some(dir.path()), "x").unwrap_err();
        assert_eq!(error.kind, peerlab_core::error::Kind::Input);
    }
}
