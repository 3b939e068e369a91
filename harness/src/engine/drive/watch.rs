//! One watcher for each node: reaches its probe whenever the node is meant to be up, and keeps
//! one wait for something new pending there. What a node says is stamped when the answer arrives.

use std::future::pending;
use std::time::Duration;

use peerlab_link::{Nanos, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::dial::Dialer;
use crate::probe::{ProbeError, Said, bounded};
use peerlab_core::conduct::Observation;

/// Pause before the second try to reach a probe; doubled with each further try.
const RETRY_MIN: Duration = Duration::from_millis(40);
/// Longest pause between tries: what a restart may be noticed too late by.
const RETRY_MAX: Duration = Duration::from_millis(640);
/// How long a node may take for an answer that needs no waiting.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one wait for something new is kept pending.
const WAIT: Duration = Duration::from_secs(30);

/// The incarnation that a watcher is to follow, as in [`peerlab_core::conduct::Order::Follow`];
/// `None` while the node is down or frozen, and is to be left alone.
pub type Followed = Option<Life>;

/// What a node is followed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub incarnation: u32,
    /// When the program was started.
    pub began: Nanos,
}

/// What a task saw, for the one that owns the run.
#[derive(Debug)]
pub struct Report {
    /// When it was known.
    pub at: Instant,
    /// What.
    pub observation: Observation,
}

impl Report {
    /// Known now.
    pub fn now(observation: Observation) -> Report {
        Report {
            at: Instant::now(),
            observation,
        }
    }
}

/// Follows one node until the run ends.
pub async fn watch(
    node: NodeId,
    dialer: Dialer,
    mut followed: watch::Receiver<Followed>,
    reports: mpsc::Sender<Report>,
) {
    loop {
        let now = *followed.borrow_and_update();
        let follow = async {
            match now {
                Some(life) => follow(node, life, &dialer, &reports).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = followed.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = follow => return,
        }
    }
}

/// Follows one incarnation of a node. Ends only when nobody listens any more.
async fn follow(node: NodeId, life: Life, dialer: &Dialer, reports: &mpsc::Sender<Report>) {
    let mut known = None;
    let mut failed = None;
    let mut pause = RETRY_MIN;
    loop {
        let Err(error) = session(node, life, dialer, reports, &mut known, &mut pause).await else {
            return;
        };
        // Over and over the same; what is new is said once.
        if failed.as_ref() != Some(&error) {
            // A node that is starting takes no connection.
            if !matches!(error, ProbeError::Transport(_)) {
                tracing::info!("node {node} gives no answer: {error}");
            }
            let unready = Observation::Unready {
                node,
                incarnation: life.incarnation,
                reason: error.to_string(),
            };
            failed = Some(error);
            if reports.send(Report::now(unready)).await.is_err() {
                return;
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// One connection. `Ok` when nobody listens any more.
async fn session(
    node: NodeId,
    life: Life,
    dialer: &Dialer,
    reports: &mpsc::Sender<Report>,
    known: &mut Option<Said>,
    pause: &mut Duration,
) -> Result<(), ProbeError> {
    let Life { incarnation, began } = life;
    let mut probe = dialer.probe_since(node, began).await?;
    let mut said = bounded(ANSWER_TIMEOUT, probe.said()).await?;
    let up = Observation::Up { node, incarnation };
    if reports.send(Report::now(up)).await.is_err() {
        return Ok(());
    }
    *pause = RETRY_MIN;
    loop {
        let at = Instant::now();
        if known.as_ref() != Some(&said) {
            *known = Some(said.clone());
            let observation = Observation::Said {
                node,
                incarnation,
                said: said.clone(),
            };
            if reports.send(Report { at, observation }).await.is_err() {
                return Ok(());
            }
        }
        said = bounded(WAIT + ANSWER_TIMEOUT, probe.said_after(&said, WAIT)).await?;
    }
}
