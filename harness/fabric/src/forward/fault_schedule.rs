//! The plan's link changes and process control, and which of them is due.

use peerlab_link::Nanos;
use peerlab_link::proto::{Action, Timed};

/// Held in advance, so that nothing between harness and fabric adds delay.
#[derive(Debug, Default)]
pub(super) struct FaultSchedule {
    actions: Vec<Timed>,
    done: usize,
}

impl FaultSchedule {
    /// The plan's fault schedule, sorted by time.
    pub(super) fn new(actions: Vec<Timed>) -> FaultSchedule {
        FaultSchedule { actions, done: 0 }
    }

    /// When the next action is due.
    #[inline]
    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.actions.get(self.done).map(|timed| timed.at)
    }

    /// Takes the next action that is due at `now` or before, with its index.
    pub(super) fn pop_due(&mut self, now: Nanos) -> Option<(u32, Action)> {
        let next = self.actions.get(self.done).filter(|t| t.at <= now)?;
        let due = (self.done as u32, next.action.clone());
        self.done += 1;
        Some(due)
    }
}
