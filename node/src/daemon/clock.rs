//! The machine's time from the system's clocks: read off the wall once, then carried on by the
//! monotonic clock, so that it never goes back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::io::Time;

/// Stands for all times beyond it: ten years on.
const FAR_FUTURE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Where both clocks stood when the daemon started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    unix: Duration,
    instant: Instant,
}

impl Clock {
    /// Reads both clocks.
    pub fn start() -> Clock {
        Clock {
            // A clock set before 1970 stands at 1970.
            unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            instant: Instant::now(),
        }
    }

    /// The machine's time.
    pub fn now(&self) -> Time {
        let nanos = (self.unix + self.instant.elapsed()).as_nanos();
        Time(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// When the machine's clock will show this time; the start if it is before.
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        let since_start = Duration::from_nanos(time.0).saturating_sub(self.unix);
        tokio::time::Instant::from_std(self.instant + since_start.min(FAR_FUTURE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_map_to_instants_and_back() {
        let clock = Clock::start();
        let now = clock.now();
        let later = clock.instant(Time(now.0 + 1_000_000_000));
        assert!(later > clock.instant(now));
        assert!(clock.instant(Time(0)) <= tokio::time::Instant::now());
        assert!(clock.instant(Time(u64::MAX)) > later);
        assert!(clock.now() >= now);
    }
}
