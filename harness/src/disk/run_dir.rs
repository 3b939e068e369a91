//! A run's directory, `runs/<time>-<name>/`: the whole record of one run.

use peerlab_core::error::hint::DISK;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::plan::Plan;
use peerlab_core::report::files;

/// Where runs are kept by default.
const RUNS: &str = "runs";
/// The experiment file, in a run's directory.
const TOPOLOGY_FILE: &str = "topology.yaml";
/// As `20261123T224201Z`.
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
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
        std::fs::create_dir_all(RUNS).or_environment(|| format!("cannot make {RUNS}/"), DISK)?;
        let now = DateTime::<Utc>::from(SystemTime::now()).format(TIME_FORMAT);
        let stem = format!("{now}-{}", file_name(name));
        for attempt in 1..=SAME_SECOND_MAX {
            let path = match attempt {
                1 => Path::new(RUNS).join(&stem),
                _ => Path::new(RUNS).join(format!("{stem}-{attempt}")),
            };
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { path }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    return Err(e)
                        .or_environment(|| format!("cannot make {}", path.display()), DISK);
                }
            }
        }
        Err(Error::environment(
            format!("cannot make {RUNS}/{stem}"),
            format!("there are {SAME_SECOND_MAX} of that name and second"),
            "name another one with --out",
        ))
    }

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
        self.write(files::PLAN, plan.to_json().as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name);
        std::fs::write(&path, bytes)
            .or_environment(|| format!("cannot write {}", path.display()), DISK)
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

#[cfg(test)]
mod tests {
    use super::*;

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
