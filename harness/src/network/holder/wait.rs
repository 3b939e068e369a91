//! Waiting until something holds of the network: it is looked at again and again.

use std::time::Duration;

use peerlab_core::error::{Error, Result};
use peerlab_core::topology::written::Value as _;
use peerlab_core::view::{Until, status_text};
use peerlab_core::words;
use peerlab_link::Nanos;
use tokio::time::{sleep, timeout};

use super::{Network, has_ended, not_read};
use crate::network::request::Reply;

/// Pause between two looks; where connections must be counted, between two counts.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const COUNT_INTERVAL: Duration = Duration::from_millis(500);

impl Network {
    pub(super) async fn wait(&self, until: &str, lasts: Nanos) -> Result<Reply> {
        let condition = Until::parse(until.trim())
            .map_err(|bad| not_read(until, Until::WHAT, Until::FORM, bad))?;
        let holds = || condition.holds(&self.view());
        let (pause, counts) = match condition {
            Until::Peers(_) => (COUNT_INTERVAL, true),
            Until::Agreed | Until::Height(_) | Until::Up(_) => (LOOK_INTERVAL, false),
        };
        let refresh = || async move {
            if counts {
                self.count_peers().await;
            }
        };
        let held = tokio::select! {
            held = held_within(lasts.into(), pause, refresh, holds) => held,
            _ = self.end() => return Err(has_ended()),
        };
        if held {
            return Ok(self.status());
        }
        let status = self.view().status(&self.name, self.live.clock.now());
        let waited = words::duration(lasts);
        Err(
            Error::failed(format!("`{until}` did not hold within {waited}"))
                .because(format!(
                    "the network now:\n{}",
                    status_text(&status).trim_end()
                ))
                .hint("`--timeout` says how long to wait"),
        )
    }
}

/// Whether something comes to hold in time. What it depends on is refreshed before each look; where that
/// takes longer than there is time, as it was then counts.
pub async fn held_within<F: Future<Output = ()>>(
    time: Duration,
    pause: Duration,
    refresh: impl Fn() -> F,
    holds: impl Fn() -> bool,
) -> bool {
    let looking = async {
        loop {
            refresh().await;
            if holds() {
                return;
            }
            sleep(pause).await;
        }
    };
    timeout(time, looking).await.is_ok() || holds()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_time_is_over_when_it_is_over_whatever_the_nodes_do() {
        let began = Instant::now();
        assert!(!held_within(SECOND, LOOK_INTERVAL, pending::<()>, || false).await);
        assert_eq!(began.elapsed(), SECOND);
        // What was heard until then counts.
        assert!(held_within(SECOND, LOOK_INTERVAL, pending::<()>, || true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_keep_their_pause_also_where_each_takes_longer() {
        let counts = Cell::new(0);
        let refresh = || {
            counts.set(counts.get() + 1);
            sleep(SECOND)
        };
        held_within(10 * SECOND, SECOND / 2, refresh, || false).await;
        // One begins every 1.5 s.
        assert_eq!(counts.get(), 7);
        assert!(held_within(Duration::ZERO, SECOND, || ready(()), || true).await);
    }
}
