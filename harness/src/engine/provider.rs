//! The whole of what an engine must be able to do.

use std::future::Future;

use peerlab_link::NodeId;
use tokio::io::{AsyncRead, AsyncWrite};

use peerlab_core::error::Result;
use peerlab_core::event::HostFacts;

/// One duplex byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The stream to the fabric. When it closes, for whatever reason, the fabric ends, and every
/// gate and node after it.
pub type ByteStream = Box<dyn Duplex>;

/// Starts and removes the processes of one run. Call order: `start_fabric`, `start_gates`, then
/// `node_log` at will; `remove_all` may come at any time, also while one of the others is under
/// way or was dropped, and leaves nothing behind.
pub trait Engine: Send + Sync {
    /// As in [`peerlab_core::event::What::Started`].
    fn name(&self) -> &'static str;

    /// The machine that the nodes run on.
    fn host(&self) -> HostFacts;

    /// Whether the nodes run on the machine that this process runs on.
    fn shares_host(&self) -> bool;

    /// Starts the fabric and gives the stream to it.
    fn start_fabric(&self) -> impl Future<Output = Result<ByteStream>> + Send;

    /// Starts the gates of all nodes, several at once; `started` is told of each. The fabric
    /// must be listening. That the gates are open is not told here but by the fabric.
    fn start_gates(
        &self,
        started: &(dyn Fn(NodeId) + Sync),
    ) -> impl Future<Output = Result<()>> + Send;

    /// Waits until a node's gate has ended by itself, and says why.
    fn gate_ended(&self) -> impl Future<Output = (NodeId, String)> + Send;

    /// The end of what a node's program wrote, at most about this many bytes.
    fn node_log(
        &self,
        node: NodeId,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<u8>>> + Send;

    /// The last lines that the fabric wrote, for error messages.
    fn fabric_log(&self) -> Vec<String>;

    /// Removes everything of this run, and checks that nothing is left.
    fn remove_all(&self) -> impl Future<Output = Result<()>> + Send;
}
