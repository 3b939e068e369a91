//! Signals: the first asks the run to stop and remove everything, the second ends the process
//! at once (what is left then ends with the fabric's stream).

use peerlab_core::error::hint::BUG;
use tokio::signal::unix::{Signal, SignalKind, signal};
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

/// What ends a run: Ctrl-C, `kill`, and a terminal that goes away.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).or_environment(|| "cannot listen to signals".into(), BUG);
        Ok(Signals([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let Signals([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
