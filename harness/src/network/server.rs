//! The answering end: takes connections of its user alone, reads one request from each, and hands it to
//! the network. What goes on for long has a bound of its own, so that a network that is watched by many can
//! still be asked, and taken down.

use std::io;
use std::path::PathBuf;
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
use super::last_word::LastWord;
use super::request::{Envelope, REQUEST_BYTES_MAX, Reply, Request, not_understood};
use crate::serve::{Connections, Slot};

/// Connections at once of which the request is read, or answered soon; others wait.
const CONNECTIONS_MAX: usize = 64;
/// Connections beside them that last; more are refused.
const LASTING_MAX: usize = 64;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long those may take to read their last answer who asked before the network ended.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers that may wait to be read.
const ANSWERS_MAX: usize = 16;
/// What to do where the socket cannot be made.
const SOCKET_HINT: &str = "is XDG_RUNTIME_DIR a very long path? A socket's may have 100 bytes";
/// What to do where there are too many that last.
const LASTING_HINT: &str = "end some: each stream through `forward`, and each `shell`, `wait`, `capture`, `save` \
                            and `pay` at a rate is one";

/// A network that can be asked. It listens until [`Server::close`].
pub struct Server {
    connections: Connections,
    claim: Claim,
    /// Where the network's record is.
    dir: PathBuf,
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
        let dir = network.dir().to_owned();
        claim.begin(&LastWord::killed(&dir));
        let lasting = Arc::new(Semaphore::new(LASTING_MAX));
        let answering = Arc::new(Answering { network, lasting });
        let connections = Connections::take(listener, CONNECTIONS_MAX, move |stream, slot| {
            let answering = answering.clone();
            async move {
                if let Err(error) = answering.serve(stream, slot).await {
                    tracing::debug!("connection: {error}");
                }
            }
        });
        Ok(Server {
            connections,
            claim,
            dir,
        })
    }

    /// Takes no more connections, and gives the name back: whoever is told then that the network has ended
    /// finds nothing of it any more, but for its last word, where something has ended it.
    pub async fn close(self, ended_by: Option<Error>) -> Unanswered {
        let open = self.connections.close().await;
        match ended_by {
            Some(error) => self.claim.leave(&LastWord::of(&self.dir, error)),
            None => drop(self.claim),
        }
        Unanswered(open)
    }
}

/// Those who asked before a network ended.
pub struct Unanswered(JoinSet<()>);

impl Unanswered {
    /// Waits until they have read their answer. The network must have ended: some wait for that.
    pub async fn read(mut self) {
        let answered = async { while self.0.join_next().await.is_some() {} };
        if timeout(LAST_ANSWERS_TIMEOUT, answered).await.is_err() {
            tracing::warn!("not all who asked have read their answer");
        }
    }
}

/// What requests are answered with.
struct Answering {
    network: Arc<Network>,
    lasting: Arc<Semaphore>,
}

impl Answering {
    /// Answers the one request of a connection.
    async fn serve(&self, stream: UnixStream, slot: Slot) -> io::Result<()> {
        if !is_ours(&stream) {
            return Ok(());
        }
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let request = match timeout(REQUEST_TIMEOUT, read_request(&mut read)).await {
            Ok(Ok(Some(envelope))) => envelope.request,
            Ok(Ok(None)) | Err(_) => return Ok(()),
            Ok(Err(error)) => return write_reply(&mut write, &Reply::Error(error)).await,
        };
        let _slot = match self.slot_for(&request, slot) {
            Ok(slot) => slot,
            Err(error) => return write_reply(&mut write, &Reply::Error(error)).await,
        };
        let becomes_a_stream = match &request {
            Request::Dial { node, port } => Some(self.network.dial(node, *port).await),
            Request::Shell { node, terminal } => {
                Some(self.network.shell(node, terminal.clone()).await)
            }
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
        let mut answering = self.network.answer(request, sender).boxed();
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

    /// What a request has while it is answered: the slot that it came with, or one of those that last.
    fn slot_for(&self, request: &Request, slot: Slot) -> Result<Slot> {
        if !request.lasts() {
            return Ok(slot);
        }
        self.lasting.clone().try_acquire_owned().map_err(|_| {
            Error::environment(
                "the network takes no more connections that last",
                format!("{LASTING_MAX} connections are open already"),
                LASTING_HINT,
            )
        })
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
