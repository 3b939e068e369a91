//! The guard: a second process that outlives the harness by a few seconds when it is killed.
//!
//! A container that was created and not yet started when the harness died does not end by
//! itself. The guard waits for the end of its stdin, which it shares with nobody but the harness.
//! If the harness did not say before that all is well, it removes what the run has left.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::connect::connect;
use super::label::RunId;
use super::removal;
use peerlab_core::error::Result;

/// What the harness writes when it has removed everything itself.
const ALL_IS_WELL: u8 = b'.';
/// How long nothing must have been left: an engine may still be carrying out a create that it
/// was asked for before the harness died.
const QUIET: Duration = Duration::from_secs(4);
/// How long the guard tries.
const LIMIT: Duration = Duration::from_secs(60);
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
/// When the engine fails.
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
    let docker = connect().await?;
    let deadline = Instant::now() + LIMIT;
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < QUIET && Instant::now() < deadline {
        if !removal::list(&docker, Some(run)).await?.is_empty() {
            removal::remove_run(&docker, run).await?;
            quiet_since = Instant::now();
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
