//! The folder that fabric and gates share: the socket, and the files that nodes read. What was
//! put there is taken away at the end.

use std::cell::RefCell;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use peerlab_link::proto::{FILE_PIECE_BYTES_MAX, GATE_NAME, SOCKET_NAME};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// Gates that may be waiting to be let in; the kernel cuts it to its own limit.
const BACKLOG: i32 = 4_096;
/// The gates' socket is the fabric's own user's: a node's program under another user cannot speak.
const SOCKET_MODE: u32 = 0o600;
/// Every node may read files, none may write them.
const FILE_MODE: u32 = 0o644;

#[derive(Debug)]
pub(crate) struct SharedDir {
    dir: PathBuf,
    made: RefCell<Vec<PathBuf>>,
}

impl SharedDir {
    /// Uses this folder, which must be there.
    pub(crate) fn new(dir: PathBuf) -> SharedDir {
        SharedDir {
            dir,
            made: RefCell::default(),
        }
    }

    /// Makes the gates' socket, which does not block.
    ///
    /// # Errors
    /// When the folder cannot be written, or its path is too long for a socket.
    pub(super) fn listen(&self) -> io::Result<OwnedFd> {
        let path = self.dir.join(SOCKET_NAME);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(&path)?)?;
        self.made.borrow_mut().push(path.clone());
        // Nobody can connect before `listen`, so there is no moment of another mode.
        fs::set_permissions(&path, Permissions::from_mode(SOCKET_MODE))?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// Takes the gates' socket away: every node has its gate.
    pub(super) fn close_socket(&self) {
        // It is taken away at the end where that fails now.
        let _ = fs::remove_file(self.dir.join(SOCKET_NAME));
    }

    /// Appends a piece to a file, which the first piece makes.
    ///
    /// # Errors
    /// When the name is no plain file name, or the file cannot be written.
    pub(super) fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let is_plain = Path::new(name).file_name().is_some_and(|n| n == name);
        if !is_plain || name == SOCKET_NAME || name == GATE_NAME {
            return Err(io::Error::other("not a plain file name"));
        }
        if bytes.len() > FILE_PIECE_BYTES_MAX {
            return Err(io::Error::other("the piece is too long"));
        }
        let path = self.dir.join(name);
        let is_first = !self.made.borrow().contains(&path);
        let mut options = OpenOptions::new();
        options.mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
        if is_first {
            options.write(true).create(true).truncate(true);
        } else {
            options.append(true);
        }
        let mut file = options.open(&path)?;
        if is_first {
            self.made.borrow_mut().push(path);
            // Against the process' umask.
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        }
        file.write_all(bytes)
    }

    /// Takes away what was put there.
    pub(crate) fn clear(&self) {
        for path in self.made.borrow_mut().drain(..) {
            // What cannot be removed goes with the folder.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_a_file_that_all_may_read_and_nothing_stays() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("chain"), "from an older run").unwrap();
        let shared = SharedDir::new(temp.path().into());
        shared.append("chain", b"one ").unwrap();
        shared.append("chain", b"two").unwrap();
        let path = temp.path().join("chain");
        assert_eq!(fs::read(&path).unwrap(), b"one two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        let _socket = shared.listen().unwrap();
        let mode = fs::metadata(temp.path().join(SOCKET_NAME)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, SOCKET_MODE);
        shared.clear();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let shared = SharedDir::new(temp.path().into());
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/etc/passwd",
            "../x",
            "a/",
            GATE_NAME,
            SOCKET_NAME,
        ] {
            assert!(shared.append(name, b"x").is_err(), "{name:?}");
        }
        std::os::unix::fs::symlink("/dev/null", temp.path().join("link")).unwrap();
        assert!(shared.append("link", b"x").is_err());
        assert!(
            shared
                .append("big", &vec![0; FILE_PIECE_BYTES_MAX + 1])
                .is_err()
        );
    }
}
