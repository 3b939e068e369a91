//! The harness' side of the fabric's stream, for tests that wait.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use peerlab_link::framing::{Deframer, frame};
use peerlab_link::proto::{
    FromFabric, Lateness, NodeCounters, STREAMS_MAX, Seen, StreamAnswer, StreamOpen, ToFabric,
};
use peerlab_link::{Nanos, Network, NodeId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

use super::secret;

/// No answer takes so long unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// More seldom than the real harness, and often enough: the bench measures fabrics of older revisions
/// as well, which do not know this message, in less time.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);

/// What becomes of a dial.
pub type Dialed = Result<UnixStream, String>;

enum Request {
    Send(ToFabric),
    Dial(NodeId, u16, oneshot::Sender<Dialed>),
}

/// A running fabric.
pub struct Fabric {
    child: Child,
    requests: Option<mpsc::UnboundedSender<Request>>,
    events: Receiver<FromFabric>,
    /// Events that were passed over while another was waited for.
    passed: Vec<FromFabric>,
}

/// How the stream is made.
pub enum Pipe {
    /// Two pipes, as a container engine gives.
    Pipes,
    /// One socket for both directions.
    Socket,
}

impl Fabric {
    pub fn start(program: &Path, dir: &Path, pipe: &Pipe) -> Fabric {
        let mut command = Command::new(program);
        command.arg("--dir").arg(dir);
        let (sender, receiver) = mpsc::unbounded_channel();
        let (events_sender, events) = channel();
        let child = match pipe {
            Pipe::Pipes => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = command.spawn().unwrap();
                let input: OwnedFd = child.stdin.take().unwrap().into();
                let output: OwnedFd = child.stdout.take().unwrap().into();
                run_in_thread(receiver, events_sender, || {
                    tokio::io::join(
                        pipe::Receiver::from_owned_fd(output).unwrap(),
                        pipe::Sender::from_owned_fd(input).unwrap(),
                    )
                });
                child
            }
            Pipe::Socket => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let theirs: OwnedFd = theirs.into();
                command.stdin(theirs.try_clone().unwrap()).stdout(theirs);
                let child = command.spawn().unwrap();
                drop(command);
                run_in_thread(receiver, events_sender, || {
                    ours.set_nonblocking(true).unwrap();
                    tokio::net::UnixStream::from_std(ours).unwrap()
                });
                child
            }
        };
        Fabric {
            child,
            requests: Some(sender),
            events,
            passed: Vec::new(),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&self, message: ToFabric) {
        let request = Request::Send(message);
        assert!(self.requests.as_ref().unwrap().send(request).is_ok());
    }

    /// Sets up the network and waits until gates may come.
    pub fn set_up(&mut self, network: Network) {
        let nodes = 0..network.nodes.len() as u32;
        self.send(ToFabric::Setup {
            network: Box::new(network),
            secrets: nodes.map(|node| secret(NodeId(node))).collect(),
        });
        self.wait(|e| matches!(e, FromFabric::Listening).then_some(()));
    }

    /// Waits for the gate of every node, then starts all.
    pub fn go(&mut self, nodes: u32, schedule: Vec<peerlab_link::proto::Timed>) {
        for _ in 0..nodes {
            self.wait(|e| matches!(e, FromFabric::GateOpen { .. }).then_some(()));
        }
        let start = (0..nodes).map(NodeId).collect();
        self.send(ToFabric::Go { start, schedule });
        self.wait(|e| matches!(e, FromFabric::Gone { .. }).then_some(()));
    }

    /// Waits for an event that `pick` takes; others stay for later.
    pub fn wait<T>(&mut self, mut pick: impl FnMut(&FromFabric) -> Option<T>) -> T {
        if let Some((index, picked)) = first(&self.passed, &mut pick) {
            self.passed.remove(index);
            return picked;
        }
        loop {
            let event = self.events.recv_timeout(TIMEOUT);
            let event = event.unwrap_or_else(|e| panic!("{e}; before it: {:?}", self.passed));
            if let Some(picked) = pick(&event) {
                return picked;
            }
            self.passed.push(event);
        }
    }

    /// Applies an action now, and waits until it is done.
    pub fn apply(&mut self, action: peerlab_link::proto::Action) -> Result<Seen, String> {
        let tag = peerlab_link::proto::APPLY_TAG_MIN + 5;
        self.send(ToFabric::Apply { tag, action });
        self.wait(|e| match e {
            FromFabric::Applied { tag: t, result, .. } if *t == tag => Some(result.clone()),
            _ => None,
        })
    }

    /// The counters of all nodes.
    pub fn count(&mut self) -> (Vec<NodeCounters>, Lateness) {
        self.send(ToFabric::Count);
        self.wait(|e| match e {
            FromFabric::Counters {
                nodes,
                lateness,
                cpu,
                ..
            } => {
                assert!(*cpu > Nanos::ZERO, "a fabric that answers has computed");
                Some((nodes.clone(), *lateness))
            }
            _ => None,
        })
    }

    /// A connection into a node.
    pub fn dial(&self, node: NodeId, port: u16) -> Dialed {
        let (sender, receiver) = oneshot::channel();
        let request = Request::Dial(node, port, sender);
        assert!(self.requests.as_ref().unwrap().send(request).is_ok());
        receiver.blocking_recv().unwrap()
    }

    /// Ends the stream as a harness that dies does, and waits for the fabric's end.
    pub fn hang_up(mut self) -> ExitStatus {
        self.requests = None;
        self.child.wait().unwrap()
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        // After a failed assertion it would outlive the test otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first<T>(
    events: &[FromFabric],
    pick: &mut impl FnMut(&FromFabric) -> Option<T>,
) -> Option<(usize, T)> {
    let mut picked = events.iter().map(pick).enumerate();
    picked.find_map(|(index, picked)| Some((index, picked?)))
}

fn run_in_thread<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    requests: mpsc::UnboundedReceiver<Request>,
    events: std::sync::mpsc::Sender<FromFabric>,
    stream: impl FnOnce() -> S + Send + 'static,
) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        let session = async move {
            let mut config = Config::default();
            config.set_max_connection_receive_window(None);
            config.set_max_num_streams(STREAMS_MAX);
            let connection = Connection::new(stream().compat(), config, Mode::Client);
            let (opens, opens_receiver) = mpsc::unbounded_channel();
            tokio::select! {
                () = drive(connection, opens_receiver) => {}
                () = converse(requests, events, opens) => {}
            }
        };
        local.block_on(&runtime, session);
    });
}

