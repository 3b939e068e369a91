//! Signals: the first asks the run to stop and remove everything, the second ends the process
//! at once (what is left then ends with the fabric's stream).

use peerlab_core::error::hint::BUG;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use peerlab_core::conduct::Stop;
use peerlab_core::error::{Explain, Kind, Result};

/// A token that the first SIGINT, SIGTERM or SIGHUP cancels: Ctrl-C, `kill`, and a terminal that goes
/// away.
///
/// # Errors
/// When signals cannot be listened to.
pub fn stop_on_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let listen = |kind| signal(kind).or_environment(|| "cannot listen to signals".into(), BUG);
    let mut signals = [
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
        listen(SignalKind::hangup())?,
    ];
    let token = stop.clone();
    tokio::spawn(async move {
        next(&mut signals).await;
        token.cancel();
        next(&mut signals).await;
        std::process::exit(i32::from(Kind::Interrupted.exit_code()));
    });
    Ok(stop)
}

async fn next([interrupt, terminate, hangup]: &mut [Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// The same, as those ask who have no runtime.
pub fn stop_asked_by(token: &CancellationToken) -> Stop {
    let token = token.clone();
    Stop::when(move || token.is_cancelled())
}
