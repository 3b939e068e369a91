//! The file systems of fabric and nodes, made once: small read-only roots in memory, which every
//! node's mount namespace then shares. Nothing of the host's files stays reachable.
//!
//! The starter's own root, which no node sees:
//!
//! ```text
//! /proc     of the starter's PID namespace (a node may mount its own only beside one)
//! /shared   the folder that fabric and gates share
//! /fabric   the fabric's root: its binary, and /peerlab, which it may write
//! /node     a node's root: programs, /dev, /peerlab, and places for /proc, /tmp, /data
//! /images   roots of images, by index; a node that has one puts a layer of its own over it
//! /layer    a place for that layer, and
//! /overlay  a place for both together
//! ```

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use peerlab_link::proto::SHARED_DIR;
use peerlab_link::starter::DATA_DIR;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use crate::device;

/// The fabric's root.
pub const FABRIC_ROOT: &str = "/fabric";
/// A node's root.
pub const NODE_ROOT: &str = "/node";
/// The fabric's binary in its root.
pub const FABRIC_PROGRAM: &str = "/peerlab-fabric";
/// Where the images' roots are.
pub const IMAGES: &str = "/images";
/// Where a node of an image puts what it writes.
pub const LAYER: &str = "/layer";
/// Where it puts its image under that.
pub const OVERLAY: &str = "/overlay";
/// Bytes of everything else in memory: programs, and files that nodes share.
const BASE_BYTES_MAX: u64 = 1 << 30;
/// In memory there may be one file for each of so many bytes, as on a disk (ext4): what the kernel keeps
/// of a file beside its content counts for no size.
const FILE_BYTES: u64 = 16 << 10;
/// However small the memory, there may be so many.
const FILES_MIN: u64 = 1024;
/// A folder that every machine has, to put the new root on for a moment.
const STEPPING_STONES: [&str; 4] = ["/tmp", "/run", "/mnt", "/var"];
/// The old root while the new one is made.
const OLD: &str = "/old";
/// Devices that a node may use; the last is the gate's.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "net/tun"];
const SHARED: &str = "/shared";
/// Where a node of an image has its terminals.
pub const TERMINALS: &str = "/dev/pts";
/// For what holds devices and no programs.
const NO_PROGRAMS: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);
/// For what is read-only and holds programs, but no devices.
const WITHOUT_DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Makes all roots, and takes leave of the host's. Paths of the host are bytes.
///
/// # Errors
/// When a mount is refused, or a program or device is missing.
pub fn make(fabric: &[u8], programs: &[(String, Vec<u8>)], images: &[Vec<u8>]) -> Result<()> {
    step_into_memory()?;
    mount("proc", "/proc", "proc", restricted(), None).context("cannot mount /proc")?;
    for folder in [SHARED, IMAGES, LAYER, OVERLAY] {
        fs::create_dir(folder).with_context(|| format!("cannot make {folder}"))?;
    }
    make_fabric_root(fabric)?;
    make_node_root(programs)?;
    for (index, image) in images.iter().enumerate() {
        let place = format!("{IMAGES}/{index}");
        fs::create_dir(&place).with_context(|| format!("cannot make {place}"))?;
        let image = of_host(image);
        mount_bind(&image, &place)
            .with_context(|| format!("cannot mount {} on {place}", image.display()))?;
        make_read_only(&place, WITHOUT_DEVICES)?;
    }
    unmount(OLD, UnmountFlags::DETACH).context("cannot leave the host's files")?;
    fs::remove_dir(OLD).context("cannot leave the host's files")?;
    Ok(())
}

/// Makes a root in memory this process' own, with the host's at [`OLD`].
fn step_into_memory() -> Result<()> {
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).context("cannot keep mounts private")?;
    let stone = STEPPING_STONES
        .into_iter()
        .find(|stone| Path::new(stone).is_dir())
        .context("this machine has no /tmp")?;
    mount_memory(
        stone,
        BASE_BYTES_MAX,
        MountFlags::NOSUID | MountFlags::NODEV,
    )?;
    chdir(stone).context("cannot enter the new root")?;
    for folder in ["old", "proc"] {
        fs::create_dir(folder).context("cannot make folders in memory")?;
    }
    pivot_root(".", "old").context("cannot change the root")?;
    chdir("/").context("cannot enter the new root")?;
    Ok(())
}

/// Where a file of the host is while the roots are made.
fn of_host(path: &[u8]) -> PathBuf {
    let mut place = OsString::from(OLD);
    place.push(OsStr::from_bytes(path));
    PathBuf::from(place)
}

fn make_fabric_root(fabric: &[u8]) -> Result<()> {
    new_root(FABRIC_ROOT, &[SHARED_DIR])?;
    copy_program(fabric, &format!("{FABRIC_ROOT}{FABRIC_PROGRAM}"))?;
    bind(SHARED, &format!("{FABRIC_ROOT}{SHARED_DIR}"))?;
    make_read_only(FABRIC_ROOT, WITHOUT_DEVICES)
}

