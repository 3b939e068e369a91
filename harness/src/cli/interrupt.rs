//! Signals: the first asks the run to stop and remove everything, the second ends the process
//! at once (what is left then ends with the fabric's stream).

use peerlab_core::error::hint::BUG;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use peerlab_core::error::{Explain, Kind, Result};

use crate::dashboard::give_terminal_back;

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
    // Only so is a file that may not grow an error like that of a full disk; by default it is the end.
    drop(listen(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
    let token = stop.clone();
    tokio::spawn(async move {
        next(&mut signals).await;
        token.cancel();
        next(&mut signals).await;
        give_terminal_back();
        std::process::exit(i32::from(Kind::Interrupted.exit_code()));
    });
    Ok(stop)
}

async fn next([interrupt, terminate, hangup]: &mut [unix::Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
