//! The run's one clock: nanoseconds since the fabric carried out `Go`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerlab_link::Nanos;
use tokio::time::Instant;

/// Maps this process' monotonic clock to the run's.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    zero: Instant,
}

impl RunClock {
    /// From what the fabric said. `sent` is when `Go` was sent. On one machine the wall clock
    /// tells when time zero was; a fabric on another machine may have another wall clock, so
    /// time zero is put between `sent` and now in any case.
    pub fn new(zero_unix_nanos: u64, sent: Instant) -> RunClock {
        let now = Instant::now();
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let ago = unix.saturating_sub(Duration::from_nanos(zero_unix_nanos));
        let zero = now.checked_sub(ago).unwrap_or(sent);
        RunClock {
            zero: zero.clamp(sent, now),
        }
    }

    /// This moment.
    pub fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// A moment of this process.
    pub fn at(&self, instant: Instant) -> Nanos {
        Nanos(instant.saturating_duration_since(self.zero).as_nanos() as u64)
    }

    /// When a moment of the run is.
    pub fn instant(&self, t: Nanos) -> Instant {
        self.zero + Duration::from(t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix_nanos() -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64
    }

    #[test]
    fn one_wall_clock_gives_time_zero_to_the_moment() {
        let sent = Instant::now() - Duration::from_secs(2);
        let clock = RunClock::new(unix_nanos() - 1_000_000_000, sent);
        let t = clock.now().as_secs_f64();
        assert!((1.0..1.9).contains(&t), "{t}");
        assert_eq!(clock.at(clock.instant(Nanos(77))), Nanos(77));
    }

    #[test]
    fn a_foreign_wall_clock_cannot_move_time_zero_out_of_the_known_interval() {
        let sent = Instant::now();
        for foreign in [0, u64::MAX] {
            let clock = RunClock::new(foreign, sent);
            assert!(clock.instant(Nanos::ZERO) >= sent);
            assert!(clock.instant(Nanos::ZERO) <= Instant::now());
        }
    }
}
