//! Whether the host kept up. If it did not, delays and losses that no plan asked for were in the
//! run, and the run proves nothing about the network under test.
//!
//! The fabric tells for each interval how many packets it delivered, and how many of them late.
//! These add up over the run, as quantiles would not.

use peerlab_link::Nanos;
use peerlab_link::proto::{DropReason, Lateness};
use serde::Serialize;

use super::record::Record;
use super::waiting::Waiting;
use crate::words;

/// The share of packets, percent, that may be later than [`Lateness::LATE`] in a run that counts:
/// the p99 of lateness is then at most that.
pub const LATE_PERCENT_MAX: f64 = 1.0;

/// The share of the run, percent, in which the fabric may have got no CPU (in stretches longer than
/// [`Lateness::LATE`]).
pub const AWAY_PERCENT_MAX: f64 = 1.0;

/// The mean CPU pressure (PSI `some`, percent of the time in which some task waited for a CPU)
/// up to which a run counts in which the nodes' own waiting is not known. A host with few cores is often near 50 % and keeps up well, since
/// the fabric, not the nodes, is what must be on time.
pub const CPU_PRESSURE_PERCENT_MAX: f64 = 90.0;

/// How well the host kept up over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fidelity {
    /// Whether anything was told of it.
    pub measured: bool,
    /// Packets that had an instant to be delivered at.
    pub packets: u64,
    /// Of these, the ones delivered later than [`Lateness::LATE`].
    pub late_packets: u64,
    /// Latest delivery of all.
    pub lateness_max_ns: Nanos,
    /// Time in which the fabric got no CPU.
    pub away_ns: Nanos,
    /// The share of the run that this is, percent.
    pub away_percent: f64,
    /// Mean CPU pressure, percent, where the host tells it.
    pub cpu_pressure_percent: Option<f64>,
    /// Packets that the fabric dropped because it held as much as it may.
    pub overload_drops: u64,
    /// Packets that nodes' devices dropped, between a node and the fabric.
    pub device_drops: u64,
    /// How nodes waited for a CPU: over the whole run, and in each phase; nothing where it is not
    /// known.
    pub waiting: Vec<Waiting>,
    /// The stretch of the run, of those that expectations judge, in which they waited most for
    /// other programs.
    pub worst_waiting: Option<Waiting>,
}

/// Sums up what the events told.
pub fn measure(record: &Record) -> Fidelity {
    let mut pressures = Vec::new();
    let mut sum = Fidelity {
        measured: !record.fidelity.is_empty(),
        overload_drops: record.traffic.last().map_or(0, |s| {
            s.nodes
                .iter()
                .map(|n| n.drops[DropReason::Overload as usize])
                .sum()
        }),
        device_drops: record.all_device_drops(),
        ..Fidelity::default()
    };
    for (lateness, pressure) in &record.fidelity {
        sum.packets = sum.packets.saturating_add(lateness.packets);
        sum.late_packets = sum.late_packets.saturating_add(lateness.late);
        sum.lateness_max_ns = sum.lateness_max_ns.max(lateness.max);
        sum.away_ns = sum.away_ns.saturating_add(lateness.away);
        pressures.extend(*pressure);
    }
    if record.end > Nanos::ZERO {
        sum.away_percent = sum.away_ns.as_secs_f64() / record.end.as_secs_f64() * 100.0;
    }
    if !pressures.is_empty() {
        sum.cpu_pressure_percent = Some(pressures.iter().sum::<f64>() / pressures.len() as f64);
    }
    sum
}

impl Fidelity {
    /// Share of packets that were late, percent.
    pub fn late_percent(&self) -> f64 {
        if self.packets == 0 {
            return 0.0;
        }
        self.late_packets as f64 / self.packets as f64 * 100.0
    }

