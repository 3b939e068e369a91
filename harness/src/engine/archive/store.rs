//! Unpacked images, kept in the user's cache by their digest, so that each is unpacked once. Runs
//! side by side do not disturb each other: a folder appears under its name only when it is whole, and
//! they unpack in turns. What whoever has the turn finds half unpacked is of a run that was killed.

use peerlab_core::error::hint::DISK;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::image::{Archive, RunConfig};
use super::unpack::{LIMITS, unpack};
use peerlab_core::conduct::{Stop, interrupted};
use peerlab_core::error::{Error, Explain, Result};

/// An image that is ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The folder that is its root.
    pub root: PathBuf,
    /// How its program is run.
    pub run: RunConfig,
}

/// Name of the root within an image's folder.
const ROOT: &str = "root";
/// Name of its run configuration there.
const RUN: &str = "run.json";
/// Ends the name of the file beside the images that is locked by who unpacks.
const LOCK: &str = "lock";
/// Name of the folder that is being filled, or was when its owner died.
const PARTIAL: &str = "partial";
/// Pause before it is looked again whether another run is done.
const PAUSE: Duration = Duration::from_millis(100);

/// An image that was unpacked before, by its digest.
pub fn find(digest: &str) -> Option<Unpacked> {
    load(&folder().ok()?.join(digest))
}

/// An archive's image, unpacked now or before.
///
/// # Errors
/// When it is damaged or too large, the cache cannot be written, or the run is to stop.
pub fn unpacked(archive: &Archive, stop: &Stop) -> Result<Unpacked> {
    unpacked_in(&folder()?, archive, stop)
}

fn unpacked_in(images: &Path, archive: &Archive, stop: &Stop) -> Result<Unpacked> {
    let what = || format!("cannot keep unpacked images in {}", images.display());
    let (place, partial) = (images.join(&archive.digest), images.join(PARTIAL));
    if let Some(unpacked) = load(&place) {
        return Ok(unpacked);
    }
    fs::create_dir_all(images).or_environment(what, DISK)?;
    let lock = File::create(images.with_extension(LOCK)).or_environment(what, DISK)?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(e)) => return Err(e).or_environment(what, DISK),
            Err(TryLockError::WouldBlock) if stop.is_asked() => return Err(interrupted()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
    // Another run may have had it ready meanwhile.
    if let Some(unpacked) = load(&place) {
        return Ok(unpacked);
    }
    // Of a run that was killed, and of another version.
    for left in [&partial, &place] {
        discard(left).or_environment(what, DISK)?;
    }
    let run = archive.run.clone();
    if let Err(error) = fill(&partial, archive, stop) {
        discard(&partial).or_environment(what, DISK)?;
        return Err(error);
    }
    fs::rename(&partial, &place).or_environment(what, DISK)?;
    let root = place.join(ROOT);
    Ok(Unpacked { root, run })
}

/// Removes an image's folder, if it is there.
fn discard(folder: &Path) -> io::Result<()> {
    // Without the first, no run takes what is left for whole.
    let removed = fs::remove_file(folder.join(RUN));
    for removed in [removed, fs::remove_dir_all(folder)] {
        match removed {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Unpacks into a new folder.
fn fill(partial: &Path, archive: &Archive, stop: &Stop) -> Result<()> {
    let what = || format!("cannot unpack into {}", partial.display());
    let root = partial.join(ROOT);
    fs::create_dir_all(&root).or_environment(what, DISK)?;
    unpack(archive, &root, LIMITS, stop)?;
    let run = serde_json::to_vec(&archive.run).or_environment(what, DISK)?;
    fs::write(partial.join(RUN), run).or_environment(what, DISK)
}

fn load(place: &Path) -> Option<Unpacked> {
    let run = serde_json::from_slice(&fs::read(place.join(RUN)).ok()?).ok()?;
    Some(Unpacked {
        root: place.join(ROOT),
        run,
    })
}

/// The folder of unpacked images.
fn folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))
        .ok_or_else(|| {
            Error::environment(
                "there is no folder to unpack images in",
                "neither XDG_CACHE_HOME nor HOME is set",
                "set one of them",
            )
        })?;
    Ok(cache.join("peerlab").join("images"))
}

