//! Every place where the node can write: what it has written there, and how all of it becomes again what it
//! was before the program first ran: what is new is removed, and what was changed of an image is copied anew
//! where its files are at hand. How that is carried elsewhere is `archive`'s affair.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::provided::{self, Provided};

/// The mounts that this process sees.
const MOUNTS: &str = "/proc/self/mountinfo";
/// File systems in which the kernel shows itself: nothing of a node's stays there.
const OF_THE_KERNEL: [&str; 6] = ["proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue"];

/// Files and folders below a root, as they were when it was made.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    /// Mounts below it in which the node cannot write.
    foreign: Vec<PathBuf>,
    original: BTreeMap<PathBuf, Original>,
    /// The root's files where the node's own lie over them.
    image: Option<OwnedFd>,
    /// What the experiment gave the node, which is there by now.
    provided: Provided,
}

/// What was there at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Original {
    Folder,
    /// With its length and when it was last written.
    File(u64, i64, i64),
    /// A device or a socket.
    Special,
}

impl Original {
    fn of(metadata: &Metadata) -> Original {
        let kind = metadata.file_type();
        if kind.is_dir() {
            Original::Folder
        } else if kind.is_file() || kind.is_symlink() {
            Original::File(metadata.len(), metadata.mtime(), metadata.mtime_nsec())
        } else {
            Original::Special
        }
    }
}

impl Disk {
    /// Notes what is there now.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn new(root: PathBuf, image: Option<OwnedFd>, provided: Provided) -> Result<Disk> {
        let mounts = fs::read_to_string(MOUNTS).context("cannot read the mounts")?;
        let below = |mount: &PathBuf| *mount != root && mount.starts_with(&root);
        let foreign = mounts.lines().filter_map(foreign_mount).filter(below);
        let mut disk = Disk {
            foreign: foreign.collect(),
            original: BTreeMap::new(),
            image,
            provided,
            root,
        };
        let mut original = BTreeMap::new();
        let noted = disk.walk(|path, metadata| {
            let it = Original::of(metadata);
            original.insert(path.to_owned(), it);
            Ok(it == Original::Folder)
        });
        noted.map_err(anyhow::Error::msg)?;
        disk.original = original;
        Ok(disk)
    }

    /// Where all of it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes all of it as it was, and gives the number of files and folders that were removed. To
    /// be called with the program's identity, so that it removes what the program can, and nothing else.
    ///
    /// # Errors
    /// What cannot be removed or restored, and why.
    pub fn renew(&self) -> Result<u64, String> {
        let mut removed = 0;
        let mut changed = Vec::new();
        self.walk(|path, metadata| {
            let now = Original::of(metadata);
            match self.original.get(path) {
                None => {
                    removed += remove(path, metadata)
                        .map_err(|e| format!("cannot remove {}: {e}", path.display()))?;
                }
                Some(original) if *original != now => {
                    changed.push((path.to_owned(), metadata.clone()));
                }
                Some(_) => return Ok(now == Original::Folder),
            }
            Ok(false)
        })?;
        // Now there is room for it.
        for (path, metadata) in changed {
            self.restore(&path, Some(&metadata))?;
        }
        // Parents come before what is in them.
        for path in self.original.keys() {
            if is_gone(path) {
                self.restore(path, None)?;
            }
        }
        Ok(removed)
    }

    /// Shows all that the node has written, by its path below the root: what is new or changed, a folder
    /// before what is in it; and then, without metadata, what was removed of an image.
    ///
    /// # Errors
    /// What cannot be listed, or what `visit` says.
    pub fn written(
        &self,
        mut visit: impl FnMut(&Path, Option<&Metadata>) -> Result<(), String>,
    ) -> Result<(), String> {
        let below = |path: &Path| path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        self.walk(|path, metadata| {
            let now = Original::of(metadata);
            if self.original.get(path) != Some(&now) {
                visit(&below(path), Some(metadata))?;
            }
            Ok(now == Original::Folder)
        })?;
        for path in self.original.keys() {
            // What was in a folder that is gone, or is none any more, went with it.
            let is_left = path.parent().is_some_and(is_folder);
            if is_left && is_gone(path) {
                visit(&below(path), None)?;
            }
        }
        Ok(())
    }

    /// The place of a relative path, to which the way is made where it is not there.
    ///
    /// # Errors
    /// When it is none that the node can write to: it leads out of the root, over a link, or into a mount of
    /// the kernel's.
    pub fn place(&self, path: &Path) -> Result<PathBuf, String> {
        let named = path.display();
        let mut place = self.root.clone();
        let mut left = path.components().peekable();
        if left.peek().is_none() {
            return Err("a path is empty".into());
        }
        while let Some(component) = left.next() {
            let Component::Normal(name) = component else {
                return Err(format!("the path {named} is not a plain one"));
            };
            place.push(name);
            if self.foreign.contains(&place) {
                return Err(format!("the path {named} is not the node's to write"));
            }
            if left.peek().is_some() {
                match fs::symlink_metadata(&place) {
                    Ok(metadata) if metadata.is_dir() => {}
                    Ok(_) => return Err(format!("the path {named} does not lead over folders")),
                    Err(_) => fs::create_dir(&place)
                        .map_err(|e| format!("cannot make {}: {e}", place.display()))?,
                }
            }
        }
        Ok(place)
    }

    /// Shows every file and folder that the node can reach; of the folders those that are wanted.
    fn walk(
        &self,
        mut visit: impl FnMut(&Path, &Metadata) -> Result<bool, String>,
    ) -> Result<(), String> {
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let failed = |e| format!("cannot list {}: {e}", folder.display());
            let entries = match fs::read_dir(&folder) {
                // Of another user.
                Err(e) if e.kind() == ErrorKind::PermissionDenied && !is_own(&folder) => continue,
                entries => entries.map_err(failed)?,
            };
            // All of them before the first is removed.
            let entries: io::Result<Vec<PathBuf>> = entries.map(|e| Ok(e?.path())).collect();
            for path in entries.map_err(failed)? {
                if self.foreign.contains(&path) {
                    continue;
                }
                let metadata = fs::symlink_metadata(&path).map_err(failed)?;
                if visit(&path, &metadata)? {
                    folders.push(path);
                }
            }
        }
        Ok(())
    }

    /// Puts one file, link or folder (without what is in it) of the image, or a file of the experiment's, in the
    /// place of what the program has made of it.
    fn restore(&self, path: &Path, changed: Option<&Metadata>) -> Result<(), String> {
        let place = path.display();
        let gone = || changed.map_or(Ok(0), |changed| remove(path, changed));
        if let Some(file) = self.provided.at(path) {
            let restored = gone().and_then(|_| provided::write(file, path));
            return restored.map_err(|e| format!("cannot restore {place}: {e}"));
        }
        let image = self.image.as_ref().ok_or_else(|| {
            format!("cannot restore {place}, which is the image's and was changed or removed")
        })?;
        let from = Path::new("/proc/self/fd").join(image.as_raw_fd().to_string());
        let from = from.join(path.strip_prefix(&self.root).unwrap_or(path));
        let restored = fs::symlink_metadata(&from).and_then(|metadata| {
            gone()?;
            copy(&from, &metadata, path)
        });
        restored.map_err(|e| format!("cannot restore {place}: {e}"))
    }
}

