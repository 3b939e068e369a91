//! What the kernel says of this machine's limits. Reads files under /proc and /sys only; where
//! one is missing, as on another system than Linux, that limit is unknown.

use std::fs;
use std::path::{Path, PathBuf};

/// The limits of this machine as far as they bear on nodes; `None` where unknown or unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cpus: u64,
    /// Bytes of memory that programs can still have: the kernel's own estimate, or what is left
    /// under this process' control group where that is less.
    pub memory_free: Option<u64>,
    /// Bytes of memory in all.
    pub memory: Option<u64>,
    /// Files that a process may have open, at most (hard limit).
    pub open_files: Option<u64>,
    /// Processes and threads of this user (hard limit).
    pub user_processes: Option<u64>,
    /// Numbers that the kernel gives to processes and threads.
    pub pid_max: Option<u64>,
    /// Threads of the whole machine.
    pub threads_max: Option<u64>,
    /// Processes and threads that exist now.
    pub threads: u64,
    /// Processes and threads that this process' control group may still have.
    pub group_pids_left: Option<u64>,
    /// Network, mount, IPC, UTS or PID namespaces, whichever may be fewest: its setting and value.
    pub namespaces: Option<(String, u64)>,
    /// Files that one user may watch with epoll.
    pub epoll_watches: Option<u64>,
    /// Inotify instances of one user.
    pub inotify_instances: Option<u64>,
    /// Keys of a user that is not root.
    pub keys: Option<u64>,
    /// Whether control groups are of version 2.
    pub unified_groups: bool,
}

/// Namespaces of which each node has one.
const NODE_NAMESPACES: [&str; 5] = ["net", "mnt", "pid", "ipc", "uts"];
/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

impl Machine {
    pub fn read() -> Machine {
        Machine::read_with(|path| fs::read_to_string(path).ok())
    }

    /// See [`Machine::read`]; `read` gives a file's text.
    fn read_with(read: impl Fn(&str) -> Option<String>) -> Machine {
        let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
        let meminfo = read("/proc/meminfo").unwrap_or_default();
        let limits = read("/proc/self/limits").unwrap_or_default();
        let unified_groups = read(&format!("{GROUPS}/cgroup.controllers")).is_some();
        let groups = read("/proc/self/cgroup").unwrap_or_default();
        let left = |controller, most, used| left_in(&groups, &read, controller, most, used);
        Machine {
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            memory_free: least([
                kilobytes(&meminfo, "MemAvailable:"),
                left("", "memory.max", "memory.current"),
                left("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
            ]),
            memory: kilobytes(&meminfo, "MemTotal:"),
            open_files: hard_limit(&limits, "Max open files"),
            user_processes: hard_limit(&limits, "Max processes"),
            pid_max: number("/proc/sys/kernel/pid_max"),
            threads_max: number("/proc/sys/kernel/threads-max"),
            threads: read("/proc/loadavg").map_or(0, |text| tasks(&text)),
            group_pids_left: least(["", "pids"].map(|c| left(c, "pids.max", "pids.current"))),
            namespaces: NODE_NAMESPACES
                .iter()
                .filter_map(|kind| {
                    let setting = format!("user.max_{kind}_namespaces");
                    let value = number(&format!("/proc/sys/user/max_{kind}_namespaces"))?;
                    Some((setting, value))
                })
                .min_by_key(|(_, value)| *value),
            epoll_watches: number("/proc/sys/fs/epoll/max_user_watches"),
            inotify_instances: number("/proc/sys/fs/inotify/max_user_instances"),
            keys: number("/proc/sys/kernel/keys/maxkeys"),
            unified_groups,
        }
    }

    /// Processes and threads that the whole machine can still have.
    pub fn pids_left(&self) -> Option<u64> {
        let most = least([self.pid_max, self.threads_max])?;
        Some(most.saturating_sub(self.threads))
    }
}

/// The least that any of this process' control groups and those above them leaves; `groups` is as in
/// `/proc/self/cgroup`, and `controller` is empty for version 2.
fn left_in(
    groups: &str,
    read: impl Fn(&str) -> Option<String>,
    controller: &str,
    most: &str,
    used: &str,
) -> Option<u64> {
    let own = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let mut controllers = controllers.split(',');
        controllers.any(|c| c == controller).then_some(path)
    })?;
    let root: PathBuf = [GROUPS, controller].iter().collect();
    let number = |folder: &Path, name: &str| {
        let path = folder.join(name);
        read(path.to_str()?)?.trim().parse::<u64>().ok()
    };
    let left = Path::new(own).ancestors().map(|group| {
        let folder = root.join(group.strip_prefix("/").unwrap_or(group));
        let most = number(&folder, most)?;
        Some(most.saturating_sub(number(&folder, used).unwrap_or(0)))
    });
    least(left)
}

