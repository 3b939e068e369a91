//! The root of a node that runs an image: the image's files, read-only and shared by all nodes
//! that run it, under a layer of the node's own in memory. Where the kernel lets no ordinary user
//! lay one folder over another (overlayfs, before Linux 5.11), the files are copied.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};
use peerlab_link::proto::SHARED_DIR;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive};

use super::roots::{IMAGES, LAYER, NODE_ROOT, OVERLAY, bind, mount_memory};
use super::within;

/// Folders within folders of an image.
const DEPTH_MAX: usize = 256;

/// Makes the root in this process' own mount namespace, with /dev and the folder that is shared
/// with the fabric in it, and gives its place. `bytes_max` bounds what the node writes in it.
///
/// # Errors
/// When the kernel refuses, or memory is full.
pub fn mount_root(image: u32, bytes_max: u64) -> Result<&'static str> {
    let lower = format!("{IMAGES}/{image}");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount_memory(LAYER, bytes_max, flags)?;
    if let Err(refusal) = overlay(&lower, flags) {
        if !matches!(
            refusal,
            Errno::PERM | Errno::INVAL | Errno::NODEV | Errno::OPNOTSUPP
        ) {
            return Err(refusal).context("cannot lay the node's files over its image");
        }
        let upper = format!("{LAYER}/upper");
        copy(Path::new(&lower), Path::new(&upper), 0).context("cannot copy the image")?;
        bind(&upper, OVERLAY)?;
    }
    let devices = within::folder(OVERLAY, "/dev")?;
    mount_bind_recursive(format!("{NODE_ROOT}/dev"), devices)
        .context("cannot give the node its devices")?;
    let shared = within::folder(OVERLAY, SHARED_DIR)?;
    mount_bind(format!("{NODE_ROOT}{SHARED_DIR}"), shared)
        .context("cannot give the node the folder that it shares with the fabric")?;
    Ok(OVERLAY)
}

/// The image's files, as they are without the node's own.
///
/// # Errors
/// When they cannot be opened.
pub fn files(image: u32) -> Result<OwnedFd> {
    let lower = format!("{IMAGES}/{image}");
    let folder = fs::File::open(&lower).with_context(|| format!("cannot open {lower}"))?;
    Ok(folder.into())
}

/// Lays the node's own layer over the image.
fn overlay(lower: &str, flags: MountFlags) -> Result<(), Errno> {
    for folder in ["upper", "work"] {
        fs::create_dir(format!("{LAYER}/{folder}")).map_err(errno)?;
    }
    let options =
        format!("lowerdir={lower},upperdir={LAYER}/upper,workdir={LAYER}/work,userxattr\0");
    let options =
        std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).map_err(|_| Errno::INVAL)?;
    mount("overlay", OVERLAY, "overlay", flags, options)
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Copies a tree of files, folders and links.
fn copy(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other("folders are nested too deeply"));
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, place) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &place, depth + 1)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, place)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), place)?;
        }
    }
    let mode = fs::metadata(from)?.mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode & 0o777 | 0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_files_folders_links_and_modes() {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        fs::create_dir(from.path().join("bin")).unwrap();
        fs::write(from.path().join("bin/program"), "run").unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(from.path().join("bin/program"), executable).unwrap();
        symlink("/bin/program", from.path().join("link")).unwrap();
        copy(from.path(), to.path(), 0).unwrap();
        let copied = to.path().join("bin/program");
        assert_eq!(fs::read(&copied).unwrap(), b"run");
        assert_eq!(fs::metadata(&copied).unwrap().mode() & 0o777, 0o755);
        let link = fs::read_link(to.path().join("link")).unwrap();
        assert_eq!(link, Path::new("/bin/program"));
    }
}
