//! Connections into a node's namespaces, through fabric and gate.

use std::io::Read;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use peerlab_link::proto::{Archived, Digested, FileStamp, Ran, StreamAnswer, StreamOpen, Terminal};
use peerlab_link::{Nanos, NodeId};
use tokio::sync::{mpsc, oneshot};

use super::archive;
use super::capture::CaptureStream;
use super::mux::{Mux, MuxStream, read_message, write_message};
use crate::disk::NodeArchive;
use crate::engine::NodeLog;
use crate::probe::{self, Answer, Probe, ProbeError, Reach, bounded};
use peerlab_core::error::Result;
use peerlab_core::experiment;
use peerlab_core::plan::Plan;

const NANOS_PER_MS: u64 = 1_000_000;
/// How long a connection may take to open: it is loopback, on a host that may be busy.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the end of a node's log that its probe looks at: a program does not write more between two looks.
const LOG_BYTES: usize = 64 << 10;
/// By how much sooner than its program is known to run a node's log may say something, milliseconds: what was
/// started is told of afterwards.
const LOG_EARLY_MS: u64 = 1_000;

/// Asks the run for a node's log: the task that owns it has the engine.
#[derive(Debug)]
pub struct LogRequest {
    pub node: NodeId,
    /// So much of its end, about.
    pub bytes_max: usize,
    pub answer: oneshot::Sender<Result<NodeLog>>,
}

/// Where logs come from.
#[derive(Clone, Debug)]
pub struct LogSource {
    /// The run. The channel bounds how many wait.
    pub requests: mpsc::Sender<LogRequest>,
    /// Wall clock at time zero, nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
}

/// Opens connections to nodes' probes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    mux: Mux,
    /// `None` where no node's log is looked at.
    logs: Option<LogSource>,
    /// By group.
    probes: Arc<[experiment::Probe]>,
    /// Each node's group.
    groups: Arc<RwLock<Vec<u32>>>,
}

impl Dialer {
    /// For the nodes of this plan.
    pub fn new(mux: Mux, logs: Option<LogSource>, plan: &Plan) -> Dialer {
        Dialer {
            mux,
            logs,
            probes: plan
                .groups
                .iter()
                .map(|group| group.probe.clone())
                .collect(),
            groups: Arc::new(RwLock::new(
                plan.nodes.iter().map(|node| node.group).collect(),
            )),
        }
    }

    /// There is one node more, with the next id, for all clones.
    pub fn add(&self, group: u32) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.push(group);
    }

    /// A connection to a node's probe.
    ///
    /// # Errors
    /// When the node does not take it: it is down, or not yet ready.
    pub async fn probe(&self, node: NodeId) -> Result<Box<dyn Probe>, ProbeError> {
        self.probe_since(node, Nanos::ZERO).await
    }

    /// The same where its program was started at this instant.
    ///
    /// # Errors
    /// As [`Dialer::probe`].
    pub async fn probe_since(
        &self,
        node: NodeId,
        began: Nanos,
    ) -> Result<Box<dyn Probe>, ProbeError> {
        let kind = self.probe_of(node);
        let kind = kind.ok_or(ProbeError::Unable("anything"))?;
        let reach = NodeReach {
            began,
            ..self.reach(node)
        };
        probe::open(kind, reach).await
    }

    /// A TCP connection to 127.0.0.1:`port` in a node.
    ///
    /// # Errors
    /// When nothing listens there, or the node is lost.
    pub async fn dial(&self, node: NodeId, port: u16) -> Result<MuxStream, ProbeError> {
        self.reach(node).dial(port).await
    }

    /// What comes of a program that is run beside a node's own.
    ///
    /// # Errors
    /// When it takes too long, or the node is lost.
    pub async fn run(&self, node: NodeId, command: &[String]) -> Result<Ran, ProbeError> {
        self.reach(node).run(command).await
    }

    /// A program beside a node's own, whose standard streams are what is given.
    ///
    /// # Errors
    /// When the node's image has no such program, or the node is down or lost.
    pub async fn talk(
        &self,
        node: NodeId,
        command: &[&str],
        terminal: Option<Terminal>,
    ) -> Result<MuxStream, ProbeError> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let talk = StreamOpen::Talk {
            node,
            command,
            terminal,
        };
        self.reach(node).open(talk).await
    }

    /// All that a node has written, which must be down.
    ///
    /// # Errors
    /// When its program runs, it is lost, or the archive cannot be written.
    pub async fn archive(&self, node: NodeId, to: &mut NodeArchive) -> std::io::Result<Archived> {
        let stream = self.reach(node).open(StreamOpen::Archive { node }).await;
        archive::take(stream.map_err(std::io::Error::other)?, to).await
    }

    /// Gives a node, which must be down or not let go yet, what one had written.
    ///
    /// # Errors
    /// When its program runs, it is lost, or it does not take the archive.
    pub async fn restore(
        &self,
        node: NodeId,
        from: impl Read,
        archived: Archived,
    ) -> std::io::Result<()> {
        let stream = self.reach(node).open(StreamOpen::Restore { node }).await;
        archive::give(stream.map_err(std::io::Error::other)?, from, archived).await
    }

    fn probe_of(&self, node: NodeId) -> Option<&experiment::Probe> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        let group = groups.get(node.index())?;
        self.probes.get(*group as usize)
    }

    /// Has the packets of nodes captured from now on.
    ///
    /// # Errors
    /// When the fabric does not.
    pub async fn capture(&self, nodes: Vec<NodeId>) -> Result<CaptureStream> {
        CaptureStream::open(&self.mux, nodes).await
    }

    fn reach(&self, node: NodeId) -> NodeReach {
        NodeReach {
            mux: self.mux.clone(),
            logs: self.logs.clone(),
            node,
            began: Nanos::ZERO,
        }
    }
}