/// Opens streams as asked, and keeps the connection going.
async fn drive<S: futures::AsyncRead + futures::AsyncWrite + Unpin>(
    mut connection: Connection<S>,
    mut opens: mpsc::UnboundedReceiver<oneshot::Sender<Stream>>,
) {
    let mut wanted: Option<oneshot::Sender<Stream>> = None;
    poll_fn(|cx| {
        loop {
            if wanted.is_none()
                && let Poll::Ready(Some(next)) = opens.poll_recv(cx)
            {
                wanted = Some(next);
            }
            if wanted.is_some()
                && let Poll::Ready(opened) = connection.poll_new_outbound(cx)
            {
                let (Ok(stream), Some(asked)) = (opened, wanted.take()) else {
                    return Poll::Ready(());
                };
                let _ = asked.send(stream);
                continue;
            }
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

async fn open(opens: &mpsc::UnboundedSender<oneshot::Sender<Stream>>) -> Stream {
    let (sender, receiver) = oneshot::channel();
    opens.send(sender).unwrap();
    receiver.await.unwrap()
}

/// The control stream, until the test hangs up.
async fn converse(
    mut requests: mpsc::UnboundedReceiver<Request>,
    events: std::sync::mpsc::Sender<FromFabric>,
    opens: mpsc::UnboundedSender<oneshot::Sender<Stream>>,
) {
    let (mut reader, mut writer) = open(&opens).await.split();
    tokio::task::spawn_local(async move {
        let mut deframer = Deframer::new();
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = reader.read(&mut bytes).await {
            deframer.push(&bytes[..length]);
            while let Some(event) = deframer.next_message().unwrap() {
                let _ = events.send(event);
            }
        }
    });
    loop {
        let request = tokio::time::timeout(HEARTBEAT_INTERVAL, requests.recv()).await;
        let Some(request) = request.unwrap_or(Some(Request::Send(ToFabric::Heartbeat))) else {
            return;
        };
        match request {
            Request::Send(message) => {
                writer.write_all(&frame(&message)).await.unwrap();
                writer.flush().await.unwrap();
            }
            Request::Dial(node, port, answer) => {
                let stream = open(&opens).await;
                tokio::task::spawn_local(dial(stream, node, port, answer));
            }
        }
    }
}

async fn dial(mut stream: Stream, node: NodeId, port: u16, answer: oneshot::Sender<Dialed>) {
    let opening = frame(&StreamOpen::Dial { node, port });
    stream.write_all(&opening).await.unwrap();
    stream.flush().await.unwrap();
    let mut deframer = Deframer::new();
    let mut byte = [0; 1];
    let said: StreamAnswer = loop {
        stream.read_exact(&mut byte).await.unwrap();
        deframer.push(&byte);
        if let Some(said) = deframer.next_message().unwrap() {
            break said;
        }
    };
    if let StreamAnswer::Refused(reason) = said {
        let _ = answer.send(Err(reason));
        return;
    }
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut near = tokio::net::UnixStream::from_std(near).unwrap();
    let _ = answer.send(Ok(far));
    let _ = tokio::io::copy_bidirectional(&mut stream.compat(), &mut near).await;
}
