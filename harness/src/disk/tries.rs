//! Earlier tries of a run: each a whole record of its own, in a numbered folder below the run's
//! directory, which is the last try's.

use std::fs;
use std::path::{Path, PathBuf};

use peerlab_core::check::{EarlierTry, Judgement};
use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Explain, Result};
use peerlab_core::report::files;

/// Makes room in a run's directory for another try: moves what is there into a folder of its own, and
/// gives that.
///
/// # Errors
/// As an environment error, when something cannot be moved.
pub fn keep_try(dir: &Path) -> Result<PathBuf> {
    let what = || format!("cannot keep a try of the run in {}", dir.display());
    let entries = fs::read_dir(dir).or_environment(what, DISK)?;
    let entries = entries.collect::<std::io::Result<Vec<_>>>();
    let mut entries = entries.or_environment(what, DISK)?;
    entries.retain(|entry| entry.file_name() != files::TRIES);
    let kept = folder(dir, folders(dir).len() + 1);
    fs::create_dir_all(&kept).or_environment(what, DISK)?;
    for entry in entries {
        let place = kept.join(entry.file_name());
        fs::rename(entry.path(), place).or_environment(what, DISK)?;
    }
    Ok(kept)
}

fn folder(dir: &Path, number: usize) -> PathBuf {
    dir.join(files::TRIES).join(number.to_string())
}

/// Those of earlier tries, in their order.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let numbered = (1..).map(|number| folder(dir, number));
    numbered.take_while(|folder| folder.is_dir()).collect()
}

/// The earlier tries of a run, judged again by `judge`. What has become of their records is no
/// hindrance: the last try decides.
pub fn earlier_tries(dir: &Path, judge: impl Fn(&Path) -> Result<Judgement>) -> Vec<EarlierTry> {
    let of = |(folder, number): (PathBuf, usize)| EarlierTry {
        folder: format!("{}/{number}", files::TRIES),
        inconclusive_because: match judge(&folder) {
            Ok(judgement) => judgement.inconclusive_because,
            Err(error) => vec![error.to_string()],
        },
    };
    folders(dir).into_iter().zip(1..).map(of).collect()
}

#[cfg(test)]
mod tests {
    use peerlab_core::error::Error;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries.map(|e| name(e).into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn each_try_is_kept_whole_and_the_directory_is_free_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        for number in 1..=2 {
            fs::write(dir.path().join("plan.json"), number.to_string()).unwrap();
            fs::create_dir(dir.path().join("logs")).unwrap();
            let kept = keep_try(dir.path()).unwrap();
            assert_eq!(kept, dir.path().join(format!("tries/{number}")));
            assert_eq!(names(&kept), ["logs", "plan.json"]);
            assert_eq!(names(dir.path()), ["tries"]);
        }
        let first = fs::read_to_string(dir.path().join("tries/1/plan.json")).unwrap();
        assert_eq!(first, "1");
    }

    #[test]
    fn a_try_whose_record_cannot_be_read_is_named_nevertheless() {
        let dir = tempfile::tempdir().unwrap();
        assert!(earlier_tries(dir.path(), |_| Err(Error::input("x"))).is_empty());
        fs::create_dir_all(dir.path().join("tries/1")).unwrap();
        let tries = earlier_tries(dir.path(), |_| Err(Error::input("no record")));
        assert_eq!(tries.len(), 1);
        assert_eq!(tries[0].folder, "tries/1");
        assert_eq!(tries[0].inconclusive_because, ["no record"]);
    }
}
