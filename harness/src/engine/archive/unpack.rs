//! Layers to a folder, as any user: owners are ignored, devices left out, set-user-id bits
//! dropped. Archives may be hostile: every path is resolved by the kernel with the folder as its
//! root (`openat2`, `RESOLVE_IN_ROOT`), so that neither `..` nor a link leads out of it.

use peerlab_core::error::hint::DISK;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, linkat, mkdirat, openat, openat2, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::image::Archive;
use peerlab_core::error::{Explain, Result};

/// Marks a file of a lower layer as deleted.
const WHITEOUT: &[u8] = b".wh.";
/// Marks a folder whose lower layers do not count.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Folders within folders of an image.
const DEPTH_MAX: usize = 256;

/// Unpacks all layers into an empty folder.
///
/// # Errors
/// When a layer is damaged, or the folder cannot be written.
pub fn unpack(archive: &Archive, root: &Path) -> Result<()> {
    let what = || format!("cannot unpack {}", archive.path().display());
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty()).or_environment(what, DISK)?;
    let root = Root { folder };
    for index in 0..archive.layer_count() {
        // What a layer deletes is deleted before anything of it is written: the marks may stand
        // anywhere in it.
        root.delete(archive.layer(index)?)
            .or_environment(what, DISK)?;
        let mut layer = archive.layer(index)?;
        root.write(&mut layer).or_environment(what, DISK)?;
        layer.finish().or_environment(what, DISK)?;
    }
    Ok(())
}

/// The folder that is an image's root.
struct Root {
    folder: OwnedFd,
}

impl Root {
    fn delete(&self, layer: impl Read) -> io::Result<()> {
        for entry in tar::Archive::new(layer).entries()? {
            let entry = entry?;
            let Some((parent, name)) = split(&entry.path()?) else {
                continue;
            };
            if name.as_bytes() == OPAQUE {
                if let Some(folder) = self.existing(&parent)? {
                    empty(&folder, 0)?;
                }
            } else if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT)
                && is_name(hidden)
                && let Some(folder) = self.existing(&parent)?
            {
                remove(&folder, OsStr::from_bytes(hidden), 0)?;
            }
        }
        Ok(())
    }

    fn write(&self, layer: impl Read) -> io::Result<()> {
        for entry in tar::Archive::new(layer).entries()? {
            let mut entry = entry?;
            let Some((parent, name)) = split(&entry.path()?) else {
                continue;
            };
            if name.as_bytes().starts_with(WHITEOUT) {
                continue;
            }
            let folder = self.folder(&parent)?;
            let mode = entry.header().mode().unwrap_or(0o644);
            let kind = entry.header().entry_type();
            if kind.is_dir() {
                make_folder(&folder, &name, mode)?;
            } else if kind.is_file() || kind == tar::EntryType::Continuous {
                write_file(&folder, &name, mode, &mut entry)?;
            } else if kind.is_symlink() {
                let target = link_target(&entry)?;
                remove(&folder, &name, 0)?;
                symlinkat(target, &folder, &name)?;
            } else if kind.is_hard_link() {
                let target = link_target(&entry)?;
                self.link(&target, &folder, &name)?;
            }
            // Devices and pipes are left out: nodes get their own /dev.
        }
        Ok(())
    }

    /// A folder that is there.
    fn existing(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        match self.open(path) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn open(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        openat2(
            &self.folder,
            path,
            OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// A folder, made with those above it where it is missing.
    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.open(path) {
            // What is there and no folder is replaced by one.
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let above = path.parent().unwrap_or(Path::new(""));
                let name = path.file_name().ok_or(Errno::INVAL)?;
                let above = self.folder(above)?;
                make_folder(&above, name, 0o755)?;
                Ok(self.open(path)?)
            }
            other => Ok(other?),
        }
    }

    /// A second name for a file of this image.
    fn link(&self, target: &Path, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let Some((parent, file)) = split(target) else {
            return Err(Errno::INVAL.into());
        };
        let from = self.open(&parent)?;
        remove(folder, name, 0)?;
        Ok(linkat(from, file, folder, name, AtFlags::empty())?)
    }
}

/// A path without what leads nowhere, as folder and name; `None` for the root itself, and for a
/// path that would lead out.
fn split(path: &Path) -> Option<(PathBuf, OsString)> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir | Component::RootDir => {}
            _ => return None,
        }
    }
    let name = clean.file_name()?.to_owned();
    clean.pop();
    Some((clean, name))
}

/// Whether these bytes can name a file of a folder.
fn is_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/')
}

fn link_target<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<PathBuf> {
    let target = entry.link_name()?;
    target
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| io::Error::other("a link without a target"))
}

/// Makes a folder, or keeps the one that is there; its owner may always write to it.
fn make_folder(parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o777 | 0o700);
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            // A later layer may describe the folder that an earlier one reaches by a link.
            return Ok(());
        }
        _ => {
            remove(parent, name, 0)?;
            mkdirat(parent, name, mode)?;
        }
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    Ok(rustix::fs::fchmod(folder, mode)?)
}

fn write_file(parent: &OwnedFd, name: &OsStr, mode: u32, bytes: &mut impl Read) -> io::Result<()> {
    remove(parent, name, 0)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = std::fs::File::from(file);
    io::copy(bytes, &mut file)?;
    file.flush()?;
    let mode = Mode::from_raw_mode(mode & 0o777 | 0o400);
    Ok(rustix::fs::fchmod(&file, mode)?)
}

/// Removes whatever has this name, folders with all that is in them.
fn remove(parent: &OwnedFd, name: &OsStr, depth: usize) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    empty(&folder, depth + 1)?;
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Removes all that is in a folder.
fn empty(folder: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other("folders are nested too deeply"));
    }
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    for name in names {
        remove(folder, OsStr::from_bytes(&name), depth)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
pub(super) mod tests;
