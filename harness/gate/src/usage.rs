//! What the node's processes use, read from /proc. The gate's own use is not the node's.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::time::ClockId;
use peerlab_link::Nanos;
use peerlab_link::proto::NodeUsage;

use crate::device::DEVICE_NAME;
use crate::supervisor::Pid;

/// Processes of one node that are measured: a bound on the time it takes, far above any node.
const PROCESSES_MAX: usize = 4096;

/// Measures. `helper` is a process of the gate's own, to be left out.
pub fn measure(helper: Option<Pid>) -> NodeUsage {
    let device = fs::read_to_string("/proc/self/net/dev")
        .ok()
        .and_then(|text| device_counters(&text))
        .unwrap_or_default();
    let mut memory_bytes = 0;
    let mut cpu = ended_children_cpu();
    for pid in processes().filter(|&pid| Some(pid) != helper) {
        memory_bytes += memory(pid);
        cpu += living_cpu(pid);
    }
    NodeUsage {
        memory_bytes,
        cpu: Nanos(cpu),
        ..device
    }
}

/// The processes of this PID namespace but PID 1, which is the gate.
fn processes() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != 1)
        .take(PROCESSES_MAX)
}

/// Proportional set size, bytes; where the kernel does not show it, the resident set size.
fn memory(pid: Pid) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| proportional_bytes(&text))
        .or_else(|| resident_bytes(&fs::read_to_string(format!("/proc/{pid}/statm")).ok()?))
        .unwrap_or(0)
}

/// From smaps_rollup's `Pss: N kB`.
fn proportional_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// From statm's second number, pages.
fn resident_bytes(text: &str) -> Option<u64> {
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// CPU time of a living process and of its children that it has waited for, nanoseconds.
fn living_cpu(pid: Pid) -> u64 {
    let children_ticks = fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|text| waited_children_ticks(&text))
        .unwrap_or(0);
    let tick_nanos = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    process_clock(pid).unwrap_or(0) + children_ticks.saturating_mul(tick_nanos)
}

/// A process' own CPU clock, nanoseconds.
fn process_clock(pid: Pid) -> nix::Result<u64> {
    let time = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(pid))?.now()?;
    Ok(time.num_nanoseconds().cast_unsigned())
}

/// From `/proc/PID/stat`: cutime + cstime, the 16th and 17th field. The second is a name in
/// parentheses that may hold anything, so counting starts behind its end.
fn waited_children_ticks(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(13);
    // Signed in the format, though never negative.
    let user: i64 = fields.next()?.parse().ok()?;
    let system: i64 = fields.next()?.parse().ok()?;
    u64::try_from(user.checked_add(system)?).ok()
}

/// CPU time of all that the gate has reaped, and of their children, nanoseconds.
fn ended_children_cpu() -> u64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| {
        let time = usage.user_time() + usage.system_time();
        time.num_nanoseconds().cast_unsigned()
    })
}

/// From `/proc/net/dev`: what passed through the node's device, and what it dropped. Of each
/// direction there are eight figures: bytes, packets, errors, drops, and four more.
fn device_counters(text: &str) -> Option<NodeUsage> {
    let line = text
        .lines()
        .find_map(|l| l.trim_start().strip_prefix(DEVICE_NAME)?.strip_prefix(':'))?;
    let fields = line.split_ascii_whitespace();
    let fields: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let (received, sent) = (fields.get(..8)?, fields.get(8..16)?);
    Some(NodeUsage {
        rx_bytes: received[0],
        tx_bytes: sent[0],
        rx_dropped: received[3],
        tx_dropped: sent[3],
        ..NodeUsage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets ...\n    \
            lo:     111       2    0    0    0     0          0         0      333       4    0    0    0     0       0          0\n  \
            eth0: 1234567      20    0    5    0     0          0         0 7654321      30    0   17    0     0       0          0\n";
        let counted = NodeUsage {
            rx_bytes: 1_234_567,
            tx_bytes: 7_654_321,
            rx_dropped: 5,
            tx_dropped: 17,
            ..NodeUsage::default()
        };
        assert_eq!(device_counters(dev), Some(counted));
        assert_eq!(
            device_counters("eth01: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"),
            None
        );
        assert_eq!(device_counters("eth0: 1 2 3 4 5 6 7 8 9 10"), None);

        let rollup =
            "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:    2048 kB\nPss:    1500 kB\n";
        assert_eq!(proportional_bytes(rollup), Some(1500 * 1024));
        assert_eq!(proportional_bytes("Pss: many kB"), None);

        assert_eq!(
            resident_bytes("500 20 10 1 0 30 0"),
            Some(20 * rustix::param::page_size() as u64)
        );

        let stat = "17 (evil) 9 (x) S 1 17 17 0 -1 4194560 200 0 0 0 11 12 13 14 20 0 1 0 99";
        assert_eq!(waited_children_ticks(stat), Some(27));
        assert_eq!(waited_children_ticks("17 (x"), None);
    }

    #[test]
    fn this_process_has_a_clock() {
        let own = Pid::try_from(std::process::id()).unwrap();
        assert!(process_clock(own).unwrap() > 0);
        assert!(memory(own) > 100_000);
    }
}
