//! The machine's one timer, as a descriptor of the kernel's (timerfd). The runtime's own timers
//! wake the process several times on the way to a time that is some way off, to the millisecond,
//! and each that is set wakes it once more at once: a node that has something to do every few
//! milliseconds, beside hundreds like it, would spend much of its CPU on that.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use peerlab_node::io::Time;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Clock;

/// How soon a time that has passed expires: a timer of zero is one that is not set.
const AT_ONCE_NANOS: u64 = 1;

/// See the module.
pub struct Timer {
    fd: OwnedFd,
    set: Cell<Option<Time>>,
}

impl Timer {
    /// Not set.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Timer {
            fd: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            set: Cell::new(None),
        })
    }

    /// Expires at this time, and at no other that was set before.
    ///
    /// # Errors
    /// When the kernel refuses the time.
    pub fn set(&self, time: Time, clock: &Clock) -> io::Result<()> {
        if self.set.get() == Some(time) {
            return Ok(());
        }
        let after = time.0.saturating_sub(clock.now().0).max(AT_ONCE_NANOS);
        let once = Itimerspec {
            it_interval: timespec(0),
            it_value: timespec(after),
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
        self.set.set(Some(time));
        Ok(())
    }

    /// Whether the time that was set has come. If so, it is reported once.
    fn take_expired(&self, now: Time) -> bool {
        let expired = self.set.get().is_some_and(|time| time <= now);
        if expired {
            self.set.set(None);
        }
        expired
    }

    /// Calls `expired` whenever a time that was set has come, for ever.
    ///
    /// # Errors
    /// When the runtime cannot wait for the descriptor.
    pub async fn run(&self, clock: &Clock, mut expired: impl FnMut()) -> io::Result<()> {
        // SAFETY: the descriptor is borrowed from `self`, so that it stays open, and the same, for as
        // long as the `AsyncFd` is there.
        let fd = unsafe { AsyncFd::register_with_interest(self.fd.as_fd(), Interest::READABLE) }?;
        loop {
            // Not read: setting it anew makes it unreadable, and each expiry wakes anew.
            fd.readable().await?.clear_ready();
            if self.take_expired(clock.now()) {
                expired();
            }
        }
    }
}

fn timespec(nanos: u64) -> Timespec {
    Timespec {
        // A u64 of nanoseconds is 584 years: both fit.
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    #[test]
    fn a_time_that_was_set_anew_outlives_the_end_of_the_old_one() {
        let (timer, clock) = (Timer::new().unwrap(), Clock::start());
        let later = Time(clock.now().0 + 1_000 * MILLI);
        timer.set(Time(1), &clock).unwrap();
        timer.set(later, &clock).unwrap();
        assert!(!timer.take_expired(Time(later.0 - 1)));
        assert!(timer.take_expired(later));
        assert!(!timer.take_expired(later));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn each_time_wakes_once_and_not_before() {
        let (timer, clock) = (Timer::new().unwrap(), Clock::start());
        let start = clock.now();
        let at = |millis: u64| Time(start.0 + millis * MILLI);
        let times = [at(5), at(5), at(0), at(30)];
        let (seen, mut next) = (Cell::new(0), times.iter().copied());
        let (all, done) = tokio::sync::oneshot::channel::<()>();
        let mut all = Some(all);
        let mut due = next.next();
        timer.set(times[0], &clock).unwrap();
        let run = timer.run(&clock, || {
            assert!(due.is_some_and(|due| due <= clock.now()));
            seen.set(seen.get() + 1);
            due = next.next();
            match due {
                Some(time) => timer.set(time, &clock).unwrap(),
                None => drop(all.take()),
            }
        });
        tokio::select! {
            ended = run => panic!("it ended: {ended:?}"),
            _ = done => {}
        }
        assert_eq!(seen.get(), times.len());
    }
}
