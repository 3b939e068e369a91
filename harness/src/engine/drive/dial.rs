//! Connections into a node's namespaces, through fabric and gate.

use std::io::Read;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use peerlab_link::NodeId;
use peerlab_link::proto::{Archived, Ran, StreamAnswer, StreamOpen, Terminal};

use super::archive;
use super::capture::CaptureStream;
use super::mux::{Mux, MuxStream, read_message, write_message};
use crate::disk::NodeArchive;
use crate::probe::{self, Answer, Probe, ProbeError, Reach, bounded};
use peerlab_core::experiment;
use peerlab_core::plan::Plan;

/// How long a connection may take to open: it is loopback, on a host that may be busy.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens connections to nodes' probes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    mux: Mux,
    /// By group.
    probes: Arc<[experiment::Probe]>,
    /// Each node's group.
    groups: Arc<RwLock<Vec<u32>>>,
}

impl Dialer {
    /// For the nodes of this plan.
    pub fn new(mux: Mux, plan: &Plan) -> Dialer {
        Dialer {
            mux,
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
        let kind = self.probe_of(node);
        let kind = kind.ok_or(ProbeError::Unable("anything"))?;
        probe::open(kind, self.reach(node)).await
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
    pub async fn capture(&self, nodes: Vec<NodeId>) -> peerlab_core::error::Result<CaptureStream> {
        CaptureStream::open(&self.mux, nodes).await
    }

    fn reach(&self, node: NodeId) -> NodeReach {
        let mux = self.mux.clone();
        NodeReach { mux, node }
    }
}

/// The way into one node.
#[derive(Debug)]
struct NodeReach {
    mux: Mux,
    node: NodeId,
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
