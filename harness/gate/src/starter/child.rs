//! A child of the starter on its way to becoming the fabric or a node's gate.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use peerlab_link::proto::HOSTS_FILE;
use peerlab_link::starter::{DATA_DIR, NodeSpec};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::UnshareFlags;

use super::roots::{
    FABRIC_PROGRAM, FABRIC_ROOT, NODE_ROOT, TERMINALS, enter, mount_memory, mount_proc,
    mount_terminals, restricted,
};
use super::{image, limits, within};
use crate::args::{self, Args};
use crate::{gate, privileges, program, signals};

/// Bytes of a node's /tmp.
const TMP_BYTES_MAX: u64 = 64 << 20;
/// Exit code of a child that did not become what it was to be.
pub const EXIT_FAILED: i32 = 1;

/// Whose child a gate is made as, and what root that has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Who has all roots.
    Starter,
    /// Who has the root of nodes that have no image. Its child is the starter's as well.
    Nursery,
}

/// Makes a child of the starter in a PID namespace of its own, which becomes a node's gate; what that and
/// its program write goes to `log`.
///
/// # Errors
/// When the kernel makes no process.
pub fn start_node(spec: &NodeSpec, log: &impl AsFd, origin: Origin) -> io::Result<libc::pid_t> {
    let parent = match origin {
        Origin::Starter => 0,
        Origin::Nursery => libc::CLONE_PARENT,
    };
    // SAFETY: like fork, with a PID namespace; this process has a single thread.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::CLONE_NEWPID | parent | libc::SIGCHLD,
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::null_mut::<libc::c_int>(),
            std::ptr::null_mut::<libc::c_int>(),
            0,
        )
    };
    match pid {
        0 => std::process::exit(become_gate(spec, log, origin)),
        pid if pid > 0 => Ok(pid as libc::pid_t),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The rest of the gate's life; gives its exit code.
fn become_gate(spec: &NodeSpec, log: &impl AsFd, origin: Origin) -> i32 {
    match settle(spec, log, origin) {
        Ok(image) => {
            let args = Args {
                node: spec.node,
                secret: Some(spec.secret),
                socket: args::socket(),
                disk: spec.replaced.then(|| PathBuf::from("/")),
                user: None,
                own: None,
                hosts: spec.image.is_some().then(|| PathBuf::from(HOSTS_FILE)),
                // That of the user namespace.
                one_user: true,
                drop_all_caps: true,
                confine: true,
                workdir: spec.workdir.as_ref().map(PathBuf::from),
                command: spec.command.iter().map(OsString::from).collect(),
            };
            gate::run(args, image)
        }
        Err(error) => {
            gate::log(&format!("{error:#}"));
            EXIT_FAILED
        }
    }
}

/// Makes the node's namespaces and root this process' own, and gives the files of its image.
fn settle(spec: &NodeSpec, log: &impl AsFd, origin: Origin) -> Result<Option<OwnedFd>> {
    let our_root = match origin {
        Origin::Starter => NODE_ROOT,
        Origin::Nursery => "",
    };
    let null = OpenOptions::new()
        .read(true)
        .open(format!("{our_root}/dev/null"))
        .context("cannot open /dev/null")?;
    standard_streams(&null, log, log)?;
    drop(null);
    program::close_inherited();
    // SAFETY: this process has a single thread, and shares no descriptor table.
    unsafe {
        rustix::thread::unshare_unsafe(
            UnshareFlags::NEWNS
                | UnshareFlags::NEWNET
                | UnshareFlags::NEWIPC
                | UnshareFlags::NEWUTS,
        )
    }
    .context("cannot make the node's namespaces")?;
    limits::set(spec)?;
    let (root, image) = match spec.image {
        None => (our_root, None),
        Some(image) => (
            image::mount_root(image, spec.data_bytes_max)?,
            Some(image::files(image)?),
        ),
    };
    let place = |folder| match spec.image {
        // Made by the starter, and without links.
        None => Ok(PathBuf::from(format!("{root}{folder}"))),
        Some(_) => within::folder(root, folder),
    };
    let proc = place("/proc")?;
    mount_proc(&proc, || limits::set_of_namespaces(&proc))?;
    if spec.image.is_some() {
        // Nobody but a person needs them: where the kernel refuses, `shell` has none to give.
        let _ = place(TERMINALS).and_then(|place| mount_terminals(&place));
    }
    mount_memory(&place("/tmp")?, TMP_BYTES_MAX, restricted())?;
    mount_memory(&place(DATA_DIR)?, spec.data_bytes_max, restricted())?;
    match origin {
        Origin::Starter => enter(root)?,
        Origin::Nursery => {}
    }
    set_environment(spec);
    rustix::system::sethostname(spec.name.as_bytes()).context("cannot set the host name")?;
    Ok(image)
}

/// Adds what the node's image says to the little that every program gets.
fn set_environment(spec: &NodeSpec) {
    for (name, value) in &spec.env {
        // The kernel would take no such name; a hostile image must not end the gate.
        let fits = |text: &str| !text.contains('\0');
        if !name.is_empty() && !name.contains('=') && fits(name) && fits(value) {
            // SAFETY: this process has a single thread.
            unsafe { std::env::set_var(name, value) };
        }
    }
}

/// Makes a child that becomes the fabric; `stream` is its standard input and output.
///
/// # Errors
/// When the kernel makes no process.
pub fn start_fabric(stream: &impl AsFd) -> io::Result<libc::pid_t> {
    // SAFETY: this process has a single thread, so the child may do what any program may.
    match unsafe { libc::fork() } {
        0 => {
            let error = become_fabric(stream);
            gate::log(&format!("cannot start the fabric: {error:#}"));
            std::process::exit(EXIT_FAILED)
        }
        pid if pid > 0 => Ok(pid),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Becomes the fabric, or says why not.
fn become_fabric(stream: &impl AsFd) -> anyhow::Error {
    let settle = || -> Result<()> {
        standard_streams(stream, stream, &rustix::stdio::stderr())?;
        program::close_inherited();
        signals::unblock_all();
        // SAFETY: this process has a single thread, and shares no descriptor table.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
            .context("cannot make a mount namespace")?;
        enter(FABRIC_ROOT)?;
        rustix::process::setsid().context("cannot make a session")?;
        let rights = privileges::reduce(true, true, None)?;
        privileges::become_program(&rights).context("cannot drop capabilities")
    };
    match settle() {
        Ok(()) => std::process::Command::new(FABRIC_PROGRAM).exec().into(),
        Err(error) => error,
    }
}

/// Replaces the three standard streams.
fn standard_streams(stdin: &impl AsFd, stdout: &impl AsFd, stderr: &impl AsFd) -> Result<()> {
    dup2_stdin(stdin)
        .and_then(|()| dup2_stdout(stdout))
        .and_then(|()| dup2_stderr(stderr))
        .context("cannot set the standard streams")
}
