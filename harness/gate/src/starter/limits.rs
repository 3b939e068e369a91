//! What a node may take of the machine at most, and who ends first where memory is short: nodes before
//! starter, fabric and harness.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use peerlab_link::proto::{NODE_OOM_SCORE, NODE_SHARED_MEMORY_MAX, NODE_TASKS_MAX};
use peerlab_link::starter::NodeSpec;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use crate::privileges;

/// Open files of each process of a node: what a container engine's host usually gives.
const FILES_MAX: u64 = 65_536;
/// Of a PID namespace whose numbers start over, these stay unused (`RESERVED_PIDS` in the kernel).
const PIDS_RESERVED: u32 = 300;
/// The first Linux in which each PID namespace has a `pid_max` of its own.
const OWN_PID_MAX: (u32, u32) = (6, 14);

/// Lets this process and its children have as many files open as they may: the usual 1,024 do not do
/// where each node has one or more.
pub fn raise_files_limit() {
    let files = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, starts beyond the limit are.
    let _ = setrlimit(Resource::Nofile, both(files));
}

/// Limits this process, which becomes a node's gate. The starter's /proc must still be there.
///
/// # Errors
/// As the kernel says.
pub fn set(spec: &NodeSpec) -> Result<()> {
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, FILES_MAX)?;
    if let Some(bytes) = spec.memory_bytes {
        limit(Resource::Data, bytes)?;
    }
    end_early()
}

/// Limits this process' namespaces, by its own /proc: in the starter's, which all nodes would share, the
/// kernel looks through the settings of all namespaces for those of one.
pub fn set_of_namespaces(proc: &Path) {
    let settings = proc.join("sys/kernel");
    let pages = NODE_SHARED_MEMORY_MAX / rustix::param::page_size() as u64;
    // Older kernels let only root do that.
    let _ = fs::write(settings.join("shmall"), pages.to_string());
    limit_tasks(&settings);
}

/// Lets the node's processes end before others where memory is short.
fn end_early() -> Result<()> {
    // What hides itself is root's in /proc, which an ordinary user's process cannot write to. Nobody else
    // is in the node yet.
    set_dumpable_behavior(DumpableBehavior::Dumpable).context("cannot show the gate")?;
    fs::write("/proc/self/oom_score_adj", NODE_OOM_SCORE.to_string())
        .context("cannot set the order in which processes end where memory is short")?;
    privileges::hide_gate()
}

/// Bounds the node's processes and threads together, where the kernel can. RLIMIT_NPROC cannot: it
/// counts all nodes' processes as one user's, so that a node with too many would take them from the
/// others, and is nothing to the machine's root.
fn limit_tasks(settings: &Path) {
    // In an older kernel this is the whole machine's, which root must not change here.
    let release = rustix::system::uname();
    if version(&release.release().to_string_lossy()) >= OWN_PID_MAX {
        // It is no worse than an older kernel where that is refused.
        let pid_max = PIDS_RESERVED + NODE_TASKS_MAX;
        let _ = fs::write(settings.join("pid_max"), pid_max.to_string());
    }
}

/// The first two numbers of a kernel's release; zero where there is none.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next())
}

/// Lowers a limit; what is lower already stays.
fn limit(resource: Resource, value: u64) -> Result<()> {
    let hard = getrlimit(resource).maximum;
    let value = hard.map_or(value, |hard| hard.min(value));
    setrlimit(resource, both(Some(value))).context("cannot set a limit")
}

/// A soft limit that is the hard one.
fn both(value: Option<u64>) -> Rlimit {
    Rlimit {
        current: value,
        maximum: value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_tells_its_version() {
        assert_eq!(version("6.18.44-generic"), (6, 18));
        assert_eq!(version("6.8-rc1+"), (6, 8));
        assert!(version("5.15.0") < OWN_PID_MAX && version("7.0.1") > OWN_PID_MAX);
        assert_eq!(version("?"), (0, 0));
    }
}
