//! What the tasks that wait for nodes report to the one that owns the run.

use tokio::time::Instant;

use peerlab_core::conduct::Observation;

/// What a task saw, and when.
#[derive(Debug)]
pub struct Report {
    /// When it was known.
    pub at: Instant,
    /// What.
    pub observation: Observation,
}

impl Report {
    /// Known now.
    pub fn now(observation: Observation) -> Report {
        Report {
            at: Instant::now(),
            observation,
        }
    }
}
