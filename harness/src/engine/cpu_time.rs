//! CPU time of processes of this machine that tell it to nobody: those that an engine keeps for a run
//! beside fabric and gates (who they are is the engine's affair), and the kernel's own threads. Any user
//! may read this of any process that it sees.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};

use peerlab_link::Nanos;

/// Some processes, by their numbers.
#[derive(Debug, Default)]
pub struct Processes(Mutex<Sum>);

#[derive(Debug, Default)]
struct Sum {
    /// What each had taken when it was last looked at.
    living: BTreeMap<i32, Nanos>,
    /// What those had taken that have ended.
    ended: Nanos,
}

impl Processes {
    /// Adds those that are not among them.
    pub fn add(&self, pids: impl IntoIterator<Item = i32>) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for pid in pids {
            sum.living.entry(pid).or_default();
        }
    }

    /// What they have taken since each was started, together.
    pub fn cpu(&self) -> Nanos {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Sum { living, ended } = &mut *sum;
        living.retain(|pid, cpu| match cpu_of(*pid) {
            // Less than it had: another process of the same number.
            Some(now) if now >= *cpu => {
                *cpu = now;
                true
            }
            _ => {
                *ended = ended.saturating_add(*cpu);
                false
            }
        });
        living.values().copied().fold(*ended, Nanos::saturating_add)
    }
}

/// The kernel's own threads. They write other programs' files and receive the run's packets, and are
/// nobody's program.
#[derive(Debug, Default)]
pub struct KernelThreads(Processes);

/// The parent of all of them.
const KTHREADD: i32 = 2;

impl KernelThreads {
    /// What they have taken, together, as far as this process sees them: in a container it may see none.
    pub fn cpu(&self) -> Nanos {
        self.0.add(kernel_threads());
        self.0.cpu()
    }
}

/// Those that there are, from one file where there may be thousands of other processes.
fn kernel_threads() -> Vec<i32> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{KTHREADD}/{name}"));
    if read("comm").is_ok_and(|name| name == "kthreadd\n") {
        let children = read(&format!("task/{KTHREADD}/children")).unwrap_or_default();
        let pids = children.split_ascii_whitespace();
        pids.filter_map(|pid| pid.parse().ok()).collect()
    } else {
        Vec::new()
    }
}

/// All threads of a process, those that have ended included.
#[cfg(target_os = "linux")]
fn cpu_of(pid: i32) -> Option<Nanos> {
    use nix::sys::time::TimeValLike as _;
    let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(pid)).ok()?;
    let time = clock.now().ok()?;
    Some(Nanos(time.num_nanoseconds().cast_unsigned()))
}

#[cfg(not(target_os = "linux"))]
fn cpu_of(_pid: i32) -> Option<Nanos> {
    None
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn busy_loop() -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "while :; do :; done"]);
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn what_a_process_took_is_seen_and_stays_when_it_has_ended() {
        let processes = Processes::default();
        assert_eq!(processes.cpu(), Nanos::ZERO);
        let mut child = busy_loop();
        let pid = child.id().cast_signed();
        processes.add([pid]);
        let mut seen = Nanos::ZERO;
        while seen < Nanos::from_millis(50) {
            seen = processes.cpu();
            processes.add([pid]);
        }
        assert!(
            seen < Nanos::from_secs(10),
            "counted again and again: {seen:?}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        let ended = processes.cpu();
        assert!(ended >= seen);
        assert_eq!(processes.cpu(), ended);
    }

    #[test]
    fn threads_of_the_kernel_are_seen_and_no_others() {
        let threads = kernel_threads();
        let is_thread = |pid: i32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.is_empty())
        };
        let seen = fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n");
        assert_eq!(!threads.is_empty(), seen);
        // One may end meanwhile.
        assert!(threads.iter().filter(|pid| is_thread(**pid)).count() * 2 >= threads.len());
        assert!(!threads.contains(&std::process::id().cast_signed()));
        assert_eq!(KernelThreads::default().cpu() > Nanos::ZERO, seen);
    }
}