#[cfg(test)]
mod tests {
    use super::super::unpack::tests::archive_of;
    use super::*;

    fn hello() -> (tempfile::TempDir, Archive) {
        archive_of(&[&[("hello", "world")]])
    }

    /// A place for images, and the folder that it is in.
    fn cache() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        (folder, images)
    }

    /// The names in a folder.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn an_image_is_unpacked_once_and_only_appears_whole() {
        let (_cache, images) = cache();
        let (_folder, archive) = hello();
        let first = unpacked_in(&images, &archive, &Stop::never()).unwrap();
        assert_eq!(fs::read(first.root.join("hello")).unwrap(), b"world");
        fs::write(first.root.join("mark"), "still here").unwrap();
        let second = unpacked_in(&images, &archive, &Stop::never()).unwrap();
        assert_eq!(first, second);
        assert!(second.root.join("mark").exists());
        // Nothing half made stays.
        assert_eq!(names(&images), [archive.digest]);
    }

    #[test]
    fn what_a_killed_run_left_is_removed_by_the_next() {
        let (_cache, images) = cache();
        let (_folder, archive) = hello();
        let left = images.join(PARTIAL).join(ROOT);
        fs::create_dir_all(left.join("folder")).unwrap();
        fs::write(left.join("half"), "of a file").unwrap();
        let unpacked = unpacked_in(&images, &archive, &Stop::never()).unwrap();
        assert!(!unpacked.root.join("half").exists());
        assert_eq!(names(&images), [archive.digest]);
    }

    #[test]
    fn who_wants_what_another_run_unpacks_waits_for_it() {
        let (_cache, images) = cache();
        let (_folder, archive) = hello();
        fs::create_dir(&images).unwrap();
        let lock = File::create(images.with_extension(LOCK)).unwrap();
        lock.try_lock().unwrap();
        let partial = images.join(PARTIAL);
        fill(&partial, &archive, &Stop::never()).unwrap();
        fs::write(partial.join(ROOT).join("mark"), "of the first").unwrap();
        // One that is interrupted meanwhile does not wait for its turn.
        let stopped = unpacked_in(&images, &archive, &Stop::when(|| true));
        assert_eq!(stopped.unwrap_err().kind.exit_code(), 130);
        let unpacked = std::thread::scope(|scope| {
            let second = scope.spawn(|| unpacked_in(&images, &archive, &Stop::never()));
            std::thread::sleep(2 * PAUSE);
            assert!(!second.is_finished());
            fs::rename(&partial, images.join(&archive.digest)).unwrap();
            drop(lock);
            second.join().unwrap().unwrap()
        });
        assert!(unpacked.root.join("mark").exists());
        assert_eq!(names(&images), [archive.digest]);
    }

    #[test]
    fn an_image_that_cannot_be_unpacked_and_one_that_is_interrupted_leave_nothing() {
        let (_cache, images) = cache();
        let (folder, archive) = hello();
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let asked = std::sync::Arc::new(asked);
        let count = asked.clone();
        // In the middle of the layer: after the first questions.
        let stop = Stop::when(move || count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 3);
        let error = unpacked_in(&images, &archive, &stop).unwrap_err();
        assert_eq!(error.kind.exit_code(), 130);
        assert!(asked.load(std::sync::atomic::Ordering::Relaxed) > 4);
        assert_eq!(names(&images), Vec::<String>::new());

        let layer = folder.path().join(&archive.layers[0]);
        fs::write(layer, "no tar").unwrap();
        let error = unpacked_in(&images, &archive, &Stop::never()).unwrap_err();
        assert_eq!(error.kind.exit_code(), 3);
        assert_eq!(names(&images), Vec::<String>::new());
    }

    #[test]
    fn what_another_version_unpacked_is_unpacked_again() {
        let (_cache, images) = cache();
        let (_folder, archive) = hello();
        let place = images.join(&archive.digest);
        fs::create_dir_all(place.join(ROOT)).unwrap();
        fs::write(place.join(RUN), "{}").unwrap();
        let unpacked = unpacked_in(&images, &archive, &Stop::never()).unwrap();
        assert!(unpacked.root.join("hello").exists());
    }
}
