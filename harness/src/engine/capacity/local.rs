//! What the local engine needs of this machine for each node.

use super::limit::{Capacity, Limit};
use super::{Load, Machine};

/// Memory of a node that works: its program, its gate, its namespaces and sockets in the kernel,
/// its data, and its part of the fabric's queues. Measured at 1,000 nodes with blocks and
/// transactions, rounded up.
const NODE_BYTES: u64 = 6 << 20;
/// Memory that harness and fabric take whatever the number of nodes.
const BASE_BYTES: u64 = 256 << 20;
/// The fabric's descriptors for a node: gate, network device, and connections to its ledger.
const NODE_FILES: u64 = 4;
/// The fabric's other descriptors.
const BASE_FILES: u64 = 64;
/// Processes and threads of a node.
const NODE_THREADS: u64 = 3;
/// Other processes and threads of a run.
const BASE_THREADS: u64 = 64;
/// Files that a node and the fabric watch for it: its sockets, timers, devices.
const NODE_WATCHES: u64 = 48;
/// Namespaces of each kind that a run has beside its nodes'.
const BASE_NAMESPACES: u64 = 2;

/// The local engine's capacity. Whether this machine allows namespaces at all is found out by
/// trying.
pub fn local(machine: &Machine, load: Load) -> Capacity {
    let threads = |left: u64| left.saturating_sub(BASE_THREADS) / NODE_THREADS;
    let namespaces = machine.namespaces.as_ref();
    let setting = namespaces.map_or("", |(setting, _)| setting);
    let counts = [
        Limit::of_count(
            "open files of a process",
            machine.open_files,
            |now| now.saturating_sub(BASE_FILES) / NODE_FILES,
            "sudo prlimit --pid $$ --nofile=1048576",
        ),
        Limit::of_count(
            "processes of this user",
            machine.user_processes,
            threads,
            "sudo prlimit --pid $$ --nproc=1048576",
        ),
        Limit::of_count(
            "processes left on this machine",
            machine.pids_left(),
            threads,
            "sudo sysctl kernel.pid_max=4194304 kernel.threads-max=4194304",
        ),
        Limit::of_count(
            "processes left in this control group",
            machine.group_pids_left,
            threads,
            "sudo systemctl set-property user-$(id -u).slice TasksMax=infinity",
        ),
        Limit::of_count(
            "namespaces of a kind",
            namespaces.map(|(_, now)| *now),
            |now| now.saturating_sub(BASE_NAMESPACES),
            &format!("sudo sysctl {setting}=65536"),
        ),
        Limit::of_count(
            "files watched with epoll",
            machine.epoll_watches,
            |now| now / NODE_WATCHES,
            "sudo sysctl fs.epoll.max_user_watches=8388608",
        ),
        machine
            .memory_free
            .map(|free| Limit::of_memory(free, NODE_BYTES, BASE_BYTES)),
    ];
    let mut limits = vec![load.limit(machine.cpus)];
    limits.extend(counts.into_iter().flatten());
    Capacity {
        engine: "the local engine".to_owned(),
        limits,
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_bounds_the_nodes() {
        let roomy = Machine {
            cpus: 64,
            memory_free: Some(1 << 40),
            open_files: Some(1 << 20),
            ..Machine::default()
        };
        let nodes = |machine: &Machine| {
            let capacity = local(machine, Load::default());
            let hard = capacity.limits.iter().filter(|limit| !limit.estimate);
            hard.map(|limit| limit.nodes).min().unwrap()
        };
        assert!(nodes(&roomy) > 100_000);
        for tight in [
            Machine {
                open_files: Some(1_024),
                ..roomy.clone()
            },
            Machine {
                memory_free: Some(2 << 30),
                ..roomy.clone()
            },
            Machine {
                user_processes: Some(1_000),
                ..roomy.clone()
            },
            Machine {
                group_pids_left: Some(1_000),
                ..roomy.clone()
            },
            Machine {
                pid_max: Some(1_000),
                ..roomy.clone()
            },
            Machine {
                namespaces: Some(("user.max_net_namespaces".into(), 100)),
                ..roomy.clone()
            },
            Machine {
                epoll_watches: Some(10_000),
                ..roomy.clone()
            },
        ] {
            assert!(nodes(&tight) < 400, "{tight:?}");
        }
    }
}
