//! The guard: a second process that outlives the harness by a few seconds when it is killed.
//!
//! A container that was created and not yet started when the harness died does not end by
//! itself. The guard waits for the end of its stdin, which it shares with nobody but the harness.
//! If the harness did not say before that all is well, it removes what the run has left.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use bollard::Docker;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connect::connect;
use super::label::RunId;
use super::target::{CONTEXT_VARIABLE, Target};
use super::{removal, timeouts};
use peerlab_core::error::Result;

/// What the harness writes when it has removed everything itself.
const ALL_IS_WELL: u8 = b'.';
/// How long nothing must have been left: an engine may still be carrying out a create that it
/// was asked for before the harness died.
const QUIET: Duration = Duration::from_secs(4);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// How long the guard may take to end when all is well.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The harness' side.
#[derive(Debug)]
pub struct Guard {
    process: Option<Child>,
}

impl Guard {
    /// Starts the guard: this very executable, with the command `guard`.
    pub fn start(run: &RunId) -> Guard {
        let spawn = || {
            let mut command = Command::new(std::env::current_exe()?);
            command
                .args(["guard", &run.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if let Ok(target) = Target::find() {
                // Whatever becomes the current context meanwhile.
                command.env(CONTEXT_VARIABLE, target.context);
            }
            command.env(timeouts::VARIABLE, timeouts::answer().as_secs().to_string());
            // Signals that a terminal sends to the harness' group are not for the guard.
            command.process_group(0);
            command.spawn()
        };
        let process = spawn()
            .inspect_err(|error| tracing::warn!("no guard: {error}"))
            .ok();
        Guard { process }
    }

    /// Tells the guard that nothing is left, and waits until it has ended.
    pub async fn dismiss(mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some(mut stdin) = process.stdin.take() {
            // A guard that has ended needs no dismissal.
            let _ = stdin.write_all(&[ALL_IS_WELL]).await;
        }
        if timeout(END_TIMEOUT, process.wait()).await.is_err() {
            tracing::warn!("the guard does not end");
        }
    }
}

/// The guard's side: waits for the end of the harness, and removes what the run has left.
///
/// # Errors
/// When the engine fails to the end.
pub async fn stand_guard(run: &RunId) -> Result<()> {
    let said = tokio::task::spawn_blocking(|| {
        let mut said = Vec::new();
        std::io::stdin().read_to_end(&mut said).map(|_| said)
    });
    if let Ok(Ok(said)) = said.await
        && said == [ALL_IS_WELL]
    {
        return Ok(());
    }
    let deadline = Instant::now() + timeouts::removal();
    remove_what_is_left(run, deadline, connect).await
}

/// Removes what a run has left, until nothing comes for a while. What fails is tried again until the
/// deadline.
async fn remove_what_is_left(
    run: &RunId,
    deadline: Instant,
    connect: impl AsyncFn() -> Result<Docker>,
) -> Result<()> {
    let mut quiet_since = Instant::now();
    let mut last = Ok(());
    while quiet_since.elapsed() < QUIET && Instant::now() < deadline {
        let look = async {
            let docker = connect().await?;
            let is_quiet = removal::list(&docker, Some(run)).await?.is_empty();
            if !is_quiet {
                removal::remove_run(&docker, run).await?;
            }
            Ok(is_quiet)
        };
        let seen = timeout_at(deadline, look).await;
        if !matches!(seen, Ok(Ok(true))) {
            quiet_since = Instant::now();
        }
        if let Ok(seen) = seen {
            last = seen.map(drop);
        }
        sleep(PAUSE).await;
    }
    last
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::fake::{Fake, container};
    use super::*;
    use peerlab_core::error::Error;

    #[tokio::test]
    async fn the_guard_goes_on_where_the_engine_fails() {
        let run = RunId::random();
        let left = container("left", &run.fabric_labels());
        let fake = Fake::start(move |method, _, count| match (method, count) {
            ("GET", 0) => (500, "busy".into()),
            ("GET", 1 | 2) => (200, format!("[{left}]")),
            ("GET", _) => (200, "[]".into()),
            (_, _) => (204, String::new()),
        });
        let attempts = AtomicUsize::new(0);
        let connect = async || match attempts.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Error::environment("no engine", "a test", "wait")),
            _ => Ok(fake.client()),
        };
        let deadline = Instant::now() + timeouts::removal();
        remove_what_is_left(&run, deadline, connect).await.unwrap();
        assert_eq!(fake.asked("DELETE"), 1);
    }

    #[tokio::test]
    async fn what_fails_to_the_end_is_told() {
        let connect = async || Err(Error::environment("no engine", "a test", "wait"));
        let deadline = Instant::now() + 2 * PAUSE;
        let result = remove_what_is_left(&RunId::random(), deadline, connect).await;
        assert_eq!(result.unwrap_err().to_string(), "no engine");
    }
}
