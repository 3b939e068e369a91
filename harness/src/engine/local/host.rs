//! What this machine is, for the record.

use std::fs;

use crate::engine::capacity::Machine;
use peerlab_core::event::HostFacts;

/// This machine. What cannot be read is left empty.
pub fn facts() -> HostFacts {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    HostFacts {
        os: os_name(&read("/etc/os-release")),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpus: std::thread::available_parallelism().map_or(0, |n| n.get() as u32),
        memory_bytes: Machine::read().memory.unwrap_or(0),
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..HostFacts::default()
    }
}

fn os_name(release: &str) -> String {
    let line = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernels_texts() {
        assert_eq!(
            os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"),
            "Debian GNU/Linux 12"
        );
        assert_eq!(os_name(""), "");
    }
}
