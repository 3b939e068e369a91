//! The whole of what an engine must be able to do.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;

use peerlab_link::proto::Secret;
use peerlab_link::{Nanos, NodeId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use peerlab_core::error::Result;
use peerlab_core::event::HostFacts;

/// One duplex byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The stream to the fabric. When it closes, for whatever reason, the fabric ends, and every
/// gate and node after it.
pub type ByteStream = Box<dyn Duplex>;

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
/// `node_log` at will; `remove_all` may come at any time, also while one of the others is under
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
