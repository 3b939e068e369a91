//! Who may call: HTTP basic authentication, with a password from the command line or with the
//! cookie that the daemon leaves in its data directory, as Bitcoin Core does.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::hex::DisplayHex;

/// User name that goes with a cookie.
pub const COOKIE_USER: &str = "__cookie__";
/// Name of the cookie's file, in the folder of the network.
pub const COOKIE_FILE: &str = ".cookie";
/// Random bytes in a cookie.
pub const COOKIE_BYTES: usize = 32;

/// The one pair of user and password that is let in. Holds a digest only.
#[derive(Clone)]
pub struct Credentials {
    digest: sha256::Hash,
}

impl Credentials {
    /// Of this user.
    pub fn new(user: &str, password: &str) -> Credentials {
        Credentials {
            digest: sha256::Hash::hash(format!("{user}:{password}").as_bytes()),
        }
    }

    /// Whether an `Authorization` header carries them. Digests are compared, so the time taken
    /// says nothing about the password.
    pub fn accept(&self, header: &[u8]) -> bool {
        header
            .strip_prefix(b"Basic ")
            .and_then(|encoded| STANDARD.decode(encoded.trim_ascii()).ok())
            .is_some_and(|pair| sha256::Hash::hash(&pair) == self.digest)
    }
}

/// The cookie's file; removed when dropped.
pub struct Cookie {
    path: PathBuf,
    password: String,
}

impl Cookie {
    /// Writes a cookie of these random bytes into `folder`, readable by its owner alone.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(folder: &Path, random: [u8; COOKIE_BYTES]) -> io::Result<Cookie> {
        let password = random.to_lower_hex_string();
        let path = folder.join(COOKIE_FILE);
        let unfinished = folder.join(format!("{COOKIE_FILE}.tmp"));
        // A file left by a killed daemon might be readable by others: begin anew.
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        write!(file, "{COOKIE_USER}:{password}")?;
        std::fs::rename(&unfinished, &path)?;
        Ok(Cookie { path, password })
    }

    /// What lets the reader of the file in.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(COOKIE_USER, &self.password)
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        // If it cannot be removed, the next daemon replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pair: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn only_the_right_pair_is_let_in() {
        let credentials = Credentials::new("alice", "secret:with:colons");
        assert!(credentials.accept(&header("alice:secret:with:colons")));
        assert!(!credentials.accept(&header("alice:secret")));
        assert!(!credentials.accept(&header("alice")));
        assert!(!credentials.accept(b"Basic !!!"));
        assert!(!credentials.accept(b"Bearer x"));
        assert!(!credentials.accept(b""));
    }

    #[test]
    fn the_cookie_lets_its_reader_in_and_goes_with_the_daemon() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let cookie = Cookie::create(folder.path(), [7; COOKIE_BYTES]).unwrap();
        let path = folder.path().join(COOKIE_FILE);
        let pair = std::fs::read_to_string(&path).unwrap();
        assert!(cookie.credentials().accept(&header(&pair)));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(cookie);
        assert!(!path.exists());
    }
}
