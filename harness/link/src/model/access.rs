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

    /// What this rate would have sent by `at` is sent at another rate from `now` on: when it is
    /// sent then. As many bytes are still before it; the order of two instants stays.
    pub(super) fn retime(self, now: u64, at: u64, other: AccessRate) -> u64 {
        let Some(wait) = at.checked_sub(now) else {
            return at;
        };
        let bits = u128::from(wait) * u128::from(self.0);
        let wait = bits.checked_div(u128::from(other.0)).unwrap_or(0);
        now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
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
}

impl AccessQueue {
    /// An idle link. `rate_bps` is not zero when given.
    pub(super) fn new(rate_bps: Option<u64>, queue_bytes: u32) -> AccessQueue {
        let mut queue = AccessQueue {
            rate: AccessRate(0),
            queue_ns_max: 0,
            busy_until: 0,
            busy_until_parts: 0,
        };
        queue.set_rate(0, rate_bps, queue_bytes);
        queue
    }

    /// Changes the rate at `now`. What is queued leaves at the new one, so whoever keeps the packets
    /// has to ask [`AccessRate::retime`] for the instants that they were given.
    pub(super) fn set_rate(&mut self, now: u64, rate_bps: Option<u64>, queue_bytes: u32) {
        let rate = AccessRate::new(rate_bps);
        if rate != self.rate {
            self.busy_until = self.rate.retime(now, self.busy_until, rate);
            self.busy_until_parts = 0;
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
            return Some(now);
        }
        let service = u64::from(bytes).saturating_mul(NANOS_PER_BYTE_AT_1_BPS);
        let (start, parts) = if self.busy_until < now {
            (now, 0)
        } else {
            let backlog = self.busy_until - now;
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
    fn what_is_queued_leaves_at_the_rate_of_now() {
        let (slow, fast) = (AccessRate::new(Some(8_000)), AccessRate::new(Some(80_000)));
        let mut queue = AccessQueue::new(Some(8_000), 1 << 20);
        let second = 1_000_000_000;
        assert_eq!(queue.pass(0, 1_000), Some(second));
        assert_eq!(queue.pass(0, 1_000), Some(2 * second));
        // Half of the first packet has left: 1,500 bytes are queued.
        let now = second / 2;
        queue.set_rate(now, Some(80_000), 1 << 20);
        assert_eq!(slow.retime(now, second, fast), now + second / 20);
        let rest = slow.retime(now, 2 * second, fast);
        assert_eq!(rest, now + 3 * second / 20);
        assert_eq!(queue.pass(now, 1_000), Some(rest + second / 10));
        queue.set_rate(now, None, 1 << 20);
        assert_eq!(queue.pass(now, 1_000), Some(now), "nothing holds it back");
    }

    #[test]
    fn a_queue_that_was_not_full_holds_as_many_bytes_at_any_rate() {
        let mut queue = AccessQueue::new(Some(8_000_000), 4_000);
        for _ in 0..4 {
            assert!(queue.pass(0, 1_000).is_some());
        }
        assert_eq!(queue.pass(0, 1_000), None);
        queue.set_rate(1_000_000, Some(8_000), 4_000);
        assert!(queue.pass(1_000_000, 1_000).is_some(), "three are queued");
        assert_eq!(queue.pass(1_000_000, 1_000), None);
    }

    proptest! {
        #[test]
        fn a_change_of_rate_keeps_the_order_and_the_bytes(
            rates in prop::collection::vec(1_000u64..10_000_000_000, 2),
            now in 0u64..1_000_000_000_000,
            waits in prop::collection::vec(0u64..100_000_000_000, 2),
        ) {
            let [old, new] = [rates[0], rates[1]].map(|rate| AccessRate::new(Some(rate)));
            let [one, other] = [waits[0], waits[1]].map(|wait| old.retime(now, now + wait, new));
            prop_assert!(one >= now && other >= now);
            prop_assert!(waits[0] > waits[1] || one <= other);
            let bits = |wait: u64, rate: u64| u128::from(wait) * u128::from(rate);
            let lost = bits(waits[0], rates[0]) - bits(one - now, rates[1]);
            prop_assert!(lost < u128::from(rates[1]), "less than a nanosecond's worth");
        }
    }
}
