//! Signals: the first asks the run to stop and remove everything, the second ends the process
//! at once (what is left then ends with the fabric's stream).

use tokio_util::sync::CancellationToken;

use peerlab_core::conduct::Stop;
use peerlab_core::error::{Explain, Kind, Result};

/// A token that the first SIGINT or SIGTERM cancels.
///
/// # Errors
/// When signals cannot be listened to.
pub fn stop_on_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let token = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        token.cancel();
        signals.next().await;
        std::process::exit(i32::from(Kind::Interrupted.exit_code()));
    });
    Ok(stop)
}

/// The same, as those ask who have no runtime.
pub fn stop_asked_by(token: &CancellationToken) -> Stop {
    let token = token.clone();
    Stop::when(move || token.is_cancelled())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).or_environment(|| "cannot listen to signals".into());
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
