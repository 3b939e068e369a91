//! The engine's own processes on this machine, as far as this process sees any: by their names, since
//! behind a socket may be whoever made it (systemd), and containerd is another's child. What an engine
//! does for somebody else's containers counts as the run's; the programs in these do not.

use std::collections::BTreeSet;
use std::fs;

/// Those that serve all containers.
const DAEMONS: [&str; 3] = ["dockerd", "containerd", "podman"];
/// Those of which each container has one, as the kernel cuts their names off.
const OF_CONTAINERS: [&str; 3] = ["containerd-shim", "conmon", "fuse-overlayfs"];

/// The processes that serve all containers.
pub fn daemons() -> BTreeSet<i32> {
    named(&DAEMONS)
}

/// The processes that serve some container, be it another's.
pub fn of_containers() -> BTreeSet<i32> {
    named(&OF_CONTAINERS)
}

fn named(names: &[&str]) -> BTreeSet<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = processes.filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        names.contains(&name.trim_end()).then_some(pid)
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_whose_cpu_time_counts_are_found_by_name() {
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        let own = std::process::id().cast_signed();
        assert!(named(&["dockerd", name.trim_end()]).contains(&own));
        assert!(!named(&["dockerd"]).contains(&own));
    }
}
