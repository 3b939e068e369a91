//! What an engine says of itself and of its host, and whether that is this machine.

use std::fs;

use bollard::Docker;
use bollard::models::SystemInfo;

use super::target::{Address, Target};
use super::timeouts::in_time;
use crate::engine::capacity::{Daemon, Machine, hard_limit};
use crate::engine::hint;
use crate::engine::programs::{PROGRAMS_VARIABLE, Programs};
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::event::HostFacts;

/// The engine's own process, as the kernel names it.
const DAEMON_NAME: &str = "dockerd";

/// An engine's host.
#[derive(Clone, Debug)]
pub struct Host {
    info: Box<SystemInfo>,
    /// Whether it is this machine: only then do this machine's figures say anything of the nodes.
    pub is_here: bool,
}

impl Host {
    /// Asks an engine that was found at a target.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(docker: &Docker, target: &Target) -> Result<Host> {
        let info = in_time(docker.info()).await.or_environment(
            || "cannot ask the engine about its host".into(),
            hint::DOCKER,
        )?;
        let by_socket = matches!(target.address, Address::Socket(_));
        Ok(Host {
            is_here: Here::read().is_host_of(&info, by_socket),
            info: Box::new(info),
        })
    }

    /// Whether the host can run our programs, which were built for one kind of processor.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn admit(&self, programs: &Programs) -> Result<()> {
        let theirs = match self.info.architecture.as_deref() {
            Some("amd64") => Some("x86_64"),
            Some("arm64") => Some("aarch64"),
            other => other,
        };
        match (theirs, programs.architecture()) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(Error::environment(
                "the engine's host cannot run Peerlab's programs",
                format!("it is {theirs}, and they are for {ours}"),
                format!(
                    "build them on a machine of its kind, and name their folder in {PROGRAMS_VARIABLE}"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// For the record.
    pub fn facts(&self) -> HostFacts {
        let info = self.info.clone();
        HostFacts {
            os: info.operating_system.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            memory_bytes: info.mem_total.map_or(0, i64::unsigned_abs),
            engine_version: info.server_version.unwrap_or_default(),
            ..HostFacts::default()
        }
    }

    /// For the question what it can carry; looks at this machine where that is the host.
    pub fn daemon(&self) -> Daemon {
        let facts = self.facts();
        let security = self.info.security_options.iter().flatten();
        Daemon {
            version: facts.engine_version,
            storage: self.info.driver.clone().unwrap_or_default(),
            cpus: facts.cpus.into(),
            memory: facts.memory_bytes,
            rootless: security.into_iter().any(|option| option == "name=rootless"),
            open_files: self.is_here.then(open_files).flatten(),
            machine: self.is_here.then(Machine::read),
        }
    }
}

/// What this machine is, as engines tell it of theirs.
#[derive(Debug)]
struct Here {
    kernel: String,
    memory: Option<u64>,
    name: String,
}

impl Here {
    fn read() -> Here {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Here {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory: Machine::read().memory,
            name: read("/proc/sys/kernel/hostname").trim().to_owned(),
        }
    }

    /// Whether an engine runs here, or this process in a container of it. A virtual machine has a kernel
    /// or at least memory of its own, also behind a socket of this machine; and another machine of one
    /// make with this one, which is not behind a socket, has another name.
    fn is_host_of(&self, info: &SystemInfo, by_socket: bool) -> bool {
        let memory = info.mem_total.map(i64::unsigned_abs);
        let is_named_so = info.name.as_deref() == Some(&self.name);
        info.kernel_version.as_deref() == Some(&self.kernel)
            && memory.is_some()
            && memory == self.memory
            && (by_socket || is_named_so)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What an engine says of a host with this kernel, memory and name.
    fn info(kernel: &str, memory: i64, name: &str) -> SystemInfo {
        SystemInfo {
            kernel_version: Some(kernel.into()),
            mem_total: Some(memory),
            name: Some(name.into()),
            ncpu: Some(4),
            driver: Some("overlay2".into()),
            security_options: Some(vec!["name=seccomp".into(), "name=rootless".into()]),
            ..SystemInfo::default()
        }
    }

    #[test]
    fn an_engine_in_a_virtual_machine_or_on_another_one_is_not_here() {
        let here = Here {
            kernel: "6.1.0-18-amd64".into(),
            memory: Some(16_000_000_000),
            name: "desk".into(),
        };
        let own = ("6.1.0-18-amd64", 16_000_000_000);
        for (told, by_socket, is_here) in [
            (info(own.0, own.1, "desk"), true, true),
            // By a port of this machine.
            (info(own.0, own.1, "desk"), false, true),
            // This process is in a container that has the engine's socket.
            (info(own.0, own.1, "desk-outside"), true, true),
            // Docker Desktop.
            (
                info("6.6.12-linuxkit", 8_000_000_000, "docker-desktop"),
                true,
                false,
            ),
            // A virtual machine of the same distribution, and one that even has this one's name.
            (info(own.0, 8_000_000_000, "vm"), true, false),
            (info(own.0, 8_000_000_000, "desk"), false, false),
            // The same model in the next rack.
            (info(own.0, own.1, "desk-2"), false, false),
            (SystemInfo::default(), true, false),
        ] {
            assert_eq!(here.is_host_of(&told, by_socket), is_here, "{told:?}");
        }
        // Where there is no /proc nothing is known of this machine.
        let elsewhere = Here {
            kernel: String::new(),
            memory: None,
            name: String::new(),
        };
        assert!(!elsewhere.is_host_of(&SystemInfo::default(), true));
    }

    #[test]
    fn nothing_of_this_machine_is_told_of_another_host() {
        let host = |is_here| Host {
            info: Box::new(info("6.6.12-linuxkit", 8 << 30, "docker-desktop")),
            is_here,
        };
        let remote = host(false).daemon();
        assert_eq!((remote.machine, remote.open_files), (None, None));
        assert_eq!((remote.cpus, remote.memory), (4, 8 << 30));
        assert!(remote.rootless);
        assert!(host(true).daemon().machine.is_some());
    }

    #[test]
    fn a_host_of_another_processor_is_refused() {
        let of = |architecture: &str| Host {
            info: Box::new(SystemInfo {
                architecture: Some(architecture.into()),
                ..SystemInfo::default()
            }),
            is_here: false,
        };
        // Programs for this machine: this one.
        let own = std::env::current_exe().unwrap();
        let programs = Programs {
            node: own.clone(),
            fabric: own.clone(),
            gate: own,
        };
        let (ours, other) = match std::env::consts::ARCH {
            "x86_64" => (["x86_64", "amd64"], "arm64"),
            _ => (["aarch64", "arm64"], "amd64"),
        };
        for ours in ours {
            assert_eq!(of(ours).admit(&programs), Ok(()));
        }
        let text = of(other).admit(&programs).unwrap_err().render();
        assert!(text.contains("cannot run Peerlab's programs"), "{text}");
    }
}
