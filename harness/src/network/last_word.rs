//! Why a network is up no more that nobody took down: a small file where networks are found, for whoever
//! asks for it next. The disk may be full by then, so its room is taken as soon as the network is up, and
//! until something else is known it says that whoever held the network was killed.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerlab_core::error::{Error, Kind, Report};
use peerlab_core::words;
use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};

/// Length of the file: a path and the words of several errors.
const BYTES: usize = 16 << 10;
/// Characters of each text where it would be longer: JSON has at most 12 bytes for one.
const CHARS_MAX: usize = BYTES / 64;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastWord {
    /// Where its record is, as it is shown.
    dir: String,
    /// Seconds since 1970 at which it ended; not known of one that was killed.
    at: Option<u64>,
    /// What ended it.
    error: Error,
}

impl LastWord {
    /// That a network whose record is here has ended just now, and why.
    pub fn of(dir: &Path, error: Error) -> LastWord {
        LastWord {
            at: Some(now().as_secs()),
            error,
            dir: dir.display().to_string(),
        }
    }

    /// What holds of a network that does not end in good order.
    pub fn killed(dir: &Path) -> LastWord {
        let what = "the process that held it was killed";
        let cause =
            "it ended without a word, as by SIGKILL, or where this machine has no memory left";
        let hint = "its nodes have ended with it; `peerlab clean` removes what else is left";
        LastWord {
            at: None,
            ..LastWord::of(dir, Error::environment(what, cause, hint))
        }
    }

    /// How and when the network of this name ended, in words.
    fn how(&self, name: &str) -> String {
        let Some(at) = self.at else {
            return format!("`{name}` ended with the process that held it");
        };
        let how = match self.error.kind {
            Kind::Interrupted => format!("a signal ended `{name}`"),
            _ => format!("`{name}` ended by itself"),
        };
        let ago = now().saturating_sub(Duration::from_secs(at));
        format!("{how} {} ago", words::long(Nanos::from_secs(ago.as_secs())))
    }

    /// The same in one line, with the reason.
    pub fn in_short(&self, name: &str) -> String {
        format!("{}: {}", self.how(name), self.why())
    }

    /// The reason, in one line.
    pub fn why(&self) -> String {
        self.error.in_short()
    }

    /// Says of an error, which is that a network is not up, why that is so.
    pub fn explain(&self, name: &str, error: Error) -> Error {
        let mut error = error.because(self.how(name)).hint(format!(
            "its record is in {}; `peerlab down -n {name}` removes this notice",
            self.dir
        ));
        error.reports.extend(self.error.reports.clone());
        error
    }

    /// Writes it over what is in a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        if text.len() > BYTES {
            text = serde_json::to_vec(&self.shortened())?;
        }
        text.resize(BYTES, b' ');
        file.write_all_at(&text, 0)
    }

    /// The first of what it says, cut.
    fn shortened(&self) -> LastWord {
        let cut = |text: &str| text.chars().take(CHARS_MAX).collect::<String>();
        let first = self.error.reports.first().map(|report| Report {
            what: cut(&report.what),
            place: None,
            causes: report.causes.iter().take(1).map(|it| cut(it)).collect(),
            hint: report.hint.as_deref().map(cut),
        });
        LastWord {
            dir: cut(&self.dir),
            at: self.at,
            error: Error {
                kind: self.error.kind,
                reports: first.into_iter().collect(),
            },
        }
    }

    /// Reads one; none where there is none, or something else.
    pub fn read(path: &Path) -> Option<LastWord> {
        let mut text = Vec::new();
        let file = File::open(path).ok()?;
        file.take(BYTES as u64).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Since 1970.
fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_with_all_that_was_known() {
        let mut word = LastWord::of(
            Path::new("/runs/net"),
            Error::environment("cannot record the run", "no space left", "make room"),
        );
        word.at = word.at.map(|at| at - 7_230);
        assert_eq!(
            word.in_short("net"),
            "`net` ended by itself 2 h 0 min ago: cannot record the run: no space left"
        );
        let no = || Error::input("no network `net` is up");
        insta::assert_snapshot!(word.explain("net", no()).render(), @r"
        Error: no network `net` is up
        Caused by: `net` ended by itself 2 h 0 min ago
        Hint: its record is in /runs/net; `peerlab down -n net` removes this notice

        Error: cannot record the run
        Caused by: no space left
        Hint: make room
        ");
        let killed = LastWord::killed(Path::new("/runs/net"));
        insta::assert_snapshot!(killed.explain("net", no()).render(), @r"
        Error: no network `net` is up
        Caused by: `net` ended with the process that held it
        Hint: its record is in /runs/net; `peerlab down -n net` removes this notice

        Error: the process that held it was killed
        Caused by: it ended without a word, as by SIGKILL, or where this machine has no memory left
        Hint: its nodes have ended with it; `peerlab clean` removes what else is left
        ");
    }

    #[test]
    fn a_file_that_has_its_room_holds_any_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net.ended");
        let file = File::create(&path).unwrap();
        let killed = LastWord::killed(Path::new("/runs/net"));
        killed.write(&file).unwrap();
        assert_eq!(LastWord::read(&path), Some(killed));
        let long = "\u{1b}\u{10ffff}".repeat(BYTES);
        for (said, dir) in [("said", long.as_str()), (&long, "dir"), (&long, &long)] {
            let word = LastWord::of(Path::new(dir), Error::environment(said, said, said));
            word.write(&file).unwrap();
            assert_eq!(file.metadata().unwrap().len(), BYTES as u64);
            let error = LastWord::read(&path).unwrap().error;
            assert_eq!(error.kind, Kind::Environment);
            assert!(said.starts_with(&error.to_string()) && error.reports[0].hint.is_some());
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(LastWord::read(&path), None);
    }
}
