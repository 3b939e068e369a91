//! What an engine says of itself, for the question what it can carry.

use crate::engine::hint;
use std::fs;

use bollard::Docker;

use super::connect;
use crate::engine::capacity::{Daemon, Machine, hard_limit};
use peerlab_core::error::{Explain, Result};

/// The engine's own process, as the kernel names it.
const DAEMON_NAME: &str = "dockerd";

/// Asks an engine about itself, and looks at its machine where that is this one.
///
/// # Errors
/// When it does not answer.
pub async fn daemon(docker: &Docker) -> Result<Daemon> {
    let info = docker.info().await.or_environment(
        || "cannot ask the engine about its host".into(),
        hint::DOCKER,
    )?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Behind a local socket there may still be a virtual machine.
    let here = connect::is_local() && info.kernel_version.as_deref() == Some(kernel.trim());
    let security = info.security_options.unwrap_or_default();
    Ok(Daemon {
        version: info.server_version.unwrap_or_default(),
        storage: info.driver.unwrap_or_default(),
        cpus: info.ncpu.and_then(|n| u64::try_from(n).ok()).unwrap_or(1),
        memory: info.mem_total.map_or(0, i64::unsigned_abs),
        rootless: security.iter().any(|option| option == "name=rootless"),
        open_files: here.then(open_files).flatten(),
        machine: here.then(Machine::read),
    })
}

/// Files that the engine's process may have open, which is what it gives to containers; unknown
/// where it cannot be seen, as from inside a container.
fn open_files() -> Option<u64> {
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        if name.trim() != DAEMON_NAME {
            return None;
        }
        let limits = fs::read_to_string(process.path().join("limits")).ok()?;
        hard_limit(&limits, "Max open files")
    })
}
