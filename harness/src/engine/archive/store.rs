//! Unpacked images, kept in the user's cache by their digest, so that each is unpacked once. Runs
//! side by side do not disturb each other: a folder appears under its name only when it is whole.

use peerlab_core::error::hint::DISK;
use std::fs;
use std::path::{Path, PathBuf};

use super::image::{Archive, RunConfig};
use super::unpack::unpack;
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

/// An image that was unpacked before, by its digest.
pub fn find(digest: &str) -> Option<Unpacked> {
    load(&folder().ok()?.join(digest))
}

/// An archive's image, unpacked now or before.
///
/// # Errors
/// When it is damaged, or the cache cannot be written.
pub fn unpacked(archive: &Archive) -> Result<Unpacked> {
    unpacked_in(&folder()?, archive)
}

fn unpacked_in(images: &Path, archive: &Archive) -> Result<Unpacked> {
    let place = images.join(&archive.digest);
    if let Some(unpacked) = load(&place) {
        return Ok(unpacked);
    }
    let what = || format!("cannot keep unpacked images in {}", images.display());
    fs::create_dir_all(images).or_environment(what, DISK)?;
    // Removed again, unless it gets its name.
    let growing = tempfile::tempdir_in(images).or_environment(what, DISK)?;
    fill(growing.path(), archive)?;
    let moved = fs::rename(growing.path(), &place);
    // Where another run was faster, what it made is the same.
    if let Some(unpacked) = load(&place) {
        return Ok(unpacked);
    }
    moved.or_environment(what, DISK)?;
    Err(Error::environment(what(), "the image is not there", DISK))
}

/// Unpacks into a new folder.
fn fill(growing: &Path, archive: &Archive) -> Result<()> {
    let what = || format!("cannot unpack into {}", growing.display());
    let root = growing.join(ROOT);
    fs::create_dir_all(&root).or_environment(what, DISK)?;
    unpack(archive, &root)?;
    let run = serde_json::to_vec(&archive.run).or_environment(what, DISK)?;
    fs::write(growing.join(RUN), run).or_environment(what, DISK)
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

    #[test]
    fn an_image_is_unpacked_once_and_only_appears_whole() {
        let cache = tempfile::tempdir().unwrap();
        let (_folder, archive) = archive_of(&[&[("hello", "world")]]);
        let first = unpacked_in(cache.path(), &archive).unwrap();
        assert_eq!(fs::read(first.root.join("hello")).unwrap(), b"world");
        fs::write(first.root.join("mark"), "still here").unwrap();
        let second = unpacked_in(cache.path(), &archive).unwrap();
        assert_eq!(first, second);
        assert!(second.root.join("mark").exists());
        // Nothing half made stays.
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }
}
