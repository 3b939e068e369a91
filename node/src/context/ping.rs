//! Pings of one connection: when, and how long they took.

use std::time::Duration;

use crate::io::Time;
use crate::time::OptionalTime;

/// Pings of one connection.
#[derive(Clone, Debug, Default)]
pub struct Ping {
    /// Of the last one.
    nonce: u64,
    sent_at: OptionalTime,
    /// Whether its answer is awaited.
    outstanding: bool,
    /// How long the last one took.
    pub last: Option<Duration>,
    /// The shortest.
    pub min: Option<Duration>,
}

impl Ping {
    /// How long the outstanding one has been waited for.
    pub fn wait(&self, now: Time) -> Option<Duration> {
        self.outstanding_since().map(|sent| now.since(sent))
    }

    pub(crate) fn outstanding_since(&self) -> Option<Time> {
        self.sent_at.get().filter(|_| self.outstanding)
    }

    pub(crate) fn sent_at(&self) -> Option<Time> {
        self.sent_at.get()
    }

    pub(crate) fn sent(&mut self, nonce: u64, now: Time) {
        self.nonce = nonce;
        self.sent_at = now.into();
        self.outstanding = true;
    }

    /// Takes a pong; one that answers nothing is ignored, as Bitcoin Core does.
    pub(crate) fn answered(&mut self, nonce: u64, now: Time) {
        let Some(sent) = self.outstanding_since().filter(|_| nonce == self.nonce) else {
            return;
        };
        let took = now.since(sent);
        self.outstanding = false;
        self.last = Some(took);
        self.min = Some(self.min.map_or(took, |min| min.min(took)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_counts_only_with_the_ping_s_nonce() {
        let mut ping = Ping::default();
        ping.sent(5, Time(1_000));
        ping.answered(4, Time(1_500));
        assert_eq!(ping.last, None);
        ping.answered(5, Time(3_000));
        assert_eq!(ping.last, Some(Duration::from_nanos(2_000)));
        ping.sent(6, Time(10_000));
        ping.answered(6, Time(13_000));
        assert_eq!(ping.last, Some(Duration::from_nanos(3_000)));
        assert_eq!(ping.min, Some(Duration::from_nanos(2_000)));
        assert_eq!(ping.wait(Time(20_000)), None);
    }
}
