//! Captures under way, and whatever else writes files: they are ended together, and waited for.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// See the module.
#[derive(Default)]
pub struct Captures {
    enough: CancellationToken,
    under_way: TaskTracker,
}

impl Captures {
    /// A capture is under way as long as this is kept.
    pub fn one_more(&self) -> TaskTrackerToken {
        self.under_way.token()
    }

    /// Comes once there are to be no more.
    pub async fn are_to_end(&self) {
        self.enough.cancelled().await;
    }

    /// Ends them, and waits until their files are whole.
    pub async fn end(&self) {
        self.enough.cancel();
        self.under_way.close();
        self.under_way.wait().await;
    }
}
