//! Folders of a root that is not trusted: its links may be absolute, and lead anywhere. Each folder
//! is where the root's own programs will find it.

use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2, readlink, readlinkat};
use rustix::io::Errno;

/// Links that lead nowhere yet, on the way to one folder; the kernel follows as many that lead
/// somewhere.
const LINKS_MAX: usize = 40;
/// Times that the kernel may be asked for a path while others rename or mount anything.
const ATTEMPTS_MAX: usize = 128;

/// The place of a folder in a root, on a way without links. The folder is made where it is missing,
/// also at the end of a link.
///
/// # Errors
/// When something else is there, or the kernel refuses.
pub fn folder(root: &str, folder: &str) -> Result<PathBuf> {
    let find = || {
        let root = open(root, flags(), Mode::empty())?;
        let found = find_or_make(&root, Path::new(folder), LINKS_MAX)?;
        readlink(format!("/proc/self/fd/{}", found.as_raw_fd()), Vec::new())
    };
    let what = || format!("cannot make {folder} in the node's root");
    let place = PathBuf::from(OsString::from_vec(find().with_context(what)?.into_bytes()));
    ensure!(
        place != Path::new(root),
        "{folder} is a link to the node's root"
    );
    Ok(place)
}

fn flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn find_or_make(root: &OwnedFd, path: &Path, links_left: usize) -> Result<OwnedFd, Errno> {
    match find(root, path) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::NOENT);
    };
    let above = find_or_make(root, parent, links_left)?;
    match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
        // It is a link to what is not there.
        Err(Errno::EXIST) if links_left > 0 => {
            let target = readlinkat(&above, name, Vec::new())?;
            let target = OsString::from_vec(target.into_bytes());
            find_or_make(root, &parent.join(target), links_left - 1)
        }
        Err(Errno::EXIST) => Err(Errno::LOOP),
        made => made.and_then(|()| find(root, path)),
    }
}

/// A folder that is there; links are followed as if the root were the machine's.
fn find(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    for _ in 0..ATTEMPTS_MAX {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match openat2(root, path, flags(), Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_within_the_root_and_made_to_lead_somewhere() {
        let beside = tempfile::tempdir().unwrap();
        let root = beside.path().canonicalize().unwrap().join("root");
        fs::create_dir_all(root.join("var/tmp")).unwrap();
        for (link, target) in [
            ("tmp", "/var/tmp"),
            ("data", "/srv/of/data"),
            ("dev", "../../../dev2"),
            ("first", "second"),
            ("second", "var/third"),
            ("proc", "/data/../proc"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let folder = |name: &str| folder(root.to_str().unwrap(), name);
        for (name, place) in [
            ("/tmp", "var/tmp"),
            ("/data", "srv/of/data"),
            ("/dev", "dev2"),
            ("/first", "var/third"),
            ("/proc", "srv/of/proc"),
            ("/new/one", "new/one"),
        ] {
            assert_eq!(folder(name).unwrap(), root.join(place), "{name}");
            assert!(root.join(place).is_dir(), "{name}");
        }
        assert_eq!(fs::read_dir(beside.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_a_folder_is_told() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        symlink("round", root.path().join("round")).unwrap();
        symlink("/none/..", root.path().join("up")).unwrap();
        symlink("/", root.path().join("root")).unwrap();
        for name in ["/file", "/file/x", "/round", "/up", "/root"] {
            let error = folder(root.path().to_str().unwrap(), name).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }
}
