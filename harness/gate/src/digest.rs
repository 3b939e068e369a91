//! The digest of a file that the node's program writes, made in a child of the gate with the program's
//! identity. No link is followed on the way to it, so that none leads anywhere else than its path says.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerlab_link::proto::{DIGESTED_BYTES_MAX, Digested, FileStamp};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// A file that was changed within this time may be changed again without another stamp: the kernel's
/// clock of files has a tick of some milliseconds.
const STAMP_AGE_MIN: Duration = Duration::from_millis(100);

/// Makes the digest of the file at a path below a root, unless its stamp is still this one.
pub fn digest(root: &Path, path: &Path, unless: Option<FileStamp>) -> Digested {
    let digested = match open(root, path) {
        Ok(None) => return Digested::Absent,
        Ok(Some(file)) => of_file(file, unless),
        Err(reason) => Err(reason),
    };
    digested.unwrap_or_else(Digested::Refused)
}

/// The file; nothing where there is none.
fn open(root: &Path, path: &Path) -> Result<Option<File>, String> {
    let failed = |e: Errno| io::Error::from(e).to_string();
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = flags | OFlags::PATH | OFlags::DIRECTORY;
    let mut at: OwnedFd = openat(CWD, root, folder, Mode::empty()).map_err(failed)?;
    let mut names = path.components().peekable();
    names.next_if_eq(&Component::RootDir);
    while let Some(name) = names.next() {
        let Component::Normal(name) = name else {
            return Err("it is not a plain path".into());
        };
        let is_last = names.peek().is_none();
        // What is no file is not waited for.
        let file = flags | OFlags::RDONLY | OFlags::NONBLOCK;
        let flags = if is_last { file } else { folder };
        at = match openat(&at, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err("it is a link, and none is followed".into()),
            Err(Errno::NOTDIR) => return Err("its path does not lead over folders".into()),
            Err(e) => return Err(failed(e)),
        };
    }
    Ok(Some(File::from(at)))
}

fn of_file(mut file: File, unless: Option<FileStamp>) -> Result<Digested, String> {
    let failed = |e: io::Error| e.to_string();
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("it is not a file".into());
    }
    let stamp = FileStamp {
        inode: metadata.ino(),
        bytes: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    if unless == Some(stamp) {
        return Ok(Digested::Unchanged);
    }
    let settled = age(&stamp).is_some_and(|age| age >= STAMP_AGE_MIN);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut left = DIGESTED_BYTES_MAX;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        left = left
            .checked_sub(read as u64)
            .ok_or_else(|| format!("it has more than {} MiB", DIGESTED_BYTES_MAX >> 20))?;
        hasher.update(&buffer[..read]);
    }
    Ok(Digested::Digest {
        sha256: hasher.finalize().into(),
        stamp: settled.then_some(stamp),
    })
}

/// How long ago a file was changed.
fn age(stamp: &FileStamp) -> Option<Duration> {
    let (seconds, nanos) = stamp.changed;
    let changed = Duration::new(seconds.try_into().ok()?, nanos.try_into().ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    now.checked_sub(changed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A node's root, and beside it a file that is none of the node's.
    fn root() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/data")).unwrap();
        fs::write(folder.path().join("root/data/f"), "abc").unwrap();
        fs::write(folder.path().join("secret"), "abc").unwrap();
        folder
    }

    fn digest_of(folder: &Path, path: &str) -> Digested {
        digest(&folder.join("root"), Path::new(path), None)
    }

    #[test]
    fn a_file_has_its_digest_and_one_that_is_not_there_none() {
        let folder = root();
        let Digested::Digest { sha256, .. } = digest_of(folder.path(), "/data/f") else {
            panic!("there is one");
        };
        // FIPS 180-2, of `abc`.
        assert_eq!(sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
        for path in ["/data/g", "/nowhere/f"] {
            assert_eq!(digest_of(folder.path(), path), Digested::Absent);
        }
    }

    #[test]
    fn no_link_is_followed_and_no_path_leads_out() {
        let folder = root();
        let at = |name: &str| folder.path().join("root").join(name);
        symlink("../../secret", at("data/link")).unwrap();
        symlink("..", at("up")).unwrap();
        rustix::fs::mkfifoat(CWD, at("data/pipe"), Mode::RWXU).unwrap();
        for path in [
            "/data/link",
            "/up/secret",
            "/../secret",
            "/data",
            "/data/f/g",
            "/data/pipe",
            "/",
        ] {
            let digested = digest_of(folder.path(), path);
            assert!(
                matches!(digested, Digested::Refused(_)),
                "{path}: {digested:?}"
            );
        }
    }

    #[test]
    fn a_file_is_read_again_only_when_it_may_have_changed() {
        let folder = root();
        let root = folder.path().join("root");
        let digest = |unless| digest(&root, Path::new("/data/f"), unless);
        // It was written just now.
        let Digested::Digest { stamp: None, .. } = digest(None) else {
            panic!("a young file may change without a trace");
        };
        std::thread::sleep(2 * STAMP_AGE_MIN);
        let Digested::Digest { stamp, sha256 } = digest(None) else {
            panic!("there is one");
        };
        assert!(stamp.is_some());
        assert_eq!(digest(stamp), Digested::Unchanged);
        fs::write(root.join("data/f"), "abd").unwrap();
        let Digested::Digest { sha256: other, .. } = digest(stamp) else {
            panic!("it was changed");
        };
        assert_ne!(sha256, other);
    }

    #[test]
    fn a_long_file_is_refused() {
        let folder = root();
        let file = File::create(folder.path().join("root/data/f")).unwrap();
        file.set_len(DIGESTED_BYTES_MAX + 1).unwrap();
        let refused = Digested::Refused("it has more than 256 MiB".into());
        assert_eq!(digest_of(folder.path(), "/data/f"), refused);
    }
}
