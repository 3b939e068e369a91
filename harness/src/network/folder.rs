//! Where a user's networks are found: a folder of theirs alone, in it a socket for each network, and a
//! lock by which a name is held once. Who holds a lock is alive, so that what others left is told from
//! what is in use. Of a network that nobody took down its last word stays there; a lock's file has the room
//! for it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use peerlab_core::error::{Error, Explain, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;

use super::last_word::LastWord;
use super::request::check_name;

/// Endings of the files of a network.
const SOCKET: &str = "sock";
const LOCK: &str = "lock";
const WORD: &str = "ended";
/// The folder within the one that the system gives each user.
const NAME: &str = "peerlab";
/// What is the matter with a folder that others could write to.
const FOLDER_HINT: &str = "remove it, or set XDG_RUNTIME_DIR to a folder that is yours alone";
/// Bits of a mode that let others in.
const OTHERS: u32 = 0o077;
/// How often a lock is taken anew whose file was removed meanwhile.
const LOCK_TRIES: usize = 100;

/// The folder of this user's networks.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// That of this user; made where it is not there. `XDG_RUNTIME_DIR` says where it is, else it is in
    /// the temporary folder.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to somebody else, or others may look into it.
    pub fn of_user() -> Result<Folder> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|it| !it.is_empty());
        Folder::open(match runtime {
            Some(runtime) => PathBuf::from(runtime).join(NAME),
            None => {
                let name = format!("{NAME}-{}", geteuid().as_raw());
                std::env::temp_dir().join(name)
            }
        })
    }

    /// A folder by its path, likewise.
    ///
    /// # Errors
    /// As [`Folder::of_user`].
    pub fn open(path: PathBuf) -> Result<Folder> {
        let cannot = || format!("cannot use the folder of networks {}", path.display());
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.or_environment(cannot, FOLDER_HINT)?,
        }
        // Of the folder itself, not of what a link points to.
        let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits();
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags as i32)
            .open(&path);
        let found = opened.and_then(|folder| folder.metadata());
        let found = found.or_environment(cannot, FOLDER_HINT)?;
        let wrong = if found.uid() != geteuid().as_raw() {
            Some("it belongs to another user")
        } else if found.mode() & OTHERS != 0 {
            Some("others may look into it")
        } else {
            None
        };
        match wrong {
            Some(wrong) => Err(Error::environment(cannot(), wrong, FOLDER_HINT)),
            None => Ok(Folder(path)),
        }
    }

    /// The socket of a network.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.{SOCKET}"))
    }

    fn lock(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.{LOCK}"))
    }

    fn word(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.{WORD}"))
    }

    /// Why a network of this name is up no more, where nobody took it down.
    pub fn last_word(&self, name: &str) -> Option<LastWord> {
        LastWord::read(&self.word(name))
    }

    /// The same of all names.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn last_words(&self) -> Result<Vec<(String, LastWord)>> {
        let word = |name: String| {
            let word = self.last_word(&name)?;
            Some((name, word))
        };
        Ok(self
            .names_with(WORD)?
            .into_iter()
            .filter_map(word)
            .collect())
    }

    /// Removes the last word of a network, which has been told.
    pub fn forget(&self, name: &str) {
        remove(&self.word(name));
    }

    /// Removes what a dead holder of a name left, but for its last word.
    ///
    /// # Errors
    /// When somebody holds the name.
    pub fn bury(&self, name: &str) -> Result<()> {
        let claim = self.claim(name)?;
        if LastWord::read(&claim.path).is_some() {
            claim.keep_word();
        }
        Ok(())
    }

    /// Names of the networks that have a socket; whoever held one may have died.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        self.names_with(SOCKET)
    }

    fn names_with(&self, wanted: &str) -> Result<Vec<String>> {
        let cannot = || format!("cannot read {}", self.0.display());
        let entries = std::fs::read_dir(&self.0).or_environment(cannot, FOLDER_HINT)?;
        let name = |entry: io::Result<std::fs::DirEntry>| {
            let path = entry.ok()?.path();
            let is_wanted = path.extension().is_some_and(|ending| ending == wanted);
            let name = path.file_stem()?.to_str()?.to_owned();
            (is_wanted && check_name(&name).is_ok()).then_some(name)
        };
        let mut names: Vec<String> = entries.filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// Takes a name for as long as the claim is held. What a dead holder left under it is removed.
    ///
    /// # Errors
    /// When somebody holds it.
    pub fn claim(&self, name: &str) -> Result<Claim> {
        check_name(name)?;
        let path = self.lock(name);
        let cannot = || format!("cannot lock {}", path.display());
        for _ in 0..LOCK_TRIES {
            let lock = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits() as i32)
                .open(&path)
                .or_environment(cannot, FOLDER_HINT)?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(taken(name)),
                locked => locked.or_environment(cannot, FOLDER_HINT)?,
            }
            if is_at(&lock, &path) {
                let socket = self.socket(name);
                remove(&socket);
                return Ok(Claim {
                    socket,
                    path,
                    word: self.word(name),
                    lock,
                    leaves_word: false,
                });
            }
            // Its last holder has removed it since it was opened.
        }
        Err(Error::environment(
            cannot(),
            "it goes away again and again",
            FOLDER_HINT,
        ))
    }
}