fn make_node_root(programs: &[(String, Vec<u8>)]) -> Result<()> {
    new_root(
        NODE_ROOT,
        &[
            SHARED_DIR, DATA_DIR, "/proc", "/tmp", "/dev", "/dev/net", TERMINALS,
        ],
    )?;
    for (name, file) in programs {
        copy_program(file, &format!("{NODE_ROOT}/{name}"))?;
    }
    for device in DEVICES {
        let place = format!("{NODE_ROOT}/dev/{device}");
        fs::write(&place, "").with_context(|| format!("cannot make {place}"))?;
        mount_bind(format!("{OLD}/dev/{device}"), &place)
            .with_context(|| format!("cannot take /dev/{device} from this machine"))?;
        // It is the machine's own file, of which a node whose harness is root is the owner. Who may
        // write to a device writes to it all the same.
        make_read_only(&place, MountFlags::NOSUID | MountFlags::NOEXEC)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("shm", "/tmp"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, format!("{NODE_ROOT}/dev/{name}")).context("cannot make a link")?;
    }
    check_tun()?;
    let shared = format!("{NODE_ROOT}{SHARED_DIR}");
    bind(SHARED, &shared)?;
    make_read_only(&shared, WITHOUT_DEVICES)?;
    make_read_only(NODE_ROOT, WITHOUT_DEVICES)
}

/// Makes a network device once, in the starter's own namespace, so that one clear error comes instead
/// of one from each node.
fn check_tun() -> Result<()> {
    let tun = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("{NODE_ROOT}/dev/net/tun"))
        .context("cannot open /dev/net/tun")?;
    device::claim(&tun)
}

/// A root in memory with these folders.
fn new_root(root: &str, folders: &[&str]) -> Result<()> {
    fs::create_dir(root).with_context(|| format!("cannot make {root}"))?;
    mount_memory(root, BASE_BYTES_MAX, MountFlags::NOSUID | MountFlags::NODEV)?;
    for folder in folders {
        let place = format!("{root}{folder}");
        fs::create_dir(&place).with_context(|| format!("cannot make {place}"))?;
    }
    Ok(())
}

/// Copies a program from the host: nobody inside can reach the host's own file, and a rebuild of
/// it does not touch a run.
fn copy_program(file: &[u8], place: &str) -> Result<()> {
    fs::copy(of_host(file), place).with_context(|| {
        let file = OsStr::from_bytes(file).display();
        format!("cannot copy the program {file}")
    })?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o555))
        .with_context(|| format!("cannot make {place} executable"))
}

/// Mounts a file system in memory of at most so many bytes, and files, writable by its owner.
pub fn mount_memory(place: impl AsRef<Path>, bytes_max: u64, flags: MountFlags) -> Result<()> {
    let place = place.as_ref();
    let files_max = (bytes_max / FILE_BYTES).max(FILES_MIN);
    let options = format!("size={bytes_max},nr_inodes={files_max},mode=0755\0");
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes())?;
    mount("tmpfs", place, "tmpfs", flags, options)
        .with_context(|| format!("cannot mount memory on {}", place.display()))
}

/// Mounts terminals of a node's own: those of `peerlab shell`.
///
/// # Errors
/// As the kernel says.
pub fn mount_terminals(place: &Path) -> Result<()> {
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    mount("devpts", place, "devpts", NO_PROGRAMS, options).context("cannot mount /dev/pts")
}

/// Mounts this PID namespace's /proc, read-only once `set` has set what is to be set in it: where the
/// harness runs as root, its user may otherwise change the kernel's settings even without capabilities.
pub fn mount_proc(place: &Path, set: impl FnOnce()) -> Result<()> {
    mount("proc", place, "proc", restricted(), None).context("cannot mount /proc")?;
    set();
    make_read_only(place, restricted())
}

/// Makes a root this process' own and forgets all others.
pub fn enter(root: &str) -> Result<()> {
    chdir(root).context("cannot enter the root")?;
    pivot_root(".", ".").context("cannot change the root")?;
    unmount(".", UnmountFlags::DETACH).context("cannot leave the old root")?;
    chdir("/").context("cannot enter the root")?;
    Ok(())
}

/// For file systems that hold neither programs nor devices.
pub fn restricted() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}

/// Mounts a folder or file at a second place.
pub fn bind(from: &str, to: &str) -> Result<()> {
    mount_bind(from, to).with_context(|| format!("cannot mount {from} on {to}"))
}

fn make_read_only(place: impl AsRef<Path>, flags: MountFlags) -> Result<()> {
    let place = place.as_ref();
    let flags = MountFlags::BIND | MountFlags::RDONLY | flags;
    mount_remount(place, flags, c"")
        .with_context(|| format!("cannot make {} read-only", place.display()))
}
