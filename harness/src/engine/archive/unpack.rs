//! Layers to a folder, as any user: owners are ignored, devices left out, set-user-id bits
//! dropped. Archives may be hostile: every path is resolved by the kernel with the folder as its
//! root (`openat2`, `RESOLVE_IN_ROOT`), so that neither `..` nor a link leads out of it; and a layer
//! is a stream, of which no more is in memory than what describes one entry.

use peerlab_core::error::hint::DISK;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, linkat, mkdirat, openat, openat2, readlink,
    statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use tar::{Entry, EntryType};

use super::image::{Archive, Checked};
use super::limits::{Limits, Meter, Metered};
use crate::engine::hint;
use peerlab_core::conduct::{Stop, interrupted};
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::words;

/// What an image may unpack to: several times what the largest images in use hold, so that a hostile
/// one does not fill a disk.
pub const LIMITS: Limits = Limits {
    bytes: 32 << 30,
    files: 1_000_000,
};
/// Marks a file of a lower layer as deleted.
const WHITEOUT: &[u8] = b".wh.";
/// Marks a folder whose lower layers do not count.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Attributes that tell of a sparse file in the form that POSIX' pax has for it.
const PAX_SPARSE: &[u8] = b"GNU.sparse.";
/// Folders within folders of an image. Whoever removes a tree may have to keep one open for each.
const DEPTH_MAX: usize = 256;
/// Times that the kernel may be asked for a path while others rename or mount anything.
const ATTEMPTS_MAX: usize = 128;
/// Characters of an entry's name that an error shows.
const NAME_CHARS_MAX: usize = 100;

/// Unpacks all layers into an empty folder.
///
/// # Errors
/// When a layer is damaged or too large, the folder cannot be written, or the run is to stop.
pub fn unpack(archive: &Archive, root: &Path, limits: Limits, stop: &Stop) -> Result<()> {
    let what = || format!("cannot unpack the image {}", archive.path().display());
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty()).or_environment(what, DISK)?;
    let depth = depth_of(&folder).or_environment(what, DISK)?;
    let root = Root { folder, depth };
    let (deleting, writing) = (Meter::new(limits, stop), Meter::new(limits, stop));
    for index in 0..archive.layer_count() {
        // What a layer deletes is deleted before anything of it is written: the marks may stand
        // anywhere in it. Below the lowest there is nothing.
        let deleted = match index {
            0 => Ok(()),
            _ => root.delete(archive.layer(index)?, &deleting),
        };
        let layer = archive.layer(index)?;
        let written = deleted.and_then(|()| root.write(layer, &writing));
        written.map_err(|failure| {
            if stop.is_asked() {
                return interrupted();
            }
            let hint = failure.hint(limits);
            Error::environment(format!("{}{}", what(), failure.place), failure.cause, hint)
        })?;
    }
    Ok(())
}

/// Why a layer cannot be unpacked.
struct Failure {
    /// Names the entry that is at fault, if one is.
    place: String,
    cause: io::Error,
}

impl Failure {
    fn at(entry: &[u8], cause: io::Error) -> Failure {
        let place = format!(": its entry {}", shown(entry));
        Failure { place, cause }
    }

