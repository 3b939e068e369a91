//! The machine's time from the system's clocks: read off the wall once, then carried on by the
//! monotonic clock, so that it never goes back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use peerlab_node::io::Time;

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_begins_at_the_wall_and_never_goes_back() {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let before = wall().as_nanos();
        let clock = Clock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(u128::from(first.0) >= before);
        assert!(second >= first);
    }
}
