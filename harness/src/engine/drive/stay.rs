//! The way into a network that stays, from its start or once a run is over: what is asked of it by hand
//! reaches the one task that owns the run, and is answered once it is done.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use peerlab_link::NodeId;
use peerlab_link::proto::Secret;
use tokio::sync::{mpsc, oneshot};

use super::clock::RunClock;
use super::dial::Dialer;
use crate::disk::Snapshot;
use crate::engine::{NodeLog, WayIn};
use peerlab_core::conduct::{Command, Done, Ticket};
use peerlab_core::error::Result;
use peerlab_core::event::Joined;
use peerlab_core::plan::Endless;

/// What makes a network stay, and lets others in.
pub enum Stay {
    /// There is no end to come to.
    FromStart(FromStart),
    /// Once a run is over, if it is wanted then.
    AfterRun(AfterRun),
}

/// A network that stays from its start.
pub struct FromStart {
    /// Blocks and payments; it need not end.
    pub workload: Endless,
    /// What is asked by hand. The channel bounds how much may wait.
    pub requests: mpsc::Receiver<HandRequest>,
    /// What its nodes begin with, where they have a past.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// A run whose network may stay.
pub struct AfterRun {
    /// Told once the run's record is whole.
    pub over: oneshot::Sender<Live>,
    /// Then: the way in, or nothing where the network is not wanted.
    pub wanted: oneshot::Receiver<mpsc::Receiver<HandRequest>>,
}

/// Something that is asked by hand.
#[derive(Debug)]
pub enum HandRequest {
    /// Something is to be done.
    Do {
        command: Command,
        /// Told what came of it, once it is done, or the network has ended.
        answer: oneshot::Sender<Done>,
    },
    /// Where a program of the host could come in.
    WayIn {
        answer: oneshot::Sender<Result<WayIn>>,
    },
    /// A program of the host is to come in.
    Invite {
        joined: Joined,
        /// Told what it proves with that it was invited. That it has come, the fabric sees.
        answer: oneshot::Sender<Result<Secret>>,
    },
    /// The end of what a node's program wrote.
    Log {
        node: NodeId,
        /// So much of it, about.
        bytes_max: usize,
        answer: oneshot::Sender<Result<NodeLog>>,
    },
}

/// A network that is up, for those who ask its nodes.
#[derive(Clone, Debug)]
pub struct Live {
    /// Opens connections to nodes' probes.
    pub dialer: Dialer,
    /// The run's clock.
    pub clock: RunClock,
    /// Wall clock at time zero, nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
}

/// Requests by hand, and who waits for them. A run from start to end has none.
pub struct Requests {
    queue: Option<mpsc::Receiver<HandRequest>>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Done>>,
    last: Ticket,
}

impl Requests {
    /// Nobody asks.
    pub fn none() -> Requests {
        Requests {
            queue: None,
            waiting: BTreeMap::new(),
            last: 0,
        }
    }

    /// The next. Can be given up at any time.
    pub async fn next(&mut self) -> HandRequest {
        let request = match &mut self.queue {
            Some(queue) => queue.recv().await,
            None => None,
        };
        match request {
            Some(request) => request,
            // All who could ask have gone.
            None => pending().await,
        }
    }

    /// Whoever waits for the answer will have it under this number.
    pub fn take_number(&mut self, answer: oneshot::Sender<Done>) -> Ticket {
        self.last += 1;
        self.waiting.insert(self.last, answer);
        self.last
    }

    /// A request is done.
    pub fn answer(&mut self, ticket: Ticket, done: Done) {
        if let Some(answer) = self.waiting.remove(&ticket) {
            // Whoever asked may have gone.
            let _ = answer.send(done);
        }
    }
}

impl From<mpsc::Receiver<HandRequest>> for Requests {
    fn from(queue: mpsc::Receiver<HandRequest>) -> Requests {
        Requests {
            queue: Some(queue),
            ..Requests::none()
        }
    }
}
