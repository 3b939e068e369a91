//! Shorter runs, and rounder times.

use std::collections::BTreeSet;

use peerlab_link::Nanos;

use super::ROUND_TO;
use crate::explore::scenario::{Fault, Outage, Scenario};
use peerlab_core::experiment::PERIOD_MIN;
use peerlab_core::topology::{Moment, Phases};

/// What is left of the warm-up, so that real nodes start and find each other before anything is
/// done to them: the shrunk experiment is to run in containers as well.
const WARMUP_LEFT: Nanos = Nanos::from_secs(5);

impl Scenario {
    /// Without a stretch of time that lies within one phase. What lay in it is gone; what reached
    /// into it is shorter. The blocks that decide move with the closing phase.
    #[must_use]
    pub fn cut(&self, from: Nanos, until: Nanos) -> Scenario {
        let length = until.saturating_sub(from);
        let moved = |at: Nanos| {
            if at < from {
                at
            } else if at < until {
                from
            } else {
                at.saturating_sub(length)
            }
        };
        let left = |moments: &[Moment]| -> Vec<Moment> {
            let left = moments
                .iter()
                .filter(|moment| moment.at < from || moment.at >= until);
            left.map(|moment| Moment {
                at: moved(moment.at),
                node: moment.node,
            })
            .collect()
        };
        let is_deciding = |block: &&Moment| self.decides(block.at);
        let deciding: Vec<u32> = self
            .blocks
            .iter()
            .filter(is_deciding)
            .map(|block| block.node)
            .collect();
        let others: Vec<Moment> = self
            .blocks
            .iter()
            .filter(|block| !self.decides(block.at))
            .copied()
            .collect();
        let outages = self.outages.iter().map(|outages| Outage {
            start: moved(outages.start),
            end: moved(outages.end),
            ..*outages
        });
        let fault = |fault: &Fault| Fault {
            start: moved(fault.start),
            end: fault.end.map(moved),
            kind: fault.kind.clone(),
        };
        let mut smaller = Scenario {
            phases: cut_phases(self.phases, from, length),
            blocks: left(&others),
            payments: left(&self.payments),
            outages: outages
                .filter(|outages| outages.end.saturating_sub(outages.start) >= PERIOD_MIN)
                .collect(),
            faults: self.faults.iter().map(fault).collect(),
            ..self.clone()
        };
        let lasts = |fault: &Fault| {
            let instant = fault.kind.across().is_some();
            let long = |end: Nanos| end.saturating_sub(fault.start) >= PERIOD_MIN;
            instant || fault.end.is_none_or(long)
        };
        let kept: Vec<usize> = (0..smaller.faults.len())
            .filter(|index| lasts(&smaller.faults[*index]))
            .collect();
        smaller = smaller.keep_faults(&kept);
        smaller.set_deciding(&deciding);
        smaller
    }

    /// Puts the blocks that decide where the closing phase wants them.
    fn set_deciding(&mut self, miners: &[u32]) {
        self.clear_quiets();
        let at = self.deciding_times();
        let blocks = at
            .into_iter()
            .zip(miners)
            .map(|(at, node)| Moment { at, node: *node });
        self.blocks.extend(blocks);
        self.blocks.sort_by_key(|block| block.at);
    }

    /// Stretches of time whose lack would make the run shorter, the longest first. The settle phase
    /// stays as it is: a network that is given less time may fail for that reason alone.
    pub fn spare_stretches(&self) -> Vec<(Nanos, Nanos)> {
        let Phases { warmup, faults, .. } = self.phases;
        let bounds = [
            (Nanos::ZERO, warmup, WARMUP_LEFT),
            (warmup, warmup.saturating_add(faults), Nanos::ZERO),
        ];
        let mut stretches = Vec::new();
        for (start, end, left) in bounds {
            let spare = end.saturating_sub(start).saturating_sub(left);
            for eighths in [8, 7, 6, 4, 2, 1] {
                let part = Nanos(spare.0 * eighths / 8);
                let part = Nanos(part.0 - part.0 % ROUND_TO.0);
                if part > Nanos::ZERO {
                    stretches.push((end.saturating_sub(part), end));
                    stretches.push((start, start.saturating_add(part)));
                }
            }
        }
        stretches.sort_by_key(|(from, until)| std::cmp::Reverse(until.saturating_sub(*from)));
        stretches.dedup();
        stretches
    }

    /// Events whose times are not whole seconds, by number (see [`Self::round`]).
    pub fn odd_events(&self) -> Vec<usize> {
        let counts = [
            self.blocks.len(),
            self.payments.len(),
            self.outages.len(),
            self.faults.len(),
        ];
        let all: Vec<usize> = (0..counts.iter().sum()).collect();
        let size = self.size();
        all.into_iter()
            .filter(|event| self.round(&[*event]).size() < size)
            .collect()
    }

    /// With the times of these events rounded to whole seconds: starts down, ends up. Blocks are
    /// numbered first, then payments, outages and faults. Blocks that decide stay.
    #[must_use]
    pub fn round(&self, events: &[usize]) -> Scenario {
        let events: BTreeSet<usize> = events.iter().copied().collect();
        let settle = self.phases.settle_start();
        let down = |at: Nanos| Nanos(at.0 - at.0 % ROUND_TO.0);
        let up = |at: Nanos| Nanos(at.0.next_multiple_of(ROUND_TO.0)).min(settle);
        let mut rounded = self.clone();
        let mut numbers = 0..;
        let mut chosen = || {
            numbers
                .next()
                .is_some_and(|number: usize| events.contains(&number))
        };
        for block in &mut rounded.blocks {
            if chosen() && !self.decides(block.at) {
                block.at = down(block.at);
            }
        }
        for payment in &mut rounded.payments {
            if chosen() {
                payment.at = down(payment.at);
            }
        }
        for outages in &mut rounded.outages {
            if chosen() {
                (outages.start, outages.end) = (down(outages.start), up(outages.end));
            }
        }
        for fault in &mut rounded.faults {
            if chosen() {
                let instant = fault.kind.across().is_some();
                fault.start = down(fault.start);
                fault.end = fault
                    .end
                    .map(|end| if instant { down(end) } else { up(end) });
            }
        }
        rounded.blocks.sort_by_key(|block| block.at);
        rounded.payments.sort_by_key(|payment| payment.at);
        rounded
            .outages
            .sort_by_key(|outages| (outages.node, outages.start));
        rounded
    }
}

fn cut_phases(phases: Phases, from: Nanos, length: Nanos) -> Phases {
    let mut cut = phases;
    let phase = if from < phases.warmup {
        &mut cut.warmup
    } else if from < phases.settle_start() {
        &mut cut.faults
    } else {
        &mut cut.settle
    };
    *phase = phase.saturating_sub(length);
    cut
}
