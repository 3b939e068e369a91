//! The node's notion of time: what the driver says it is. Nothing here reads a clock.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since the Unix epoch, as the driver says; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// Nanoseconds in a second.
const NANOS_PER_SEC: u64 = 1_000_000_000;

impl Time {
    /// Later than everything.
    pub const NEVER: Time = Time(u64::MAX);

    /// How much later this is; zero if it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The first instant of a Unix second.
    pub fn from_unix_secs(secs: u32) -> Time {
        Time(u64::from(secs) * NANOS_PER_SEC)
    }

    /// Whole seconds since the Unix epoch, as block headers count them; saturates in 2106.
    pub fn unix_secs(self) -> u32 {
        u32::try_from(self.0 / NANOS_PER_SEC).unwrap_or(u32::MAX)
    }
}

/// A time, or none, in the room of a time: a process may hold millions of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalTime(Time);

impl OptionalTime {
    /// None; what is never is not there either.
    pub const NONE: OptionalTime = OptionalTime(Time::NEVER);

    /// As an option.
    pub fn get(self) -> Option<Time> {
        (self != OptionalTime::NONE).then_some(self.0)
    }

    /// Whether there is one.
    pub fn is_some(self) -> bool {
        self != OptionalTime::NONE
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == OptionalTime::NONE
    }

    /// Whether there is one, and it has come.
    pub fn is_due(self, now: Time) -> bool {
        self.is_some() && self.0 <= now
    }

    /// The time, or [`Time::NEVER`].
    pub fn or_never(self) -> Time {
        self.0
    }
}

impl Default for OptionalTime {
    fn default() -> OptionalTime {
        OptionalTime::NONE
    }
}

impl From<Time> for OptionalTime {
    fn from(time: Time) -> OptionalTime {
        OptionalTime(time)
    }
}

impl From<Option<Time>> for OptionalTime {
    fn from(time: Option<Time>) -> OptionalTime {
        OptionalTime(time.unwrap_or(Time::NEVER))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at [`Time::NEVER`].
    fn add(self, wait: Duration) -> Time {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}