    /// Why the run proves nothing, one sentence each; empty when the host kept up.
    pub fn inconclusive_because(&self) -> Vec<String> {
        let mut inconclusive_because = Vec::new();
        if !self.measured {
            inconclusive_because.push("how well the host kept up was never measured".to_owned());
        }
        if self.late_percent() > LATE_PERCENT_MAX {
            inconclusive_because.push(format!(
                "the host delivered {:.1} % of the packets more than {} late (at most {LATE_PERCENT_MAX:.0} % may be)",
                self.late_percent(),
                words::duration(Lateness::LATE)
            ));
        }
        if self.away_percent > AWAY_PERCENT_MAX {
            inconclusive_because.push(format!(
                "the host gave the emulated network no CPU in {:.1} % of the time (at most {AWAY_PERCENT_MAX:.0} % may be)",
                self.away_percent
            ));
        }
        if self.overload_drops > 0 {
            inconclusive_because.push(format!(
                "the host dropped {} that the emulated network would have delivered",
                words::count(self.overload_drops, "packet")
            ));
        }
        if self.device_drops > 0 {
            inconclusive_because.push(format!(
                "the host lost {} between nodes and the emulated network, which did not read them in time",
                words::count(self.device_drops, "packet")
            ));
        }
        let waited = self.worst_waiting.as_ref();
        inconclusive_because.extend(waited.and_then(Waiting::inconclusive_because));
        if let Some(pressure) = self.cpu_pressure_percent
            && self.waiting.is_empty()
            && pressure > CPU_PRESSURE_PERCENT_MAX
        {
            inconclusive_because.push(format!(
                "programs waited for a CPU {pressure:.0} % of the time (at most {CPU_PRESSURE_PERCENT_MAX:.0} % may be)"
            ));
        }
        inconclusive_because
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intervals of so many packets, of which so many late.
    fn record(intervals: &[(u64, u64)]) -> Record {
        let fidelity = intervals
            .iter()
            .map(|(packets, late)| {
                let lateness = Lateness {
                    packets: *packets,
                    late: *late,
                    ..Lateness::default()
                };
                (lateness, None)
            })
            .collect();
        Record {
            fidelity,
            ..Record::default()
        }
    }

    #[test]
    fn up_to_one_packet_in_a_hundred_may_be_late() {
        assert!(
            measure(&record(&[(1000, 10)]))
                .inconclusive_because()
                .is_empty()
        );
        assert_eq!(
            measure(&record(&[(1000, 11)])).inconclusive_because().len(),
            1
        );
    }

    #[test]
    fn a_short_hiccup_in_a_long_run_is_forgiven() {
        let sum = measure(&record(&[(100_000, 0), (500, 500)]));
        assert!(
            sum.inconclusive_because().is_empty(),
            "{:?}",
            sum.inconclusive_because()
        );
    }

    #[test]
    fn a_host_that_is_late_all_the_time_is_not() {
        let sum = measure(&record(&[(100, 0), (5_000, 300)]));
        assert_eq!(sum.inconclusive_because().len(), 1);
    }

    #[test]
    fn a_network_that_stood_still_is_inconclusive_though_no_packet_was_late() {
        let stood_still = |millis| {
            let mut record = record(&[(1000, 0)]);
            record.end = Nanos::from_secs(10);
            record.fidelity[0].0.away = Nanos::from_millis(millis);
            measure(&record).inconclusive_because().len()
        };
        assert_eq!(stood_still(100), 0);
        assert_eq!(stood_still(101), 1);
    }

    #[test]
    fn a_packet_that_never_reached_the_emulated_network_is_inconclusive() {
        let mut record = record(&[(1000, 0)]);
        record.device_drops.insert(peerlab_link::NodeId(3), 1);
        assert_eq!(
            measure(&record).inconclusive_because(),
            [
                "the host lost 1 packet between nodes and the emulated network, which did not read them in time"
            ]
        );
    }

    #[test]
    fn no_word_of_it_is_inconclusive() {
        assert_eq!(measure(&Record::default()).inconclusive_because().len(), 1);
        // A run without a delayed packet had nothing to be late.
        assert!(
            measure(&record(&[(0, 0)]))
                .inconclusive_because()
                .is_empty()
        );
    }
}
