//! The harness' end of a starter process: its two sockets, and what it says.

use crate::engine::hint;
use peerlab_core::error::hint::{BUG, DISK};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerlab_link::NodeId;
use peerlab_link::framing::{Deframer, frame, frame_into};
use peerlab_link::starter::{FromStarter, STARTER_COMMAND, ToStarter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::programs::Programs;
use crate::engine::{LastLines, NodeLog, socket_pair};
use peerlab_core::error::{Error, Explain, Result};

/// Where a node finds the daemon.
pub const NODE_PROGRAM: &str = "/peerlab-node";
/// How long the starter may take to make its namespaces and copy the programs.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long everything may take to end before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read from the starter at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes of messages that are written at once: enough to wake the starter seldom, and little enough that it
/// begins early.
const WRITE_BYTES: usize = 8 << 10;

/// A starter that is ready. When it is dropped, it and everything that it started is killed.
pub struct Starter {
    process: Child,
    socket: OwnedWriteHalf,
    said: Arc<Mutex<Said>>,
    words: LastLines,
    _reader: AbortOnDropHandle<()>,
    _listener: AbortOnDropHandle<()>,
}

/// What the starter said of others than nodes.
#[derive(Default)]
struct Said {
    /// Why it ended.
    failure: Option<Error>,
    /// Who waits for a node's log, in the order of the questions.
    logs: VecDeque<oneshot::Sender<NodeLog>>,
    /// Who waits for a node's end.
    ends: BTreeMap<NodeId, oneshot::Sender<()>>,
}

/// What the starter says of nodes, and the stream to the fabric.
pub struct Channels {
    /// Carries what the fabric speaks, once it is started.
    pub fabric: UnixStream,
    /// Gates that were started.
    pub started: mpsc::UnboundedReceiver<NodeId>,
    /// Gates that ended: whose, and exit code or minus the signal.
    pub ended: mpsc::UnboundedReceiver<(NodeId, i32)>,
    /// Standard error of both.
    pub words: LastLines,
    /// The starter's number.
    pub pid: i32,
}

impl Starter {
    /// Starts a starter and waits until it is ready; `images` are folders that are roots of
    /// images.
    ///
    /// # Errors
    /// When this machine does not allow what it needs, with advice.
    pub async fn start(programs: &Programs, images: &[PathBuf]) -> Result<(Starter, Channels)> {
        let cannot = || "cannot start nodes on this machine".to_owned();
        let (socket, its_socket) = socket_pair().or_environment(cannot, hint::MACHINE)?;
        let (fabric, its_fabric) = socket_pair().or_environment(cannot, hint::MACHINE)?;
        let mut process = Command::new(&programs.gate)
            .arg(STARTER_COMMAND)
            .env_clear()
            .stdin(Stdio::from(its_socket))
            .stdout(Stdio::from(its_fabric))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .or_environment(
                || format!("cannot run {}", programs.gate.display()),
                hint::PROGRAMS,
            )?;
        let (read, write) = socket.into_split();
        let said = Arc::<Mutex<Said>>::default();
        let (ready, is_ready) = oneshot::channel();
        let (started_sender, started) = mpsc::unbounded_channel();
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let reader = Reader {
            said: said.clone(),
            ready: Some(ready),
            started: started_sender,
            ended: ended_sender,
        };
        let stderr = process.stderr.take();
        let words = LastLines::default();
        let followed = words.clone();
        let listener = async move {
            if let Some(stderr) = stderr {
                let show = |line: &str| tracing::debug!("starter: {line}");
                followed.follow(stderr, show).await;
            }
        };
        let mut starter = Starter {
            process,
            socket: write,
            said,
            words: words.clone(),
            _reader: AbortOnDropHandle::new(tokio::spawn(reader.run(read))),
            _listener: AbortOnDropHandle::new(tokio::spawn(listener)),
        };
        starter.setup(programs, images).await?;
        match timeout(READY_TIMEOUT, is_ready).await {
            Ok(Ok(pid)) => Ok((
                starter,
                Channels {
                    fabric,
                    started,
                    ended,
                    words,
                    pid,
                },
            )),
            Ok(Err(_)) => Err(starter.failure().await),
            Err(_) => Err(Error::environment(
                cannot(),
                "the starter does not get ready",
                hint::MACHINE,
            )),
        }
    }

    async fn setup(&mut self, programs: &Programs, images: &[PathBuf]) -> Result<()> {
        let bytes = |path: &PathBuf| {
            let path = std::path::absolute(path)
                .or_environment(|| format!("{} is no path", path.display()), DISK)?;
            Ok(path.into_os_string().into_vec())
        };
        let setup = ToStarter::Setup {
            fabric: bytes(&programs.fabric)?,
            programs: vec![(
                NODE_PROGRAM.trim_start_matches('/').to_owned(),
                bytes(&programs.node)?,
            )],
            images: images.iter().map(bytes).collect::<Result<_>>()?,
        };
        self.tell(&setup).await
    }

    /// Tells the starter to do something.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn tell(&mut self, message: &ToStarter) -> Result<()> {
        self.write(&frame(message)).await
    }

    /// Tells it to do several things, and wakes it no more often than needs be.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn tell_all(&mut self, messages: impl Iterator<Item = ToStarter>) -> Result<()> {
        let mut bytes = Vec::new();
        for message in messages {
            frame_into(&message, &mut bytes);
            if bytes.len() >= WRITE_BYTES {
                self.write(&bytes).await?;
                bytes.clear();
            }
        }
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self.socket.write_all(bytes).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Asks for the end of a node's log.
    ///
    /// # Errors
    /// When the starter has ended.
    pub async fn ask_log(
        &mut self,
        node: NodeId,
        bytes_max: u32,
    ) -> Result<oneshot::Receiver<NodeLog>> {
        let (sender, answer) = oneshot::channel();
        lock(&self.said).logs.push_back(sender);
        self.tell(&ToStarter::Log { node, bytes_max }).await?;
        Ok(answer)
    }

    /// Has a node ended, and tells when that is done.
    ///
    /// # Errors
    /// When the starter has ended.
    pub async fn end_node(&mut self, node: NodeId) -> Result<oneshot::Receiver<()>> {
        let (sender, ended) = oneshot::channel();
        lock(&self.said).ends.insert(node, sender);
        self.tell(&ToStarter::EndNode { node }).await?;
        Ok(ended)
    }

    /// Why the starter has ended, or seems to have.
    async fn failure(&mut self) -> Error {
        // What it said last is read by then.
        let ended = timeout(END_TIMEOUT, self.process.wait()).await;
        if let Some(failure) = lock(&self.said).failure.clone() {
            return failure;
        }
        let cause = match ended {
            Ok(Ok(status)) => status.to_string(),
            _ => "it does not say how".into(),
        };
        let what = "the starter of the local engine ended by itself";
        let error = Error::environment(what, cause, hint::MACHINE);
        let lines = self.words.lines();
        if lines.is_empty() {
            error
        } else {
            error.because(format!("the end of its log:\n{}", lines.join("\n")))
        }
    }

    /// Ends everything that was started, and waits until it is gone.
    ///
    /// # Errors
    /// When something does not end even though it is killed.
    pub async fn end(&mut self) -> Result<()> {
        // The starter may have ended before.
        let _ = self.socket.shutdown().await;
        if timeout(END_TIMEOUT, self.process.wait()).await.is_ok() {
            return Ok(());
        }
        tracing::warn!("the starter does not end; it is killed");
        let killed = self.process.start_kill();
        match timeout(END_TIMEOUT, self.process.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let error = Error::environment(
                    "the nodes do not end",
                    format!("nothing came of it within {} s", END_TIMEOUT.as_secs()),
                    "`peerlab clean` tries again",
                );
                Err(match killed {
                    Ok(()) => error,
                    Err(e) => error.caused_by(e),
                })
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands out what the starter says.
struct Reader {
    said: Arc<Mutex<Said>>,
    ready: Option<oneshot::Sender<i32>>,
    started: mpsc::UnboundedSender<NodeId>,
    ended: mpsc::UnboundedSender<(NodeId, i32)>,
}

impl Reader {
    async fn run(mut self, mut socket: OwnedReadHalf) {
        let mut deframer = Deframer::new();
        let mut bytes = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = socket.read(&mut bytes).await {
            deframer.push(&bytes[..count]);
            loop {
                match deframer.next_message() {
                    Ok(Some(message)) => self.receive(message),
                    Ok(None) => break,
                    Err(error) => {
                        lock(&self.said).failure = Some(Error::environment(
                            "cannot read what the starter says",
                            error,
                            BUG,
                        ));
                        return;
                    }
                }
            }
        }
        // Whoever waits for a log waits no longer.
        let mut said = lock(&self.said);
        said.logs.clear();
        said.ends.clear();
    }

    fn receive(&mut self, message: FromStarter) {
        // Nobody may be listening any more; then it does not matter.
        match message {
            FromStarter::Ready { pid } => {
                let _ = self.ready.take().map(|ready| ready.send(pid));
            }
            FromStarter::Failed { reason, hint } => {
                let hint = hint.unwrap_or_else(|| hint::MACHINE.into());
                let error = Error::environment("cannot start nodes on this machine", reason, hint);
                lock(&self.said).failure = Some(error);
                // Dropping it tells whoever waits.
                self.ready = None;
            }
            FromStarter::FabricStarted => {}
            FromStarter::FabricEnded { status } => tracing::debug!("the fabric ended: {status}"),
            FromStarter::NodeStarted { node } => drop(self.started.send(node)),
            FromStarter::NodeEnded { node, status } => {
                let waiting = lock(&self.said).ends.remove(&node);
                match waiting {
                    Some(waiting) => drop(waiting.send(())),
                    None => drop(self.ended.send((node, status))),
                }
            }
            FromStarter::Log {
                left_out,
                bytes,
                read,
                ..
            } => {
                let waiting = lock(&self.said).logs.pop_front();
                let log = NodeLog {
                    left_out,
                    bytes,
                    read,
                };
                let _ = waiting.map(|waiting| waiting.send(log));
            }
        }
    }
}
