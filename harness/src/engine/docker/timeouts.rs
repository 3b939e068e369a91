//! How long a Docker Engine may take: one figure, for whoever has a slow engine to raise, and every
//! timeout that follows from it. How long a run's own programs may take is not said here.

use std::sync::OnceLock;
use std::time::Duration;

use bollard::errors::Error as DockerError;
use tokio::time::timeout;

/// Names the figure, in seconds.
pub const VARIABLE: &str = "PEERLAB_ENGINE_TIMEOUT";
/// What it is where nobody says otherwise: an engine with hundreds of containers under way answers a
/// create after half a minute.
pub const DEFAULT_SECONDS: u16 = 120;
/// Its least: every part of it is a second still.
pub const SECONDS_MIN: u16 = 8;

static ANSWER: OnceLock<Duration> = OnceLock::new();

/// Sets the figure. Once a process; a second call changes nothing.
pub fn set(seconds: u16) {
    let _ = ANSWER.set(Duration::from_secs(seconds.into()));
}

/// How long a request may wait for its answer.
pub fn answer() -> Duration {
    *ANSWER.get_or_init(|| Duration::from_secs(DEFAULT_SECONDS.into()))
}

/// The same of the first request, which asks for nothing that takes time.
pub fn first_answer() -> Duration {
    answer() / 6
}

/// How long starts that are under way may take when everything is to be removed.
pub fn launches() -> Duration {
    answer() / 4
}

/// How long removal may take, where there is little to remove.
pub fn removal() -> Duration {
    answer() / 2
}

/// How long one request of it may take, so that one without an answer does not use it up.
pub fn one_removal() -> Duration {
    answer() / 8
}

/// Waits for an answer, and for all of it: the client's own timeout ends where the answer begins.
///
/// # Errors
/// As the request, or that it took too long.
pub async fn in_time<T>(
    request: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, DockerError> {
    within(answer(), request).await
}

/// As [`in_time`], with a limit of its own.
///
/// # Errors
/// As the request, or that it took too long.
pub async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, DockerError> {
    let answered = timeout(limit, request).await;
    answered.unwrap_or(Err(DockerError::RequestTimeoutError))
}