/// The way into one node.
#[derive(Debug)]
struct NodeReach {
    mux: Mux,
    logs: Option<LogSource>,
    node: NodeId,
    /// When its program was started.
    began: Nanos,
}

impl Reach for NodeReach {
    type Stream = MuxStream;

    fn dial(&self, port: u16) -> Answer<'_, MuxStream> {
        let node = self.node;
        Box::pin(self.open(StreamOpen::Dial { node, port }))
    }

    fn run<'a>(&'a self, command: &'a [String]) -> Answer<'a, Ran> {
        let (node, command) = (self.node, command.to_vec());
        Box::pin(async move {
            let mut stream = self.open(StreamOpen::Run { node, command }).await?;
            let ran = read_message(&mut stream).await?;
            ran.ok_or_else(|| ProbeError::Transport("the program took too long".into()))
        })
    }

    fn written(&self) -> Answer<'_, String> {
        Box::pin(async {
            let logs = self.logs.as_ref().ok_or(ProbeError::Unable("its log"))?;
            let log = logs.read(self.node).await?;
            // All that there is where it was never started anew.
            let since = match self.began {
                Nanos::ZERO => 0,
                began => (logs.unix_nanos.saturating_add(began.0) / NANOS_PER_MS)
                    .saturating_sub(LOG_EARLY_MS),
            };
            Ok(log.lines_since(since))
        })
    }

    fn digest<'a>(&'a self, path: &'a str, unless: Option<FileStamp>) -> Answer<'a, Digested> {
        let (node, path) = (self.node, path.to_owned());
        Box::pin(async move {
            let digest = StreamOpen::Digest { node, path, unless };
            let mut stream = self.open(digest).await?;
            let digested = read_message(&mut stream).await?;
            digested.ok_or_else(|| ProbeError::Transport("its digest took too long".into()))
        })
    }
}

impl LogSource {
    async fn read(&self, node: NodeId) -> Result<NodeLog, ProbeError> {
        let (answer, log) = oneshot::channel();
        let request = LogRequest {
            node,
            bytes_max: LOG_BYTES,
            answer,
        };
        let over = || ProbeError::Transport("the run is over".into());
        let sent = self.requests.send(request).await;
        sent.map_err(|_| over())?;
        let log = log.await.map_err(|_| over())?;
        log.map_err(|e| ProbeError::Transport(e.to_string()))
    }
}

impl NodeReach {
    async fn open(&self, what: StreamOpen) -> Result<MuxStream, ProbeError> {
        let open = async {
            let mut stream = self.mux.open().await?;
            write_message(&mut stream, &what).await?;
            match read_message(&mut stream).await? {
                Some(StreamAnswer::Open) => Ok(stream),
                Some(StreamAnswer::Refused(reason)) => Err(ProbeError::Transport(reason)),
                None => Err(ProbeError::Transport("the stream was closed".into())),
            }
        };
        bounded(OPEN_TIMEOUT, open).await
    }
}
