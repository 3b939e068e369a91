//! What the node's processes use, read from /proc; and, by itself, the CPU time of the gate, which is
//! not the node's.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use peerlab_link::Nanos;
use peerlab_link::proto::NodeUsage;

use crate::device::DEVICE_NAME;
use crate::proc::{self, Stat, read_once};
use crate::supervisor::Pid;

/// Processes of one node that are measured: a bound on the time it takes, far above any node.
const PROCESSES_MAX: usize = 4096;

/// Where the kernel tells of a thread how long it ran and how long it waited to run; here of the
/// gate's own, to see whether it does.
const OWN_SCHEDSTAT: &str = "/proc/self/schedstat";

/// Measures a node, again and again.
#[derive(Debug, Default)]
pub struct Meter {
    /// What each thread had waited for a CPU when it was last looked at, nanoseconds.
    threads: BTreeMap<Pid, u64>,
    /// What all threads together had, those that have ended included.
    waited: u64,
    /// What the gate had computed at [`Meter::go`], nanoseconds.
    gate_before: Option<u64>,
}

impl Meter {
    /// Time zero: what the gate computed before is not told.
    pub fn go(&mut self) {
        self.gate_before = gate_clock().ok();
    }

    /// Measures. `helper` is a process of the gate's own, to be left out. That the memory is not looked at
    /// where nobody wants to know it is for speed alone: the kernel looks at every page.
    pub fn measure(&mut self, helper: Option<Pid>, memory: bool) -> NodeUsage {
        let device = read_once("/proc/self/net/dev", device_counters).unwrap_or_default();
        let mut memory_bytes = memory.then_some(0);
        let mut cpu = ended_children_cpu();
        let mut threads = BTreeMap::new();
        let processes = proc::processes().take(PROCESSES_MAX);
        for pid in processes.filter(|&pid| Some(pid) != helper) {
            memory_bytes = memory_bytes.map(|sum| sum + memory_of(pid));
            cpu += living_cpu(pid);
            threads.extend(thread_waits(pid));
        }
        self.waited += waited_since(&self.threads, &threads);
        self.threads = threads;
        NodeUsage {
            memory_bytes,
            cpu: Nanos(cpu),
            waited: fs::exists(OWN_SCHEDSTAT)
                .is_ok_and(|exists| exists)
                .then_some(Nanos(self.waited)),
            gate_cpu: Nanos(self.gate_since_go().unwrap_or(0)),
            ..device
        }
    }

    fn gate_since_go(&self) -> Option<u64> {
        gate_clock().ok()?.checked_sub(self.gate_before?)
    }
}

/// What a process' threads have waited for a CPU, nanoseconds.
fn thread_waits(pid: Pid) -> impl Iterator<Item = (Pid, u64)> {
    proc::threads(pid).filter_map(|(thread, folder)| {
        let waited = read_once(format!("{folder}/schedstat"), run_delay)?;
        Some((thread, waited))
    })
}

/// From schedstat's second number, nanoseconds.
fn run_delay(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What threads have waited since they were last looked at. One that has waited less than it had
/// is another of the same number.
fn waited_since(before: &BTreeMap<Pid, u64>, now: &BTreeMap<Pid, u64>) -> u64 {
    let since = |(thread, waited): (&Pid, &u64)| {
        let before = before.get(thread).copied().unwrap_or(0);
        waited.checked_sub(before).unwrap_or(*waited)
    };
    now.iter().map(since).sum()
}

/// Proportional set size, bytes; where the kernel does not show it, the resident set size.
fn memory_of(pid: Pid) -> u64 {
    read_once(format!("/proc/{pid}/smaps_rollup"), proportional_bytes)
        .or_else(|| read_once(format!("/proc/{pid}/statm"), resident_bytes))
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
    let children_ticks = Stat::of(&format!("/proc/{pid}")).map_or(0, |stat| stat.children_ticks);
    let tick_nanos = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    process_clock(pid).unwrap_or(0) + children_ticks.saturating_mul(tick_nanos)
}

/// A process' own CPU clock, nanoseconds.
fn process_clock(pid: Pid) -> nix::Result<u64> {
    let time = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(pid))?.now()?;
    Ok(nanos(time))
}

/// The gate's own, nanoseconds.
fn gate_clock() -> nix::Result<u64> {
    Ok(nanos(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?))
}

fn nanos(time: impl TimeValLike) -> u64 {
    time.num_nanoseconds().cast_unsigned()
}

/// CPU time of all that the gate has reaped, and of their children, nanoseconds.
fn ended_children_cpu() -> u64 {
    getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(0, |usage| nanos(usage.user_time() + usage.system_time()))
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

        assert_eq!(run_delay("51834 2746617 33\n"), Some(2_746_617));
        assert_eq!(run_delay("51834"), None);
    }

    #[test]
    fn threads_that_come_go_and_take_a_former_ones_number_are_counted() {
        let at = |threads: &[(Pid, u64)]| threads.iter().copied().collect();
        let since = |before, now| waited_since(&at(before), &at(now));
        assert_eq!(since(&[], &[(7, 5)]), 5);
        assert_eq!(since(&[(7, 5)], &[(7, 9), (8, 1)]), 5);
        assert_eq!(since(&[(7, 5), (8, 1)], &[(8, 1)]), 0);
        assert_eq!(since(&[(7, 5)], &[(7, 2)]), 2);
    }

    #[test]
    fn this_process_has_a_clock() {
        let own = Pid::try_from(std::process::id()).unwrap();
        assert!(process_clock(own).unwrap() > 0);
        assert!(memory_of(own) > 100_000);
    }
}
