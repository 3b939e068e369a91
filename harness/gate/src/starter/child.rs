//! A child of the starter on its way to becoming the fabric or a node's gate.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use peerlab_link::starter::{DATA_DIR, NodeSpec};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::UnshareFlags;

use super::roots::{
    FABRIC_PROGRAM, FABRIC_ROOT, NODE_ROOT, enter, mount_memory, mount_proc, restricted,
};
use super::{image, logs};
use crate::args::{self, Args};
use crate::{gate, privileges, program, signals};

/// Bytes of a node's /tmp.
const TMP_BYTES_MAX: u64 = 64 << 20;
/// Open files of each process of a node: what a container engine's host usually gives.
const NODE_FILES_MAX: u64 = 65_536;
/// Exit code of a child that did not become what it was to be.
const EXIT_FAILED: i32 = 1;

/// Makes a child in a PID namespace of its own, which becomes a node's gate.
///
/// # Errors
/// When the kernel makes no process.
pub fn start_node(spec: &NodeSpec) -> io::Result<libc::pid_t> {
    // SAFETY: like fork, with a PID namespace; this process has a single thread.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::CLONE_NEWPID | libc::SIGCHLD,
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::null_mut::<libc::c_int>(),
            std::ptr::null_mut::<libc::c_int>(),
            0,
        )
    };
    match pid {
        0 => std::process::exit(become_gate(spec)),
        pid if pid > 0 => Ok(pid as libc::pid_t),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The rest of the gate's life; gives its exit code.
fn become_gate(spec: &NodeSpec) -> i32 {
    match settle(spec) {
        Ok(()) => gate::run(Args {
            node: spec.node,
            socket: args::socket(),
            data: Some(PathBuf::from(DATA_DIR)),
            user: None,
            drop_all_caps: true,
            confine: true,
            workdir: spec.workdir.as_ref().map(PathBuf::from),
            command: spec.command.iter().map(OsString::from).collect(),
        }),
        Err(error) => {
            gate::log(&format!("{error:#}"));
            EXIT_FAILED
        }
    }
}

/// Makes the node's namespaces and root this process' own.
fn settle(spec: &NodeSpec) -> Result<()> {
    let log = logs::create(spec.node)?;
    let null = OpenOptions::new()
        .read(true)
        .open(format!("{NODE_ROOT}/dev/null"))
        .context("cannot open /dev/null")?;
    standard_streams(&null, &log, &log)?;
    drop((null, log));
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
    let root = match spec.image {
        None => NODE_ROOT,
        Some(image) => image::mount_root(image, spec.data_bytes_max)?,
    };
    mount_proc(&format!("{root}/proc"))?;
    mount_memory(&format!("{root}/tmp"), TMP_BYTES_MAX, restricted())?;
    mount_memory(
        &format!("{root}{DATA_DIR}"),
        spec.data_bytes_max,
        restricted(),
    )?;
    enter(root)?;
    set_environment(spec);
    rustix::system::sethostname(spec.name.as_bytes()).context("cannot set the host name")?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, NODE_FILES_MAX)?;
    if let Some(bytes) = spec.memory_bytes {
        limit(Resource::Data, bytes)?;
    }
    Ok(())
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
        let files = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: files,
                maximum: files,
            },
        );
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

/// Lowers a limit; what is lower already stays.
fn limit(resource: Resource, value: u64) -> Result<()> {
    let value = Some(
        getrlimit(resource)
            .maximum
            .map_or(value, |hard| hard.min(value)),
    );
    setrlimit(
        resource,
        Rlimit {
            current: value,
            maximum: value,
        },
    )
    .context("cannot set a limit")
}
