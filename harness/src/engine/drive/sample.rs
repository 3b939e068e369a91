//! How hard-pressed the host is.

use peerlab_core::event::HostCpu;
use peerlab_link::Nanos;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Where Linux tells what its CPUs did.
const STAT: &str = "/proc/stat";
/// Where Linux tells pressure stall information (kernel documentation, `accounting/psi`).
const CPU_PRESSURE: &str = "/proc/pressure/cpu";

/// Share of the last ten seconds in which some task waited for a CPU, percent. `None` where the
/// kernel does not tell.
pub fn cpu_pressure() -> Option<f64> {
    some_avg10(&std::fs::read_to_string(CPU_PRESSURE).ok()?)
}

/// CPU time taken on this machine so far, of which fabric, engine and the kernel's threads took so much.
pub fn host_cpu(no_others: Nanos) -> Option<HostCpu> {
    let (cpus, idle) = idle(&std::fs::read_to_string(STAT).ok()?)?;
    let now = nanos(clock_gettime(ClockId::Monotonic));
    Some(HostCpu {
        cpus,
        // The kernel counts idle time to the moment, and the time of short tasks by samples.
        busy: Nanos((now.0 * u64::from(cpus)).saturating_sub(idle.0)),
        own: no_others.saturating_add(nanos(clock_gettime(ClockId::ProcessCPUTime))),
    })
}

fn nanos(time: Timespec) -> Nanos {
    Nanos(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// From /proc/stat: how many CPUs there are, and how long they had nothing to do, together.
fn idle(text: &str) -> Option<(u32, Nanos)> {
    let numbered = |line: &&str| {
        let rest = line.strip_prefix("cpu");
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cpus = text.lines().filter(numbered).count();
    let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // user, nice, system, idle, iowait
    let mut fields = all.split_ascii_whitespace().skip(3);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let idle = ticks()?.checked_add(ticks()?)?;
    let tick_nanos = 1_000_000_000 / clock_ticks_per_second().max(1);
    Some((
        u32::try_from(cpus).ok()?,
        Nanos(idle.checked_mul(tick_nanos)?),
    ))
}

fn some_avg10(text: &str) -> Option<f64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let avg10 = some
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?;
    avg10.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_read_from_the_kernels_text() {
        let text = "some avg10=12.34 avg60=1.00 avg300=0.50 total=123\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(12.34));
        assert_eq!(some_avg10("nothing\n"), None);

        let text = "cpu  40255 7 4634 18895 364 0 27 41 0 0\n\
                    cpu0 19937 0 2001 10135 33 0 5 13 0 0\n\
                    cpu1 20317 7 2633 8760 331 0 21 27 0 0\nintr 5 4\ncpufreq 1\n";
        let ticks = Nanos(19_259 * (1_000_000_000 / clock_ticks_per_second()));
        assert_eq!(idle(text), Some((2, ticks)));
        assert_eq!(idle("cpu 1 2 3 4\n"), None);
    }

    #[test]
    fn what_this_process_computes_is_its_own() {
        let before = host_cpu(Nanos::ZERO).unwrap();
        let mut spent = before;
        while spent.own.0 < before.own.0 + 50_000_000 {
            spent = host_cpu(Nanos::ZERO).unwrap();
        }
        assert!(spent.busy > before.busy, "{before:?} {spent:?}");
        let fabric = Nanos::from_secs(1_000);
        assert!(host_cpu(fabric).unwrap().own > fabric);
    }
}