    /// What to do.
    fn hint(&self, limits: Limits) -> String {
        match self.cause.kind() {
            _ if self.cause.raw_os_error().is_some() => DISK.to_owned(),
            ErrorKind::FileTooLarge => format!(
                "images may unpack to {} GiB and {} files: take a smaller one",
                limits.bytes >> 30,
                words::thousands(limits.files)
            ),
            _ => hint::ARCHIVE.to_owned(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Failure {
        let place = String::new();
        Failure { place, cause }
    }
}

/// A name as an error shows it.
fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.escape_debug().take(NAME_CHARS_MAX).collect()
}

/// Hands each entry of a layer over.
fn each_entry(
    layer: &mut Metered<'_, Checked>,
    meter: &Meter<'_>,
    take: impl Fn(&mut Entry<'_, &mut Metered<'_, Checked>>) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut tar = tar::Archive::new(layer);
    let mut entries = tar.entries()?;
    while let Some(mut entry) = meter.next(&mut entries)? {
        let taken =
            take(&mut entry).and_then(|()| io::copy(&mut body(&mut entry, meter), &mut io::sink()));
        taken.map_err(|cause| Failure::at(&entry.path_bytes(), cause))?;
    }
    Ok(())
}

/// An entry's bytes. Holes of a sparse file are no bytes of the layer, so that they are counted here.
fn body<'a, R: Read>(entry: &'a mut Entry<'_, R>, meter: &'a Meter<'_>) -> Box<dyn Read + 'a> {
    match entry.header().entry_type() {
        EntryType::GNUSparse => Box::new(meter.reader(entry)),
        _ => Box::new(entry),
    }
}

/// The folder that is an image's root.
struct Root {
    folder: OwnedFd,
    /// Folders above it.
    depth: usize,
}

impl Root {
    fn delete(&self, layer: Checked, meter: &Meter<'_>) -> Result<(), Failure> {
        each_entry(&mut meter.reader(layer), meter, |entry| {
            let Some((parent, name)) = split(&entry.path()?) else {
                return Ok(());
            };
            if name.as_bytes() == OPAQUE {
                if let Some(folder) = self.existing(&parent)? {
                    empty(&folder)?;
                }
            } else if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT)
                && is_name(hidden)
                && let Some(folder) = self.existing(&parent)?
            {
                remove(&folder, OsStr::from_bytes(hidden))?;
            }
            Ok(())
        })
    }

    fn write(&self, layer: Checked, meter: &Meter<'_>) -> Result<(), Failure> {
        let mut layer = meter.reader(layer);
        each_entry(&mut layer, meter, |entry| self.put(entry, meter))?;
        // What follows the tar's end belongs to the digest.
        io::copy(&mut layer, &mut io::sink())?;
        Ok(layer.into_inner().verify()?)
    }

    fn put<R: Read>(&self, entry: &mut Entry<'_, R>, meter: &Meter<'_>) -> io::Result<()> {
        let Some((parent, name)) = split(&entry.path()?) else {
            return Ok(());
        };
        let kind = entry.header().entry_type();
        if name.as_bytes().starts_with(WHITEOUT) || kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let folder = self.folder(&parent, meter)?;
        let mode = entry.header().mode().unwrap_or(0o644);
        match kind {
            EntryType::Directory => self.make_folder(&folder, &name, mode),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                refuse_pax_sparse(entry)?;
                write_file(&folder, &name, mode, &mut body(entry, meter))
            }
            EntryType::Symlink => {
                let target = link_target(entry)?;
                remove(&folder, &name)?;
                Ok(symlinkat(target, &folder, &name)?)
            }
            EntryType::Link => self.link(&link_target(entry)?, &folder, &name),
            // Nodes get their own /dev.
            EntryType::Char | EntryType::Block | EntryType::Fifo => Ok(()),
            _ => Err(io::Error::other("it is of a kind that images do not hold")),
        }
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
        let path = Path::new(".").join(path);
        for _ in 0..ATTEMPTS_MAX {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.folder, &path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// A folder, made with those above it where it is missing.
    fn folder(&self, path: &Path, meter: &Meter<'_>) -> io::Result<OwnedFd> {
        match self.open(path) {
            // What is there and no folder is replaced by one.
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let above = path.parent().unwrap_or(Path::new(""));
                let name = path.file_name().ok_or(Errno::INVAL)?;
                let above = self.folder(above, meter)?;
                meter.count_file()?;
                self.make_folder(&above, name, 0o755)?;
                Ok(self.open(path)?)
            }
            other => Ok(other?),
        }
    }

    /// Makes a folder, or keeps the one that is there; its owner may always write to it.
    fn make_folder(&self, parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode & 0o777 | 0o700);
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                // A later layer may describe the folder that an earlier one reaches by a link.
                return Ok(());
            }
            _ => {
                if depth_of(parent)? >= self.depth + DEPTH_MAX {
                    return Err(io::Error::other("folders are nested too deeply"));
                }
                remove(parent, name)?;
                mkdirat(parent, name, mode)?;
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(parent, name, flags, Mode::empty())?;
        Ok(rustix::fs::fchmod(folder, mode)?)
    }

    /// A second name for a file of this image.
    fn link(&self, target: &Path, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let missing = || {
            let target = shown(target.as_os_str().as_bytes());
            io::Error::other(format!(
                "it is another name of {target}, which is no file in the image"
            ))
        };
        let (parent, file) = split(target).ok_or_else(missing)?;
        let from = self.existing(&parent)?.ok_or_else(missing)?;
        match statat(&from, &file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {}
            Ok(_) | Err(Errno::NOENT) => return Err(missing()),
            Err(e) => return Err(e.into()),
        }
        remove(folder, name)?;
        linkat(from, file, folder, name, AtFlags::empty()).map_err(|e| match e {
            // It was its own other name.
            Errno::NOENT => missing(),
            e => e.into(),
        })
    }
}

/// Folders above one.
fn depth_of(folder: &OwnedFd) -> io::Result<usize> {
    let path = readlink(path_of(folder), Vec::new())?;
    Ok(path.as_bytes().iter().filter(|byte| **byte == b'/').count())
}

/// A sparse file in pax' form would come out as its map.
fn refuse_pax_sparse<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<()> {
    let mut attributes = entry.pax_extensions()?.into_iter().flatten().flatten();
    if attributes.any(|attribute| attribute.key_bytes().starts_with(PAX_SPARSE)) {
        return Err(io::Error::other(
            "it is a sparse file in a form that is not read",
        ));
    }
    Ok(())
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

fn link_target<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let target = entry.link_name()?;
    target
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| io::Error::other("a link without a target"))
}

fn write_file(parent: &OwnedFd, name: &OsStr, mode: u32, bytes: &mut impl Read) -> io::Result<()> {
    remove(parent, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = fs::File::from(file);
    io::copy(bytes, &mut file)?;
    file.flush()?;
    let mode = Mode::from_raw_mode(mode & 0o777 | 0o400);
    Ok(rustix::fs::fchmod(&file, mode)?)
}

/// Removes whatever has this name, folders with all that is in them.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // It follows no link, whoever puts one there meanwhile.
        Err(Errno::ISDIR | Errno::PERM) => fs::remove_dir_all(path_of(parent).join(name)),
        Err(e) => Err(e.into()),
    }
}

/// Removes all that is in a folder.
fn empty(folder: &OwnedFd) -> io::Result<()> {
    // All of them before the first is removed.
    let entries: io::Result<Vec<_>> = fs::read_dir(path_of(folder))?.collect();
    for entry in entries? {
        remove(folder, &entry.file_name())?;
    }
    Ok(())
}

/// By which the kernel finds an open folder.
fn path_of(folder: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", folder.as_raw_fd()).into()
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
pub(super) mod tests;
