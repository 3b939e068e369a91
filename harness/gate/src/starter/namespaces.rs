//! The starter's own namespaces: a user namespace in which it is root, and a PID namespace whose
//! end is the end of everything.

use std::fs;
use std::io;

use anyhow::{Context as _, Result};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};
use rustix::thread::UnshareFlags;

use crate::user_namespace::{self, Known};

/// As `nice(2)` counts.
const GREATEST_NICENESS: &str = "19";

/// Enters fresh namespaces as the only user that is known in them. Returns in a child that is
/// PID 1 there, with its number outside; the calling process stays outside, waits for it, and ends
/// with its exit code.
///
/// # Errors
/// When the kernel, or who confines this process, allows no user namespaces.
pub fn enter() -> Result<libc::pid_t> {
    let others = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    user_namespace::enter(others, Known::AsRoot)?;
    // SAFETY: this process has a single thread, so the child may do what any program may.
    match unsafe { libc::fork() } {
        0 => {}
        inner if inner > 0 => wait_outside(inner),
        _ => return Err(io::Error::last_os_error()).context("cannot make a process"),
    }
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot follow the parent")?;
    yield_to_the_fabric()?;
    number_outside().context("cannot read /proc/self")
}

/// As long as /proc is that of the namespace that was left.
fn number_outside() -> Result<libc::pid_t> {
    let number = fs::read_link("/proc/self")?;
    Ok(number.to_string_lossy().parse()?)
}

/// Begins a session, whose processes together (all gates and nodes; the fabric begins its own)
/// weigh little where the kernel shares the CPU out by session (autogroup). What a node's program
/// does for where it shares by process: see [`crate::program`].
fn yield_to_the_fabric() -> Result<()> {
    rustix::process::setsid().context("cannot make a session")?;
    // Kernels without autogroups have no such file.
    let _ = fs::write("/proc/self/autogroup", GREATEST_NICENESS);
    Ok(())
}

/// The process outside: holds no socket, so that their ends are seen, and waits.
fn wait_outside(inner: libc::pid_t) -> ! {
    crate::program::close_inherited();
    let ended = retry_on_intr(|| waitpid(Pid::from_raw(inner), WaitOptions::empty()));
    let code = ended
        .ok()
        .flatten()
        .and_then(|(_, status)| status.exit_status());
    std::process::exit(code.unwrap_or(1))
}
