//! Takes connections, so many at once; whoever comes beyond waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::net::Listener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Pause where the system has no descriptor left for a connection: others may be given back.
const RETRY: Duration = Duration::from_millis(100);

/// What a connection has while it is one of those at once.
pub type Slot = OwnedSemaphorePermit;

/// Connections that are taken as they come. Dropped, all of them end.
pub struct Connections {
    stop: CancellationToken,
    taking: AbortOnDropHandle<JoinSet<()>>,
}

impl Connections {
    /// Takes connections from now on. Each is given a slot, which is free again once that is dropped.
    pub fn take<L, F>(
        listener: L,
        at_once: usize,
        serve: impl Fn(L::Io, Slot) -> F + Send + Sync + 'static,
    ) -> Connections
    where
        L: Listener + Send + 'static,
        L::Io: Send + 'static,
        L::Addr: Send,
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let taking = tokio::spawn(take(listener, at_once, serve, stop.clone()));
        Connections {
            stop,
            taking: AbortOnDropHandle::new(taking),
        }
    }

    /// Takes no more, and listens no more; those that are open go on.
    pub async fn close(self) -> JoinSet<()> {
        self.stop.cancel();
        self.taking.await.unwrap_or_default()
    }
}

async fn take<L, F>(
    mut listener: L,
    at_once: usize,
    serve: impl Fn(L::Io, Slot) -> F,
    stop: CancellationToken,
) -> JoinSet<()>
where
    L: Listener,
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(at_once));
    let mut open = JoinSet::new();
    let taking = async {
        while let Ok(slot) = slots.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    while open.try_join_next().is_some() {}
                    open.spawn(serve(stream, slot));
                }
                Err(error) => {
                    tracing::warn!("cannot take a connection: {error}");
                    sleep(RETRY).await;
                }
            }
        }
    };
    stop.run_until_cancelled(taking).await;
    open
}
