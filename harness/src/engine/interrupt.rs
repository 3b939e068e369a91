//! Work that ends early where the run is to stop.

use tokio_util::sync::CancellationToken;

use peerlab_core::conduct::{Stop, interrupted};
use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Explain, Result};

/// Waits for work that can be given up at any time.
///
/// # Errors
/// As the work, or that the run was interrupted.
pub async fn or_stop<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let done = stop.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err(interrupted()))
}

/// Has work done that blocks its thread. It is to end by itself soon after it is asked to stop, and
/// is waited for even then: it may have to remove what it has begun.
///
/// # Errors
/// As the work.
pub async fn blocking<T: Send + 'static>(
    stop: &CancellationToken,
    work: impl FnOnce(&Stop) -> Result<T> + Send + 'static,
) -> Result<T> {
    let stop = stop_asked_by(stop);
    tokio::task::spawn_blocking(move || work(&stop))
        .await
        .or_environment(|| "work was lost".into(), BUG)?
}

/// The same wish to stop, as those ask who have no runtime.
pub fn stop_asked_by(token: &CancellationToken) -> Stop {
    let token = token.clone();
    Stop::when(move || token.is_cancelled())
}
