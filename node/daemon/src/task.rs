//! Tasks of the daemon. A task that panics ends the process: a node half alive is worse than one
//! that is down, and what it acknowledged is on disk.

use std::future::Future;

use tokio::task::JoinHandle;

/// Aborts the process if it is dropped by a panic.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Runs a future on this thread, beside others. Needs a [`tokio::task::LocalSet`].
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        let _guard = AbortOnPanic;
        future.await;
    })
}
