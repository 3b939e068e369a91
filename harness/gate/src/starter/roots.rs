//! The file systems of fabric and nodes, made once: small read-only roots in memory, which every
//! node's mount namespace then shares. Nothing of the host's files stays reachable.
//!
//! The starter's own root, which no node sees:
//!
//!     /proc     of the starter's PID namespace (a node may mount its own only beside one)
//!     /shared   the folder that fabric and gates share
//!     /logs     what each gate and its program wrote
//!     /fabric   the fabric's root: its binary, and /peerlab, which it may write
//!     /node     a node's root: programs, /dev, /peerlab, and places for /proc, /tmp, /data
//!     /images   roots of images, by index; a node that has one puts a layer of its own over it
//!     /layer    a place for that layer, and
//!     /overlay  a place for both together

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};
use peerlab_link::proto::SHARED_DIR;
use peerlab_link::starter::DATA_DIR;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

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
/// Where logs are.
pub const LOG_DIR: &str = "/logs";
/// Bytes of all logs together.
const LOGS_BYTES_MAX: u64 = 256 << 20;
/// Bytes of everything else in memory: programs, and files that nodes share.
const BASE_BYTES_MAX: u64 = 1 << 30;
/// A folder that every machine has, to put the new root on for a moment.
const STEPPING_STONES: [&str; 4] = ["/tmp", "/run", "/mnt", "/var"];
/// The old root while the new one is made.
const OLD: &str = "/old";
/// Devices that a node may use; the last is the gate's.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "net/tun"];
const SHARED: &str = "/shared";

/// Makes all roots, and takes leave of the host's.
///
/// # Errors
/// When a mount is refused, or a program or device is missing.
pub fn make(fabric: &Path, programs: &[(String, String)], images: &[String]) -> Result<()> {
    step_into_memory()?;
    mount("proc", "/proc", "proc", restricted(), None).context("cannot mount /proc")?;
    for folder in [SHARED, LOG_DIR, IMAGES, LAYER, OVERLAY] {
        fs::create_dir(folder).with_context(|| format!("cannot make {folder}"))?;
    }
    mount_memory(LOG_DIR, LOGS_BYTES_MAX, restricted())?;
    make_fabric_root(fabric)?;
    make_node_root(programs)?;
    for (index, image) in images.iter().enumerate() {
        let place = format!("{IMAGES}/{index}");
        fs::create_dir(&place).with_context(|| format!("cannot make {place}"))?;
        bind(&format!("{OLD}{image}"), &place)?;
        make_read_only(&place)?;
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

fn make_fabric_root(fabric: &Path) -> Result<()> {
    new_root(FABRIC_ROOT, &[SHARED_DIR])?;
    copy_program(
        &fabric.to_string_lossy(),
        &format!("{FABRIC_ROOT}{FABRIC_PROGRAM}"),
    )?;
    bind(SHARED, &format!("{FABRIC_ROOT}{SHARED_DIR}"))?;
    make_read_only(FABRIC_ROOT)
}

fn make_node_root(programs: &[(String, String)]) -> Result<()> {
    new_root(
        NODE_ROOT,
        &[SHARED_DIR, DATA_DIR, "/proc", "/tmp", "/dev", "/dev/net"],
    )?;
    for (name, file) in programs {
        copy_program(file, &format!("{NODE_ROOT}/{name}"))?;
    }
    for device in DEVICES {
        let place = format!("{NODE_ROOT}/dev/{device}");
        fs::write(&place, "").with_context(|| format!("cannot make {place}"))?;
        mount_bind(format!("{OLD}/dev/{device}"), &place)
            .with_context(|| format!("cannot take /dev/{device} from this machine"))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("shm", "/tmp"),
    ] {
        symlink(target, format!("{NODE_ROOT}/dev/{name}")).context("cannot make a link")?;
    }
    check_tun()?;
    let shared = format!("{NODE_ROOT}{SHARED_DIR}");
    bind(SHARED, &shared)?;
    make_read_only(&shared)?;
    make_read_only(NODE_ROOT)
}

/// Opens the TUN device once, so that one clear error comes instead of one from each node.
fn check_tun() -> Result<()> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("{NODE_ROOT}/dev/net/tun"))
        .context("cannot open /dev/net/tun")?;
    Ok(())
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
fn copy_program(file: &str, place: &str) -> Result<()> {
    fs::copy(format!("{OLD}{file}"), place)
        .with_context(|| format!("cannot copy the program {file}"))?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o555))
        .with_context(|| format!("cannot make {place} executable"))
}

/// Mounts a file system in memory of at most so many bytes, writable by its owner.
pub fn mount_memory(place: &str, bytes_max: u64, flags: MountFlags) -> Result<()> {
    let options = format!("size={bytes_max},mode=0755\0");
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes())?;
    mount("tmpfs", place, "tmpfs", flags, options)
        .with_context(|| format!("cannot mount memory on {place}"))
}

/// Mounts this PID namespace's /proc, read-only: where the harness runs as root, its user may
/// otherwise change the kernel's settings even without capabilities.
pub fn mount_proc(place: &str) -> Result<()> {
    mount(
        "proc",
        place,
        "proc",
        restricted() | MountFlags::RDONLY,
        None,
    )
    .context("cannot mount /proc")
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

fn make_read_only(place: &str) -> Result<()> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(place, flags, c"").with_context(|| format!("cannot make {place} read-only"))
}