fn taken(name: &str) -> Error {
    Error::input(format!("a network `{name}` is up already"))
        .because("each network that is up has a name of its own")
        .hint("take another with --name, or end that one: `peerlab down -n NAME`")
}

/// Whether an open file is the one that stands at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let there = std::fs::symlink_metadata(path);
    match (file.metadata(), there) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// A name that is held. When it is dropped its files are removed.
#[derive(Debug)]
pub struct Claim {
    /// Where the network is to listen.
    pub socket: PathBuf,
    path: PathBuf,
    word: PathBuf,
    lock: File,
    leaves_word: bool,
}

impl Claim {
    /// Takes the room for a last word, which is this one for as long as no other is left. That of the network
    /// before it goes.
    pub fn begin(&self, word: &LastWord) {
        remove(&self.word);
        if let Err(error) = word.write(&self.lock) {
            tracing::warn!("{}: {error}", self.path.display());
        }
    }

    /// Gives the name back, and leaves a last word.
    pub fn leave(self, word: &LastWord) {
        match word.write(&self.lock) {
            Ok(()) => self.keep_word(),
            Err(error) => tracing::warn!("{}: {error}", self.path.display()),
        }
    }

    /// Gives the name back; what is in the lock's file is the last word.
    fn keep_word(mut self) {
        remove(&self.socket);
        match std::fs::rename(&self.path, &self.word) {
            // There may be another's lock in its place.
            Ok(()) => self.leaves_word = true,
            Err(error) => tracing::warn!("{}: {error}", self.word.display()),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.leaves_word {
            return;
        }
        remove(&self.socket);
        // While the lock is held: nobody else removes a file that is not theirs.
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("networks")).unwrap();
        (dir, folder)
    }

    #[test]
    fn the_folder_is_its_users_alone() {
        let (dir, folder) = folder();
        let mode = std::fs::metadata(&folder.0).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        // Who finds it open to others, or a link in its place, does not use it.
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o750)).unwrap();
        let refused = Folder::open(open).unwrap_err().render();
        assert!(refused.contains("others may look into it"), "{refused}");
        let link = dir.path().join("link");
        symlink(&folder.0, &link).unwrap();
        Folder::open(link).unwrap_err();
    }

    #[test]
    fn a_name_is_held_once_and_nothing_is_left_of_it() {
        let (_dir, folder) = folder();
        let claim = folder.claim("net").unwrap();
        let refused = folder.claim("net").unwrap_err().render();
        assert!(refused.contains("`net` is up already"), "{refused}");
        folder.claim("other").unwrap();
        let _listener = UnixListener::bind(&claim.socket).unwrap();
        assert_eq!(folder.names().unwrap(), ["net"]);
        drop(claim);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
        folder.claim("net").unwrap();
    }

    #[test]
    fn what_a_dead_holder_left_is_removed() {
        let (_dir, folder) = folder();
        // Killed: its socket and its lock's file are there, and nobody holds the lock.
        drop(UnixListener::bind(folder.socket("net")).unwrap());
        std::fs::write(folder.lock("net"), "").unwrap();
        let claim = folder.claim("net").unwrap();
        assert!(!claim.socket.exists());
    }

    #[test]
    fn a_last_word_stays_until_the_next_of_its_name_is_up() {
        let (_dir, folder) = folder();
        let of = |what: &str| LastWord::of(Path::new("/runs"), Error::failed(what));
        let claim = folder.claim("net").unwrap();
        let killed = LastWord::killed(Path::new("/runs"));
        claim.begin(&killed);
        assert_eq!(folder.last_words().unwrap(), []);
        claim.leave(&of("one"));
        assert_eq!(folder.last_word("net"), Some(of("one")));
        // One that never came up changes nothing.
        folder.claim("net").unwrap();
        assert_eq!(folder.last_words().unwrap().len(), 1);
        let claim = folder.claim("net").unwrap();
        claim.begin(&killed);
        assert_eq!(folder.last_word("net"), None);
        // Killed: nobody holds the lock, which is there still.
        let path = claim.path.clone();
        std::fs::rename(&path, path.with_extension("kept")).unwrap();
        drop(claim);
        std::fs::rename(path.with_extension("kept"), &path).unwrap();
        folder.bury("net").unwrap();
        assert_eq!(folder.last_word("net"), Some(killed));
        assert!(folder.names().unwrap().is_empty() && !path.exists());
        folder.forget("net");
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let (_dir, folder) = folder();
        for name in ["", "../x", "a/b", ".", "..", "x y", &"n".repeat(65)] {
            assert_eq!(
                folder.claim(name).unwrap_err().kind.exit_code(),
                2,
                "{name}"
            );
        }
    }
}
