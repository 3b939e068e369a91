//! A network that metrics tell of: its view, and the way to its nodes, which are asked for their
//! connections while somebody reads the metrics, and only then.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use peerlab_link::Nanos;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::engine::drive::{Live, ask_for_connections};
use peerlab_core::error::Result;
use peerlab_core::view::{Metrics, NetworkView};

/// Pause between two counts of connections, however often metrics are read.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// How long an answer waits for a count; one that takes longer is in a later answer.
const COUNT_WAIT: Duration = Duration::from_secs(1);

/// A network. Cheap to clone.
#[derive(Clone)]
pub struct Watched {
    name: Arc<str>,
    view: Arc<Mutex<NetworkView>>,
    live: Arc<OnceLock<Live>>,
    /// When connections were counted last. Locked as long as they are being counted.
    counted: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

impl Watched {
    /// A network of this name, as its view tells it.
    pub(super) fn new(name: &str, view: Arc<Mutex<NetworkView>>) -> Watched {
        Watched {
            name: name.into(),
            view,
            live: Arc::default(),
            counted: Arc::default(),
        }
    }

    /// Its nodes have been started.
    pub fn set_live(&self, live: Live) {
        // It starts once.
        let _ = self.live.set(live);
    }

    /// Where to send it as soon as its nodes have been started.
    pub fn when_live(&self) -> oneshot::Sender<Live> {
        let (sender, live) = oneshot::channel();
        let watched = self.clone();
        tokio::spawn(async move {
            if let Ok(live) = live.await {
                watched.set_live(live);
            }
        });
        sender
    }

    /// Its metrics now.
    ///
    /// # Errors
    /// Only where we made a mistake.
    pub(super) async fn text(&self) -> Result<String> {
        self.count_peers().await;
        let now = self.live.get().map_or(Nanos::ZERO, |live| live.clock.now());
        let snapshot = {
            let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
            Metrics::of(&view, &self.name, now)
        };
        snapshot.text()
    }

    /// Counts connections where that is due.
    async fn count_peers(&self) {
        let (Some(live), Ok(mut counted)) =
            (self.live.get(), self.counted.clone().try_lock_owned())
        else {
            return;
        };
        if counted.is_some_and(|at| at.elapsed() < COUNT_INTERVAL) {
            return;
        }
        let (dialer, view) = (live.dialer.clone(), self.view.clone());
        let counting = tokio::spawn(async move {
            ask_for_connections(&dialer, &view).await;
            *counted = Some(Instant::now());
        });
        let _ = timeout(COUNT_WAIT, counting).await;
    }
}
