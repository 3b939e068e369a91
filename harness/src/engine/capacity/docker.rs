//! What the Docker engine needs of its host for each node.

use super::limit::{Capacity, Limit};
use super::{Load, Machine};

/// Memory of a node's container that works: as under the local engine, with the engine's own
/// process for each container (a shim). Measured at 500 containers, which took 6 MB each with the
/// storage driver in user space, and rounded up: a container may write more than ours did.
const NODE_BYTES: u64 = 10 << 20;
/// What a storage driver in user space takes more for each container.
const USER_SPACE_STORAGE_BYTES: u64 = 2 << 20;
/// Memory that harness, fabric and engine take whatever the number of nodes.
const BASE_BYTES: u64 = 512 << 20;
/// The fabric's descriptors for a node, and its others: as under the local engine.
const NODE_FILES: u64 = 4;
const BASE_FILES: u64 = 64;
/// Processes and threads of a container: the node's, and its shim's.
const NODE_THREADS: u64 = 16;
/// Keys of a container: its session keyring.
const NODE_KEYS: u64 = 1;
/// Inotify instances that other programs of root have. Each container's shim has one where
/// control groups are of version 2.
const BASE_INOTIFY: u64 = 8;

/// What is known of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Daemon {
    pub version: String,
    /// Its storage driver.
    pub storage: String,
    /// CPUs of its host.
    pub cpus: u64,
    /// Memory of its host, bytes.
    pub memory: u64,
    /// Whether it runs as an ordinary user.
    pub rootless: bool,
    /// Files that its own process may have open, where it can be seen.
    pub open_files: Option<u64>,
    /// The machine that it runs on, where that is this one.
    pub machine: Option<Machine>,
}

/// The Docker engine's capacity.
pub fn docker(daemon: &Daemon, load: Load) -> Capacity {
    let host = daemon.machine.as_ref();
    let keys = host
        .filter(|_| daemon.rootless)
        .and_then(|machine| machine.keys);
    let unified = host.filter(|machine| machine.unified_groups);
    let counts = [
        Limit::of_count(
            "open files of a container",
            daemon.open_files,
            |now| now.saturating_sub(BASE_FILES) / NODE_FILES,
            "set LimitNOFILE=1048576 in the engine's service, and restart it",
        ),
        Limit::of_count(
            "processes left on this machine",
            host.and_then(Machine::pids_left),
            |now| now / NODE_THREADS,
            "sudo sysctl kernel.pid_max=4194304 kernel.threads-max=4194304",
        ),
        Limit::of_count(
            "kernel keys of a user",
            keys,
            |now| now / NODE_KEYS,
            "sudo sysctl kernel.keys.maxkeys=20000 kernel.keys.maxbytes=2000000",
        ),
        Limit::of_count(
            "inotify instances of a user",
            unified.and_then(|machine| machine.inotify_instances),
            |now| now.saturating_sub(BASE_INOTIFY),
            "sudo sysctl fs.inotify.max_user_instances=8192",
        ),
    ];
    let free = host
        .and_then(|machine| machine.memory_free)
        .unwrap_or(daemon.memory);
    let mut limits = vec![load.limit(daemon.cpus)];
    limits.extend(counts.into_iter().flatten());
    limits.push(Limit::of_memory(free, node_bytes(daemon), BASE_BYTES));
    Capacity {
        engine: format!("Docker Engine {}", daemon.version),
        limits,
        notes: notes(daemon),
    }
}

fn node_bytes(daemon: &Daemon) -> u64 {
    if in_user_space(&daemon.storage) {
        NODE_BYTES + USER_SPACE_STORAGE_BYTES
    } else {
        NODE_BYTES
    }
}

fn in_user_space(storage: &str) -> bool {
    storage.starts_with("fuse")
}

fn notes(daemon: &Daemon) -> Vec<String> {
    let mut notes = vec![format!("storage driver {}", daemon.storage)];
    if in_user_space(&daemon.storage) || daemon.storage == "vfs" {
        notes.push(
            "that driver makes containers slowly; overlay2 makes them about twice as fast"
                .to_owned(),
        );
    }
    if daemon.machine.is_none() {
        notes.push(
            "it runs on another machine or in a virtual one, whose kernel's limits cannot be seen"
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerlab_core::words;

    fn daemon() -> Daemon {
        Daemon {
            version: "29.0".into(),
            storage: "overlay2".into(),
            cpus: 8,
            memory: 64 << 30,
            machine: Some(Machine {
                memory_free: Some(48 << 30),
                keys: Some(200),
                inotify_instances: Some(128),
                ..Machine::default()
            }),
            ..Daemon::default()
        }
    }

    fn limit<'a>(capacity: &'a Capacity, what: &str) -> Option<&'a Limit> {
        capacity.limits.iter().find(|l| l.what.starts_with(what))
    }

    #[test]
    fn keys_bind_an_engine_of_an_ordinary_user_only() {
        let of = |rootless| {
            docker(
                &Daemon {
                    rootless,
                    ..daemon()
                },
                Load::default(),
            )
        };
        assert_eq!(limit(&of(true), "kernel keys").unwrap().nodes, 200);
        assert_eq!(limit(&of(false), "kernel keys"), None);
    }

    #[test]
    fn inotify_binds_on_unified_groups_only() {
        let mut daemon = daemon();
        assert_eq!(limit(&docker(&daemon, Load::default()), "inotify"), None);
        daemon.machine.as_mut().unwrap().unified_groups = true;
        let capacity = docker(&daemon, Load::default());
        assert_eq!(limit(&capacity, "inotify").unwrap().nodes, 120);
    }

    #[test]
    fn of_a_remote_engine_only_its_own_figures_are_known() {
        let remote = Daemon {
            machine: None,
            ..daemon()
        };
        let capacity = docker(&remote, Load::default());
        assert_eq!(capacity.limits.len(), 2);
        assert!(capacity.notes.iter().any(|n| n.contains("another machine")));
        assert_eq!(
            limit(&capacity, "memory").unwrap().now,
            words::bytes(64 << 30)
        );
    }
}
