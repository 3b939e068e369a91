//! The named pieces of an archive: files of a folder, or entries of a tar. Nothing is unpacked;
//! names that would leave the archive are not found.

use crate::engine::hint;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::limits::{Limits, Meter};
use peerlab_core::conduct::Stop;
use peerlab_core::error::{Error, Explain, Result};

/// What an archive that is a tar may hold: its pieces are some dozens, and are not unpacked here.
const LIMITS: Limits = Limits {
    bytes: u64::MAX,
    files: 100_000,
};
/// Steps from one link to the next before it is taken for a loop.
const LINKS_MAX: usize = 8;

#[derive(Debug)]
pub enum Blobs {
    Folder(PathBuf),
    /// A tar, and where its entries are.
    Tar(PathBuf, BTreeMap<String, Entry>),
}

/// An entry of a tar.
#[derive(Debug)]
pub enum Entry {
    /// Its bytes: where they begin, and how many.
    File(u64, u64),
    /// Another entry is meant; older versions of `docker save` write equal layers so.
    Link(String),
}

impl Blobs {
    /// Opens an archive.
    ///
    /// # Errors
    /// When it is not there, or a file that is no tar.
    pub fn open(path: &Path) -> Result<Blobs> {
        let what = || format!("cannot read the image archive {}", path.display());
        if path.is_dir() {
            return Ok(Blobs::Folder(path.to_owned()));
        }
        let metadata = path.metadata().or_environment(what, hint::NO_ARCHIVE)?;
        if !metadata.is_file() {
            // To open a pipe might take for ever.
            let cause = "it is neither a file nor a folder";
            return Err(Error::environment(what(), cause, hint::ARCHIVE));
        }
        let file = File::open(path).or_environment(what, hint::ARCHIVE)?;
        let stop = Stop::never();
        let meter = Meter::new(LIMITS, &stop);
        let mut archive = tar::Archive::new(meter.reader(file));
        let mut found = archive
            .entries_with_seek()
            .or_environment(what, hint::ARCHIVE)?;
        let mut entries = BTreeMap::new();
        while let Some(entry) = meter.next(&mut found).or_environment(what, hint::ARCHIVE)? {
            let Some(name) = entry.path().ok().and_then(|path| plain(&path)) else {
                continue;
            };
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let at = entry.raw_file_position();
                entries.insert(name, Entry::File(at, entry.size()));
            } else if kind.is_symlink()
                && let Ok(Some(target)) = entry.link_name()
                && let Some(target) = beside(&name, &target)
            {
                entries.insert(name, Entry::Link(target));
            }
        }
        Ok(Blobs::Tar(path.to_owned(), entries))
    }

    /// The path of the archive.
    pub fn path(&self) -> &Path {
        match self {
            Blobs::Folder(path) | Blobs::Tar(path, _) => path,
        }
    }

    /// Whether there is a piece of this name.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Blobs::Folder(folder) => {
                plain(Path::new(name)).is_some_and(|name| folder.join(name).is_file())
            }
            Blobs::Tar(_, entries) => locate(entries, name).is_some(),
        }
    }

    /// The bytes of a piece, as a stream, and how many there are.
    ///
    /// # Errors
    /// When there is none.
    pub fn open_piece(&self, name: &str) -> Result<(Box<dyn Read>, u64)> {
        let what = || format!("cannot read {name} of {}", self.path().display());
        let missing = || Error::environment(what(), "the archive does not hold it", hint::ARCHIVE);
        match self {
            Blobs::Folder(folder) => {
                let name = plain(Path::new(name)).ok_or_else(missing)?;
                let file = File::open(folder.join(name)).or_environment(what, hint::ARCHIVE)?;
                let length = file.metadata().or_environment(what, hint::ARCHIVE)?.len();
                Ok((Box::new(file), length))
            }
            Blobs::Tar(path, entries) => {
                let (at, length) = locate(entries, name).ok_or_else(missing)?;
                let mut file = File::open(path).or_environment(what, hint::ARCHIVE)?;
                file.seek(SeekFrom::Start(at))
                    .or_environment(what, hint::ARCHIVE)?;
                Ok((Box::new(file.take(length)), length))
            }
        }
    }

    /// All bytes of a piece that is a document.
    ///
    /// # Errors
    /// When there is none, or it is longer than any such document.
    pub fn document(&self, name: &str) -> Result<Vec<u8>> {
        /// Manifests and configurations are a few kilobytes; this bounds what a hostile one takes.
        const BYTES_MAX: u64 = 8 << 20;
        let (piece, length) = self.open_piece(name)?;
        let what = || format!("cannot read {name} of {}", self.path().display());
        if length > BYTES_MAX {
            return Err(Error::environment(
                what(),
                "it is too long for what it is",
                hint::ARCHIVE,
            ));
        }
        let mut bytes = Vec::new();
        piece
            .take(BYTES_MAX)
            .read_to_end(&mut bytes)
            .or_environment(what, hint::ARCHIVE)?;
        Ok(bytes)
    }
}

/// Where an entry's bytes are, through links.
fn locate(entries: &BTreeMap<String, Entry>, name: &str) -> Option<(u64, u64)> {
    let mut name = plain(Path::new(name))?;
    for _ in 0..LINKS_MAX {
        match entries.get(&name)? {
            Entry::File(at, length) => return Some((*at, *length)),
            Entry::Link(target) => name = target.clone(),
        }
    }
    None
}

/// A path without `.`; `None` if it leads out.
fn plain(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// What a link in an entry's folder means.
fn beside(name: &str, target: &Path) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for component in target.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_not_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inside")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::fs::write(folder.path().join("inside/blob"), "y").unwrap();
        let blobs = Blobs::open(&folder.path().join("inside")).unwrap();
        assert!(blobs.has("blob") && blobs.has("./blob"));
        assert!(!blobs.has("../secret"));
        assert!(blobs.open_piece("../secret").is_err());
        assert!(blobs.document("/etc/passwd").is_err());
    }

    #[test]
    fn a_link_in_a_tar_is_followed_within_it() {
        assert_eq!(
            beside("a/layer.tar", Path::new("../b/layer.tar")).as_deref(),
            Some("b/layer.tar")
        );
        assert_eq!(beside("a/x", Path::new("../../etc/passwd")), None);
        assert_eq!(beside("a/x", Path::new("/etc/passwd")), None);
    }

    #[test]
    fn what_is_no_archive_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, "this is no tar ".repeat(100)).unwrap();
        assert!(
            Blobs::open(&file)
                .unwrap_err()
                .render()
                .contains("docker save")
        );
        let said = Blobs::open(&folder.path().join("none"))
            .unwrap_err()
            .render();
        assert!(said.contains("the folder `images` of the record"), "{said}");
        let pipe = std::os::unix::net::UnixListener::bind(folder.path().join("socket"));
        let said = Blobs::open(&folder.path().join("socket"))
            .unwrap_err()
            .render();
        assert!(
            pipe.is_ok() && said.contains("neither a file nor a folder"),
            "{said}"
        );
    }

    #[test]
    fn a_name_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("archive");
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1 << 30);
        header.set_cksum();
        std::fs::write(&file, header.as_bytes()).unwrap();
        let file_end = std::fs::File::options().write(true).open(&file).unwrap();
        file_end.set_len((1 << 30) + 512).unwrap();
        let said = Blobs::open(&file).unwrap_err().render();
        assert!(said.contains("are too long"), "{said}");
    }
}