/// The least of those that are known.
fn least(values: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    values.into_iter().flatten().min()
}

/// The most memory that this process ever had, where the kernel tells.
pub fn peak_memory_bytes() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// A line of `/proc/meminfo` or of a process' `status`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The hard limit in a line of `/proc/PID/limits`; `None` where it is unlimited.
pub fn hard_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Processes and threads, from `/proc/loadavg`: `0.00 0.01 0.05 1/234 5678`.
fn tasks(loadavg: &str) -> u64 {
    let field = loadavg.split_ascii_whitespace().nth(3);
    field
        .and_then(|field| field.split_once('/')?.1.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Machine {
        Machine::read_with(|path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn limits_are_read_from_the_kernels_texts() {
        let limits = "Limit            Soft Limit  Hard Limit  Units\n\
                      Max processes    100         200         processes\n\
                      Max open files   1024        524288      files\n";
        let read = machine(&[
            (
                "/proc/meminfo",
                "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n",
            ),
            ("/proc/self/limits", limits),
            ("/proc/sys/kernel/pid_max", "32768\n"),
            ("/proc/sys/kernel/threads-max", "5000\n"),
            ("/proc/loadavg", "0.1 0.2 0.3 2/1000 77\n"),
            ("/proc/sys/user/max_net_namespaces", "70\n"),
            ("/proc/sys/user/max_uts_namespaces", "80\n"),
        ]);
        assert_eq!(read.memory_free, Some(1 << 20));
        assert_eq!(read.memory, Some(4 << 20));
        assert_eq!(read.open_files, Some(524_288));
        assert_eq!(read.user_processes, Some(200));
        assert_eq!(read.pids_left(), Some(4_000));
        let namespaces = ("user.max_net_namespaces".to_owned(), 70);
        assert_eq!(read.namespaces, Some(namespaces));
    }

    #[test]
    fn what_is_unlimited_or_missing_is_unknown() {
        let limits = "Max open files   unlimited   unlimited   files\n";
        let read = machine(&[("/proc/self/limits", limits)]);
        assert_eq!(read.open_files, None);
        assert_eq!(read.pids_left(), None);
        assert_eq!(read.memory_free, None);
    }

    #[test]
    fn a_control_group_above_counts_as_well() {
        let unified = machine(&[
            ("/sys/fs/cgroup/cgroup.controllers", "memory pids"),
            ("/proc/self/cgroup", "0::/user.slice/me\n"),
            ("/sys/fs/cgroup/user.slice/pids.max", "500\n"),
            ("/sys/fs/cgroup/user.slice/pids.current", "100\n"),
            ("/sys/fs/cgroup/user.slice/me/pids.max", "max\n"),
            ("/sys/fs/cgroup/user.slice/me/memory.max", "1000\n"),
            ("/proc/meminfo", "MemAvailable: 1024 kB\n"),
        ]);
        assert!(unified.unified_groups);
        assert_eq!(unified.group_pids_left, Some(400));
        assert_eq!(unified.memory_free, Some(1000));

        let old = machine(&[
            ("/proc/self/cgroup", "8:pids:/me\n0::/\n"),
            ("/sys/fs/cgroup/pids/me/pids.max", "50\n"),
        ]);
        assert!(!old.unified_groups);
        assert_eq!(old.group_pids_left, Some(50));
    }
}
