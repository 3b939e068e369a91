//! Shorter runs, and rounder times.

use peerlab_link::Nanos;

use super::{ROUND_TO, chosen};
use crate::explore::scenario::{Fault, Scenario};
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
        let is_gone = |at: Nanos| from <= at && at < until;
        let moved = |at: Nanos| match at {
            _ if at < from => at,
            _ if at < until => from,
            _ => at.saturating_sub(length),
        };
        let (deciding, others): (Vec<Moment>, Vec<Moment>) =
            self.blocks.iter().partition(|block| self.decides(block.at));
        let mut smaller = Scenario {
            phases: cut_phases(self.phases, from, length),
            blocks: others,
            ..self.clone()
        };
        smaller.blocks.retain(|block| !is_gone(block.at));
        smaller.payments.retain(|payment| !is_gone(payment.at));
        for (start, end) in smaller.spans_mut() {
            *start = moved(*start);
            end.into_iter().for_each(|end| *end = moved(*end));
        }
        let lasts = |start: Nanos, end: Nanos| end.saturating_sub(start) >= PERIOD_MIN;
        smaller
            .outages
            .retain(|outage| lasts(outage.start, outage.end));
        let is_left = |fault: &Fault| {
            let is_instant = fault.kind.across().is_some();
            is_instant || fault.end.is_none_or(|end| lasts(fault.start, end))
        };
        let kept: Vec<usize> = (0..smaller.faults.len())
            .filter(|index| is_left(&smaller.faults[*index]))
            .collect();
        smaller = smaller.keep_faults(&kept);
        smaller.set_deciding(deciding.iter().map(|block| block.node));
        smaller
    }

    /// Begins and ends of all events: of blocks, then of payments, outages and faults.
    fn spans_mut(&mut self) -> impl Iterator<Item = (&mut Nanos, Option<&mut Nanos>)> {
        let moments = self.blocks.iter_mut().chain(&mut self.payments);
        let moments = moments.map(|moment| (&mut moment.at, None));
        let outages = self.outages.iter_mut();
        let outages = outages.map(|outage| (&mut outage.start, Some(&mut outage.end)));
        let faults = self.faults.iter_mut();
        let faults = faults.map(|fault| (&mut fault.start, fault.end.as_mut()));
        moments.chain(outages).chain(faults)
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
        let size = self.size();
        (0..self.event_count())
            .filter(|event| self.round(&[*event]).size() < size)
            .collect()
    }

    /// With the times of these events rounded to whole seconds: starts down, ends up. Blocks are
    /// numbered first, then payments, outages and faults. Blocks that decide stay.
    #[must_use]
    pub fn round(&self, events: &[usize]) -> Scenario {
        let decides = |event: usize| {
            self.blocks
                .get(event)
                .is_some_and(|block| self.decides(block.at))
        };
        let settle = self.phases.settle_start();
        let mut is_chosen = chosen(events);
        let mut rounded = self.clone();
        for (event, (start, end)) in rounded.spans_mut().enumerate() {
            if !is_chosen() || decides(event) {
                continue;
            }
            let is_instant = end.as_deref().copied() == Some(*start);
            start.0 -= start.0 % ROUND_TO.0;
            if let Some(end) = end {
                let up = Nanos(end.0.next_multiple_of(ROUND_TO.0)).min(settle);
                *end = if is_instant { *start } else { up };
            }
        }
        rounded.sort();
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