/// Copies a file or link, or makes a folder like this.
fn copy(from: &Path, metadata: &Metadata, path: &Path) -> io::Result<()> {
    if metadata.is_dir() {
        fs::create_dir(path)?;
        fs::set_permissions(path, metadata.permissions())
    } else if metadata.is_symlink() {
        symlink(fs::read_link(from)?, path)
    } else {
        fs::copy(from, path).map(drop)
    }
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Whether a folder is there, and no link to one.
pub fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether a folder belongs to this process' user.
fn is_own(folder: &Path) -> bool {
    let owner = fs::symlink_metadata(folder).map(|metadata| metadata.uid());
    owner.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
}

/// Removes a file, or a folder with all that is in it, without following links: how many they were.
pub fn remove(path: &Path, metadata: &Metadata) -> io::Result<u64> {
    if !metadata.is_dir() {
        fs::remove_file(path)?;
        return Ok(1);
    }
    let mut removed = 1;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        removed += remove(&entry.path(), &entry.metadata()?)?;
    }
    fs::remove_dir(path)?;
    Ok(removed)
}

/// Of a line of mountinfo: the mount's place, if nothing of a node's can be there.
fn foreign_mount(line: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(4);
    let (place, options) = (mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let (kind, all_options) = (file_system.next()?, file_system.nth(1).unwrap_or(""));
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let foreign = OF_THE_KERNEL.contains(&kind) || read_only(options) || read_only(all_options);
    foreign.then(|| PathBuf::from(place.replace("\\040", " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a file, a link, and a folder with a file.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/conf"), "first").unwrap();
        fs::write(folder.path().join("motd"), "hello").unwrap();
        symlink("/nowhere", folder.path().join("link")).unwrap();
        folder
    }

    fn disk(folder: &Path, image: Option<&Path>) -> Disk {
        let image = image.map(|image| fs::File::open(image).unwrap().into());
        Disk::new(folder.to_owned(), image, Provided::default()).unwrap()
    }

    /// All paths in it, with what files hold.
    fn content(folder: &Path) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let walked = disk(folder, None).walk(|path, metadata| {
            let text = fs::read_to_string(path).unwrap_or_default();
            found.push((path.strip_prefix(folder).unwrap().to_owned(), text));
            Ok(metadata.is_dir())
        });
        walked.unwrap();
        found.sort();
        found
    }

    #[test]
    fn what_is_new_goes_and_what_links_point_at_stays() {
        let folder = folder();
        let outside = tempfile::tempdir().unwrap();
        let kept = outside.path().join("kept");
        fs::write(&kept, "x").unwrap();
        let (disk, before) = (disk(folder.path(), None), content(folder.path()));
        assert_eq!(disk.renew(), Ok(0));
        symlink(outside.path(), folder.path().join("folder-link")).unwrap();
        symlink(&kept, folder.path().join("etc/file-link")).unwrap();
        fs::create_dir_all(folder.path().join("etc/deep/deeper")).unwrap();
        fs::write(folder.path().join("etc/deep/deeper/file"), "x").unwrap();
        assert_eq!(disk.renew(), Ok(5));
        assert_eq!(content(folder.path()), before);
        assert!(kept.exists());
    }

    #[test]
    fn what_was_changed_of_an_image_is_copied_from_it_or_named() {
        let (image, folder) = (folder(), folder());
        let at = |name| folder.path().join(name);
        let change = || {
            fs::write(at("motd"), "other").unwrap();
            fs::remove_dir_all(at("etc")).unwrap();
            fs::write(at("etc"), "no folder").unwrap();
            fs::remove_file(at("link")).unwrap();
        };
        let before = content(folder.path());
        let with_image = disk(folder.path(), Some(image.path()));
        let alone = disk(folder.path(), None);
        for _ in 0..2 {
            change();
            assert_eq!(with_image.renew(), Ok(0));
            assert_eq!(content(folder.path()), before);
        }
        change();
        let error = alone.renew().unwrap_err();
        assert!(error.starts_with("cannot restore "), "{error}");
        assert!(error.contains("the image's"), "{error}");
    }

    #[test]
    fn what_the_experiment_gave_comes_again() {
        let folder = folder();
        let path = folder.path().join("etc/given/key");
        let mut provided = Provided::default();
        let head = peerlab_link::proto::NodeFile {
            path: path.to_str().unwrap().into(),
            mode: 0o600,
            owner: None,
            bytes: Vec::new(),
        };
        provided.add(Some(head), b"secret".to_vec()).unwrap();
        provided.place(None, true).unwrap();
        let before = content(folder.path());
        let image = self::folder();
        let image = fs::File::open(image.path()).unwrap().into();
        let disk = Disk::new(folder.path().to_owned(), Some(image), provided).unwrap();
        fs::write(&path, "changed").unwrap();
        disk.renew().unwrap();
        assert_eq!(content(folder.path()), before);
        fs::remove_file(&path).unwrap();
        disk.renew().unwrap();
        assert_eq!(content(folder.path()), before);
    }

    #[test]
    fn mounts_in_which_a_node_cannot_write_are_known() {
        let of = |line: &str| foreign_mount(line).map(|place| place.display().to_string());
        let proc = "23 1 0:22 / /proc rw,nosuid - proc proc rw";
        assert_eq!(of(proc).as_deref(), Some("/proc"));
        let shared = "30 1 0:30 /x /peer\\040lab ro,nosuid master:4 shared:7 - tmpfs tmpfs rw";
        assert_eq!(of(shared).as_deref(), Some("/peer lab"));
        let volume = "31 1 8:1 /v /var/lib/x rw,relatime - ext4 /dev/sda1 rw,data=ordered";
        assert_eq!(of(volume), None);
        let image = "32 1 7:0 / /i rw - squashfs /dev/loop0 ro";
        assert_eq!(of(image).as_deref(), Some("/i"));
    }
}
