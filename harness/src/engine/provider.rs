//! The whole of what an engine must be able to do.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;

use peerlab_link::proto::Secret;
use peerlab_link::{Nanos, NodeId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::NodeLog;
use peerlab_core::error::Result;
use peerlab_core::event::HostFacts;
use peerlab_core::plan::spec::Node;

/// One duplex byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The stream to the fabric. When it closes, for whatever reason, the fabric ends, and every
/// gate and node after it.
pub type ByteStream = Box<dyn Duplex>;

/// Where a program of this machine finds the fabric.
#[derive(Clone, Debug)]
pub struct WayIn {
    /// The program that brings it there.
    pub gate: PathBuf,
    /// The fabric's socket.
    pub socket: PathBuf,
}

/// A stream to a program that gets the other end as its standard input or output.
///
/// # Errors
/// As the kernel says.
pub fn socket_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// Starts and removes the processes of one run. Call order: `start_fabric`, `start_gates`, then
/// `start_gate`, `remove_node` and `node_log` at will; `remove_all` may come at any time, also while one of the others is under
/// way or was dropped, and leaves nothing behind.
pub trait Engine: Send + Sync {
    /// As in [`peerlab_core::event::What::Started`].
    fn name(&self) -> &'static str;

    /// The machine that the nodes run on.
    fn host(&self) -> HostFacts;

    /// Whether the nodes run on the machine that this process runs on.
    fn shares_host(&self) -> bool;

    /// CPU time on this machine of what the engine itself runs for the run, beside fabric and gates, as
    /// far as this process can see it. Only differences mean something, once the gates are started.
    fn own_cpu(&self) -> Nanos;

    /// Starts the fabric and gives the stream to it.
    fn start_fabric(&self) -> impl Future<Output = Result<ByteStream>> + Send;

    /// Starts the gates of all nodes, several at once; `started` is told of each. The fabric
    /// must be listening. That the gates are open is not told here but by the fabric. Each node's
    /// secret is for its gate alone: nothing else that runs in the node may be able to read it.
    fn start_gates(
        &self,
        secrets: &[Secret],
        started: &(dyn Fn(NodeId) + Sync),
    ) -> impl Future<Output = Result<()>> + Send;

    /// Starts the gate of a node that joins, as [`Engine::start_gates`] does. The fabric must expect it.
    fn start_gate(&self, node: &Node, secret: Secret) -> impl Future<Output = Result<()>> + Send;

    /// Ends a node's gate, and removes whatever ran it. A node that has ended already is no error.
    fn remove_node(&self, node: NodeId) -> impl Future<Output = Result<()>> + Send;

    /// Waits until a node's gate has ended by itself, and says why.
    fn gate_ended(&self) -> impl Future<Output = (NodeId, String)> + Send;

    /// Where a program of this machine can come in, as a guest.
    ///
    /// # Errors
    /// When none can.
    fn way_in(&self) -> Result<WayIn>;

    /// The end of what a node's program wrote, at most about this many bytes.
    fn node_log(
        &self,
        node: NodeId,
        bytes_max: usize,
    ) -> impl Future<Output = Result<NodeLog>> + Send;

    /// The last lines that the fabric wrote, for error messages.
    fn fabric_log(&self) -> Vec<String>;

    /// Removes everything of this run, and checks that nothing is left.
    fn remove_all(&self) -> impl Future<Output = Result<()>> + Send;
}
