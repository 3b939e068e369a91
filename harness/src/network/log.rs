//! The words of a process that holds a network: `network.log` in the network's folder, for whoever asks why
//! it ended. A network may be up for weeks, so the file is renewed once it is long, and one before it is kept.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Explain, Result};
use peerlab_core::report::files;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// Length from which on a new file is begun: thousands of lines of what went wrong.
const BYTES_MAX: u64 = 4 << 20;
/// Pause between two looks at the length. A log is longer by what is written in it.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Where the log of a network is.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(files::NETWORK_LOG)
}

/// Opens the log of a network, which is made where it is not there.
///
/// # Errors
/// When it cannot be written.
pub fn open(dir: &Path) -> Result<File> {
    let path = path(dir);
    let opened = append(&path);
    opened.or_environment(|| format!("cannot write {}", path.display()), DISK)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// From now on this process writes its words to the log of a network.
///
/// # Errors
/// When it cannot be written.
pub fn write_to(dir: &Path) -> Result<()> {
    let file = open(dir)?;
    let cannot = || format!("cannot write to {}", path(dir).display());
    become_output(&file).or_environment(cannot, DISK)
}

/// Keeps the log bounded to which this process writes its words, until it is dropped.
pub fn keep_bounded(dir: PathBuf) -> AbortOnDropHandle<()> {
    let looking = async move {
        loop {
            sleep(LOOK_INTERVAL).await;
            let renewed = renewed(&dir, BYTES_MAX);
            let written = renewed.and_then(|file| file.as_ref().map_or(Ok(()), become_output));
            if let Err(error) = written {
                tracing::debug!("{}: {error}", path(&dir).display());
            }
        }
    };
    AbortOnDropHandle::new(tokio::spawn(looking))
}

/// A new log where the present one is too long.
fn renewed(dir: &Path, bytes_max: u64) -> io::Result<Option<File>> {
    let path = path(dir);
    if std::fs::metadata(&path)?.len() <= bytes_max {
        return Ok(None);
    }
    std::fs::rename(&path, dir.join(files::EARLIER_NETWORK_LOG))?;
    append(&path).map(Some)
}

fn become_output(file: &File) -> io::Result<()> {
    rustix::stdio::dup2_stdout(file)?;
    rustix::stdio::dup2_stderr(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_long_log_is_renewed_and_one_before_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = open(dir.path()).unwrap();
        for line in 0..1_000 {
            writeln!(file, "line {line}").unwrap();
            if let Some(new) = renewed(dir.path(), 100).unwrap() {
                file = new;
            }
        }
        let text = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let (now, before) = (text(files::NETWORK_LOG), text(files::EARLIER_NETWORK_LOG));
        assert!(now.len() < 120 && before.len() < 120, "{now}{before}");
        // Nothing between the two is lost.
        let both = format!("{before}{now}");
        let last = both.lines().rev().zip((0..1_000).rev());
        assert!(both.lines().count() > 9, "{both}");
        for (told, line) in last {
            assert_eq!(told, format!("line {line}"));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
