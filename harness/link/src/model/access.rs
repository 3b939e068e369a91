//! One direction of a node's access link: a server of constant rate with a byte-bounded queue
//! and tail drop. The queue holds no packets: knowing until when the link is busy is enough.

/// Nanoseconds that one byte takes at one bit per second.
const NANOS_PER_BYTE_AT_1_BPS: u64 = 8_000_000_000;

/// How fast an access link is: bits per second; zero is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccessRate(u64);

impl AccessRate {
    /// `rate_bps` is not zero when given.
    pub(super) fn new(rate_bps: Option<u64>) -> AccessRate {
        AccessRate(rate_bps.unwrap_or(0))
    }

    /// How long this many bytes take on an idle link.
    #[inline]
    pub(super) fn service_ns(self, bytes: u32) -> u64 {
        let parts = u64::from(bytes).saturating_mul(NANOS_PER_BYTE_AT_1_BPS);
        parts.checked_div(self.0).unwrap_or(0)
    }
}

/// See the module. Instants and lengths are nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct AccessQueue {
    rate: AccessRate,
    /// How long the link takes to send as much as the queue holds.
    queue_ns_max: u64,
    /// The link is busy until this instant ...
    busy_until: u64,
    /// ... and this many parts of the rate of a nanosecond more, so that rounding never adds up.
    busy_until_parts: u64,
    /// Until this instant it sends what was queued before the last change of rate. That does not
    /// count against the queue any more: measured in time, it would close a faster link.
    old_until: u64,
}

impl AccessQueue {
    /// An idle link. `rate_bps` is not zero when given.
    pub(super) fn new(rate_bps: Option<u64>, queue_bytes: u32) -> AccessQueue {
        let mut queue = AccessQueue {
            rate: AccessRate(0),
            queue_ns_max: 0,
            busy_until: 0,
            busy_until_parts: 0,
            old_until: 0,
        };
        queue.set_rate(rate_bps, queue_bytes);
        queue
    }

    /// Changes the rate for packets to come. Those in the queue keep the instants they were given.
    pub(super) fn set_rate(&mut self, rate_bps: Option<u64>, queue_bytes: u32) {
        let rate = AccessRate::new(rate_bps);
        if rate != self.rate {
            self.busy_until_parts = 0;
            self.old_until = self.busy_until;
        }
        self.rate = rate;
        self.queue_ns_max = u128::from(queue_bytes)
            .saturating_mul(u128::from(NANOS_PER_BYTE_AT_1_BPS))
            .checked_div(u128::from(rate.0))
            .map_or(u64::MAX, |ns| u64::try_from(ns).unwrap_or(u64::MAX));
    }

    /// Whether packets pass without taking time or being dropped.
    pub(super) fn is_unlimited(&self) -> bool {
        self.rate.0 == 0
    }

    /// How fast it is now.
    pub(super) fn rate(&self) -> AccessRate {
        self.rate
    }

    /// A packet comes at `now`: the instant at which its last bit has been sent, or `None` when it
    /// finds the queue full. What is being sent counts as queued; an idle link takes any packet.
    pub(super) fn pass(&mut self, now: u64, bytes: u32) -> Option<u64> {
        let AccessRate(rate_bps) = self.rate;
        if rate_bps == 0 {
            // A queue left from the time of a rate is still waited for, so that order is kept.
            self.busy_until = self.busy_until.max(now);
            return Some(self.busy_until);
        }
        let service = u64::from(bytes).saturating_mul(NANOS_PER_BYTE_AT_1_BPS);
        let (start, parts) = if self.busy_until < now {
            (now, 0)
        } else {
            let backlog = self.busy_until - now.max(self.old_until);
            let with_this = backlog.saturating_add(service / rate_bps);
            if backlog > 0 && with_this > self.queue_ns_max {
                return None;
            }
            (self.busy_until, self.busy_until_parts)
        };
        let parts = service.saturating_add(parts);
        self.busy_until = start.saturating_add(parts / rate_bps);
        self.busy_until_parts = parts % rate_bps;
        Some(self.busy_until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_busy_link_sends_exactly_at_its_rate(
            rate_bps in 1_000u64..100_000_000_000,
            sizes in prop::collection::vec(1u32..65_536, 1..300),
        ) {
            let mut queue = AccessQueue::new(Some(rate_bps), u32::MAX);
            let mut bits = 0u128;
            for &bytes in &sizes {
                let end = queue.pass(0, bytes).unwrap();
                bits += u128::from(bytes) * 8;
                prop_assert_eq!(u128::from(end), bits * 1_000_000_000 / u128::from(rate_bps));
            }
        }

        #[test]
        fn never_more_is_queued_than_the_queue_holds(
            rate_bps in 10_000u64..1_000_000_000,
            queue_bytes in 2_000u32..500_000,
            packets in prop::collection::vec((0u64..2_000_000, 40u32..1_538), 1..400),
        ) {
            let mut queue = AccessQueue::new(Some(rate_bps), queue_bytes);
            let mut now = 0;
            let mut last = 0;
            for (gap, bytes) in packets {
                now += gap;
                let Some(end) = queue.pass(now, bytes) else {
                    // Dropped: then the queue was indeed nearly full.
                    let queued = u128::from(last - now) * u128::from(rate_bps) / 8_000_000_000;
                    prop_assert!(queued + u128::from(bytes) + 2 > u128::from(queue_bytes));
                    continue;
                };
                prop_assert!(end >= last, "first in, first out");
                let queued = u128::from(end - now) * u128::from(rate_bps) / 8_000_000_000;
                prop_assert!(queued <= u128::from(queue_bytes.max(bytes)) + 2);
                last = end;
            }
        }
    }

    #[test]
    fn an_unlimited_link_takes_no_time() {
        let mut queue = AccessQueue::new(None, 0);
        assert_eq!(queue.pass(17, 1_500), Some(17));
        assert_eq!(queue.pass(17, 1_500), Some(17));
    }

    #[test]
    fn an_idle_link_takes_a_packet_larger_than_its_queue() {
        let mut queue = AccessQueue::new(Some(8_000_000), 100);
        assert_eq!(queue.pass(0, 1_000), Some(1_000_000));
        assert_eq!(queue.pass(10, 1_000), None);
        assert_eq!(queue.pass(1_000_000, 1_000), Some(2_000_000));
    }

    #[test]
    fn a_change_of_rate_keeps_the_order() {
        let mut queue = AccessQueue::new(Some(8_000), 1 << 20);
        let slow = queue.pass(0, 1_000).unwrap();
        queue.set_rate(None, 1 << 20);
        assert_eq!(queue.pass(5, 1_000), Some(slow));
        queue.set_rate(Some(8_000_000_000), 1 << 20);
        assert_eq!(queue.pass(6, 1_000), Some(slow + 1_000));
    }
}
