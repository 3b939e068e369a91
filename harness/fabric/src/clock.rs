//! The one clock of a run: nanoseconds since `go`, from the kernel's monotonic clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peerlab_link::Nanos;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Before `go` there is no time.
const NOT_YET: u64 = u64::MAX;

/// Shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// The monotonic instant of `go`.
    go: Arc<AtomicU64>,
}

impl Clock {
    /// A clock that stands at zero until [`Clock::start`].
    pub(crate) fn new() -> Clock {
        Clock {
            go: Arc::new(AtomicU64::new(NOT_YET)),
        }
    }

    /// Makes this instant time zero. Returns the wall clock's nanoseconds since the Unix epoch.
    pub(crate) fn start(&self) -> u64 {
        let unix = nanos(clock_gettime(ClockId::Realtime));
        self.go.store(monotonic(), Ordering::Release);
        unix
    }

    /// Time since `go`; zero before it.
    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        match self.go.load(Ordering::Acquire) {
            NOT_YET => Nanos::ZERO,
            go => Nanos(monotonic().saturating_sub(go)),
        }
    }

    /// Whether `go` has been.
    pub(crate) fn is_running(&self) -> bool {
        self.go.load(Ordering::Acquire) != NOT_YET
    }

    /// An instant of this clock on the kernel's monotonic clock, for timers.
    pub(crate) fn deadline(&self, at: Nanos) -> Timespec {
        let instant = self.go.load(Ordering::Acquire).saturating_add(at.0);
        Timespec {
            tv_sec: (instant / 1_000_000_000) as i64,
            tv_nsec: (instant % 1_000_000_000) as i64,
        }
    }
}

/// CPU time of this process, all threads.
pub(crate) fn own_cpu() -> Nanos {
    Nanos(nanos(clock_gettime(ClockId::ProcessCPUTime)))
}

fn monotonic() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

fn nanos(t: Timespec) -> u64 {
    (t.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(t.tv_nsec as u64)
}
