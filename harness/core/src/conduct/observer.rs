//! Who looks on while an engine works: the log on disk, the screen, a test.

use crate::error::Result;
use crate::event::RunEvent;

/// Looks on. Called from several tasks; must not block for long.
pub trait Observer: Send + Sync {
    /// What is being done now has changed, or has come further.
    fn stage(&self, stage: Stage);

    /// Something happened in the run. Events come in the order of the log.
    ///
    /// # Errors
    /// When it could not be written down; the run ends then.
    fn event(&self, event: &RunEvent) -> Result<()>;
}

/// What is being done, apart from the run's own events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Getting the programs and images that are needed; what in particular.
    Preparing(String),
    /// Bringing nodes up.
    BringUp {
        /// Containers or processes started so far.
        started: usize,
        /// Gates open so far.
        open: usize,
        /// Nodes in all.
        total: usize,
    },
    /// Nodes get what they had when their network was saved; none runs yet.
    Restoring {
        /// Nodes that have it.
        done: usize,
        /// Nodes in all.
        total: usize,
    },
    /// The plan is carried out.
    Running,
    /// The plan is over; states and logs are fetched.
    Collecting {
        /// Nodes asked so far.
        done: usize,
        /// Nodes to ask.
        total: usize,
    },
    /// The record is whole. What comes of it is said by others.
    Recorded,
    /// Everything is being removed.
    Removing,
}
