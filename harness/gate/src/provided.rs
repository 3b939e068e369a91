//! The files that an experiment gives a node: how they come from the fabric, are put in their places before the
//! program is looked for, and are put there again when the node is emptied.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use peerlab_link::proto::{NODE_FILES_BYTES_MAX, NodeFile};

use crate::users::Identity;

/// Permissions of folders that are made on the way.
const FOLDER_MODE: u32 = 0o755;

/// The files of one node, in their order.
#[derive(Debug, Default)]
pub struct Provided {
    files: Vec<NodeFile>,
    bytes: usize,
}

impl Provided {
    /// A piece has come.
    ///
    /// # Errors
    /// When it begins no file, or there is too much.
    pub fn add(&mut self, head: Option<NodeFile>, piece: Vec<u8>) -> Result<()> {
        self.bytes += piece.len();
        ensure!(
            self.bytes <= NODE_FILES_BYTES_MAX,
            "there are more than {NODE_FILES_BYTES_MAX} bytes of files for this node"
        );
        match (head, self.files.last_mut()) {
            (Some(head), _) => self.files.push(NodeFile {
                bytes: piece,
                ..head
            }),
            (None, Some(file)) => file.bytes.extend(piece),
            (None, None) => bail!("a piece of no file came"),
        }
        Ok(())
    }

    /// Puts all of them in their places, with the rights of the gate before it gives them up. Where there is but
    /// `one_user` all are that one's.
    ///
    /// # Errors
    /// Which one cannot be written, and why.
    pub fn place(&self, program: Option<&Identity>, one_user: bool) -> Result<()> {
        for file in &self.files {
            let named = file.owner.as_deref().filter(|_| !one_user);
            let owner = named.map(Identity::resolve).transpose()?;
            place(file, owner.as_ref().or(program))
                .with_context(|| format!("cannot write the file {}", file.path))?;
        }
        Ok(())
    }

    /// The file of this place, where it is one of them.
    pub fn at(&self, path: &Path) -> Option<&NodeFile> {
        self.files.iter().find(|file| Path::new(&file.path) == path)
    }
}

fn place(file: &NodeFile, owner: Option<&Identity>) -> Result<()> {
    let path = make_way(Path::new(&file.path), owner)?;
    // An image may have one there, or a link, which would lead elsewhere.
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    write(file, &path)?;
    if let Some(owner) = owner {
        chown(&path, Some(owner.uid), Some(owner.gid)).context("cannot give it to its owner")?;
    }
    Ok(())
}

/// Writes a file that is not there.
pub fn write(file: &NodeFile, path: &Path) -> io::Result<()> {
    let mode = u32::from(file.mode);
    let mut options = fs::OpenOptions::new();
    let mut new = options.write(true).create_new(true).mode(mode).open(path)?;
    io::Write::write_all(&mut new, &file.bytes)?;
    // Whatever the umask is.
    new.set_permissions(fs::Permissions::from_mode(mode))
}

/// Makes the folders on the way that are not there, the owner's, and gives the whole way. Links of the image are
/// followed, all within the node's root.
fn make_way(path: &Path, owner: Option<&Identity>) -> Result<PathBuf> {
    let mut way = PathBuf::from("/");
    let mut left = path.components().peekable();
    ensure!(
        left.next() == Some(Component::RootDir) && left.peek().is_some(),
        "it is no absolute path of a file"
    );
    while let Some(component) = left.next() {
        let Component::Normal(name) = component else {
            bail!("it is no plain path");
        };
        way.push(name);
        if left.peek().is_some() && !way.is_dir() {
            fs::create_dir(&way).with_context(|| format!("cannot make {}", way.display()))?;
            fs::set_permissions(&way, fs::Permissions::from_mode(FOLDER_MODE))?;
            if let Some(owner) = owner {
                chown(&way, Some(owner.uid), Some(owner.gid))?;
            }
        }
    }
    Ok(way)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path, text: &str, mode: u16) -> NodeFile {
        NodeFile {
            path: path.to_str().unwrap().into(),
            mode,
            owner: None,
            bytes: text.into(),
        }
    }

    #[test]
    fn files_come_in_pieces_and_take_the_place_of_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("a/b/new"), folder.path().join("old"));
        fs::write(folder.path().join("target"), "untouched").unwrap();
        std::os::unix::fs::symlink(folder.path().join("target"), &old).unwrap();
        let mut provided = Provided::default();
        provided
            .add(Some(file(&new, "", 0o600)), b"be".to_vec())
            .unwrap();
        provided.add(None, b"gin".to_vec()).unwrap();
        provided
            .add(Some(file(&old, "", 0o755)), b"it".to_vec())
            .unwrap();
        provided.place(None, true).unwrap();
        assert_eq!(fs::read_to_string(&new).unwrap(), "begin");
        assert_eq!(
            fs::metadata(&new).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_to_string(&old).unwrap(), "it");
        assert_eq!(
            fs::read_to_string(folder.path().join("target")).unwrap(),
            "untouched"
        );
        assert_eq!(provided.at(&new).unwrap().bytes, b"begin");
        assert!(provided.at(folder.path()).is_none());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let mut provided = Provided::default();
        assert!(provided.add(None, vec![1]).is_err());
        let too_much = vec![0; NODE_FILES_BYTES_MAX + 1];
        assert!(
            provided
                .add(Some(file(Path::new("/x"), "", 0o644)), too_much)
                .is_err()
        );
        for path in ["relative", "/", "/a/../b"] {
            let mut provided = Provided::default();
            provided
                .add(Some(file(Path::new(path), "", 0o644)), Vec::new())
                .unwrap();
            let error = provided.place(None, true).unwrap_err();
            assert!(format!("{error:#}").contains("path"), "{error:#}");
        }
    }
}
