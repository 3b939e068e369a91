//! The answering end: takes connections of its user alone, reads one request from each, and hands it to
//! the network.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use peerlab_core::error::{Error, Explain, Result};
use rustix::process::geteuid;
use tokio::io::copy_bidirectional;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::folder::Claim;
use super::holder::Network;
use super::request::{Envelope, REQUEST_BYTES_MAX, Reply, Request, not_understood};

/// Connections at once; others wait. Each may stay open for long, as one that waits for agreement does.
const CONNECTIONS_MAX: usize = 64;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long those may take to read their last answer who asked before the network ended.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers that may wait to be read.
const ANSWERS_MAX: usize = 16;
/// What to do where the socket cannot be made.
const SOCKET_HINT: &str = "is XDG_RUNTIME_DIR a very long path? A socket's may have 100 bytes";

/// A network that can be asked. It listens until [`Server::close`].
pub struct Server {
    accepting: tokio::task::JoinHandle<()>,
    connections: Arc<tokio::sync::Mutex<JoinSet<()>>>,
    claim: Claim,
}

impl Server {
    /// Listens on the socket of the name that is held.
    ///
    /// # Errors
    /// When there can be no such socket.
    pub fn start(claim: Claim, network: Arc<Network>) -> Result<Server> {
        let listener = UnixListener::bind(&claim.socket).or_environment(
            || format!("cannot listen on {}", claim.socket.display()),
            SOCKET_HINT,
        )?;
        let connections = Arc::new(tokio::sync::Mutex::new(JoinSet::new()));
        let accepting = tokio::spawn(accept(listener, network, connections.clone()));
        Ok(Server {
            accepting,
            connections,
            claim,
        })
    }

    /// Takes no more connections, and gives the name back: whoever is told then that the network has ended
    /// finds nothing of it any more.
    pub async fn close(self) -> Unanswered {
        self.accepting.abort();
        let _ = self.accepting.await;
        drop(self.claim);
        Unanswered(self.connections)
    }
}

/// Those who asked before a network ended.
pub struct Unanswered(Arc<tokio::sync::Mutex<JoinSet<()>>>);

impl Unanswered {
    /// Waits until they have read their answer. The network must have ended: some wait for that.
    pub async fn read(self) {
        let answered = async {
            let mut connections = self.0.lock().await;
            while connections.join_next().await.is_some() {}
        };
        if timeout(LAST_ANSWERS_TIMEOUT, answered).await.is_err() {
            tracing::warn!("not all who asked have read their answer");
        }
    }
}

async fn accept(
    listener: UnixListener,
    network: Arc<Network>,
    connections: Arc<tokio::sync::Mutex<JoinSet<()>>>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: others may be given back.
                tracing::warn!("cannot take a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let network = network.clone();
        let mut connections = connections.lock().await;
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            if let Err(error) = serve(stream, network).await {
                tracing::debug!("connection: {error}");
            }
            drop(slot);
        });
    }
}

/// Answers the one request of a connection.
async fn serve(stream: UnixStream, network: Arc<Network>) -> io::Result<()> {
    if !is_ours(&stream) {
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let envelope = match timeout(REQUEST_TIMEOUT, read_request(&mut read)).await {
        Ok(Ok(Some(envelope))) => envelope,
        Ok(Ok(None)) | Err(_) => return Ok(()),
        Ok(Err(error)) => return write_reply(&mut write, &Reply::Error(error)).await,
    };
    let becomes_a_stream = match &envelope.request {
        Request::Dial { node, port } => Some(network.dial(node, *port).await),
        Request::Shell { node, terminal } => Some(network.shell(node, terminal.clone()).await),
        _ => None,
    };
    if let Some(inside) = becomes_a_stream {
        let mut inside = match inside {
            Ok(inside) => inside,
            Err(error) => return write_reply(&mut write, &Reply::Error(error)).await,
        };
        write_reply(&mut write, &Reply::Open).await?;
        let mut outside = tokio::io::join(read, write);
        return copy_bidirectional(&mut outside, &mut inside)
            .await
            .map(drop);
    }
    let (sender, mut replies) = mpsc::channel(ANSWERS_MAX);
    let mut answering = network.answer(envelope.request, sender).boxed();
    let mut byte = [0];
    loop {
        tokio::select! {
            last = &mut answering => {
                while let Ok(reply) = replies.try_recv() {
                    write_reply(&mut write, &reply).await?;
                }
                return write_reply(&mut write, &last.unwrap_or_else(Reply::Error)).await;
            }
            Some(reply) = replies.recv() => write_reply(&mut write, &reply).await?,
            // Whoever asked has gone, as by Ctrl-C: what is done for the answer alone ends.
            _ = read.read(&mut byte) => return Ok(()),
        }
    }
}

/// Whether whoever connected is this process' user.
fn is_ours(stream: &UnixStream) -> bool {
    let peer = stream.peer_cred();
    let ours = geteuid().as_raw();
    match peer {
        Ok(peer) if peer.uid() == ours => true,
        Ok(peer) => {
            tracing::warn!("user {} was refused", peer.uid());
            false
        }
        Err(error) => {
            tracing::warn!("a connection was refused, since its user is not known: {error}");
            false
        }
    }
}

/// One line, bounded; `None` where there is none.
async fn read_request(read: &mut BufReader<OwnedReadHalf>) -> Result<Option<Envelope>> {
    let mut line = Vec::new();
    let mut limited = read.take(REQUEST_BYTES_MAX);
    let read = limited.read_until(b'\n', &mut line).await;
    read.or_input(not_understood)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        let cause = format!("it is longer than {REQUEST_BYTES_MAX} bytes, or was cut off");
        return Err(Error::input(not_understood()).because(cause));
    }
    Envelope::read(&line).map(Some)
}

async fn write_reply(write: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    write.flush().await
}
