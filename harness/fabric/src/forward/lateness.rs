//! How late packets leave, against the instant the model gave.

use hdrhistogram::Histogram;
use peerlab_link::Nanos;
use peerlab_link::proto::Lateness;

/// Lateness beyond this counts as this: a run in which it occurs is worthless anyway.
const NANOS_MAX: u64 = 60_000_000_000;
/// Two digits: a figure is right within one percent.
const SIGNIFICANT_DIGITS: u8 = 2;

/// A histogram over one stretch of the run.
#[derive(Debug)]
pub(super) struct LatenessMeter {
    // `None` only if the crate refused the constants above, which a test rules out.
    histogram: Option<Histogram<u64>>,
    away: Nanos,
}

impl LatenessMeter {
    /// Nothing measured yet.
    pub(super) fn new() -> LatenessMeter {
        LatenessMeter {
            histogram: Histogram::new_with_bounds(1, NANOS_MAX, SIGNIFICANT_DIGITS).ok(),
            away: Nanos::ZERO,
        }
    }

    /// One packet left so late.
    #[inline]
    pub(super) fn record(&mut self, late: Nanos) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(late.0.max(1));
        }
    }

    /// The thread did not run for so long, though it wanted to.
    #[inline]
    pub(super) fn was_away(&mut self, time: Nanos) {
        if time > Lateness::LATE {
            self.away = self.away.saturating_add(time);
        }
    }

    /// What was measured since the last call.
    pub(super) fn take(&mut self) -> Lateness {
        let nothing = Lateness {
            away: std::mem::take(&mut self.away),
            ..Lateness::default()
        };
        let Some(histogram) = &mut self.histogram else {
            return nothing;
        };
        if histogram.is_empty() {
            return nothing;
        }
        let lateness = Lateness {
            packets: histogram.len(),
            late: histogram.len() - histogram.count_between(0, Lateness::LATE.0),
            p50: Nanos(histogram.value_at_quantile(0.5)),
            p99: Nanos(histogram.value_at_quantile(0.99)),
            max: Nanos(histogram.max()),
            ..nothing
        };
        histogram.reset();
        lateness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_percent_and_begin_anew() {
        let mut meter = LatenessMeter::new();
        assert_eq!(meter.take(), Lateness::default());
        for micros in 1..=1_000 {
            meter.record(Nanos(micros * 1_000));
        }
        let seen = meter.take();
        assert_eq!((seen.packets, seen.late), (1_000, 0));
        for (got, want) in [
            (seen.p50, 500_000),
            (seen.p99, 990_000),
            (seen.max, 1_000_000),
        ] {
            assert!(got.0.abs_diff(want) <= want / 100, "{got:?} {want}");
        }
        assert_eq!(meter.take(), Lateness::default());
        for millis in [1, 9, 11, 500] {
            meter.record(Nanos::from_millis(millis));
        }
        assert_eq!(meter.take().late, 2);
    }
}
