//! The harness' end: one multiplexed connection over standard input and output. Its first stream
//! carries control messages; each later one is a connection into a node. When it ends, or the
//! harness falls silent, so does the fabric.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use futures::{AsyncReadExt, AsyncWriteExt};
use peerlab_link::framing::{Deframer, frame_into};
use peerlab_link::proto::{
    APPLY_TAG_MIN, FromFabric, HARNESS_SILENCE_MAX, NodeFile, STREAMS_MAX, Secret, StreamOpen,
    Timed, ToFabric, ToGate,
};
use peerlab_link::{LinkModel, Nanos, Network, NodeId, NodeLink};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};
use yamux::{Config, Connection, Mode, Stream};

use super::gates::Gates;
use super::opening;
use super::shared_dir::SharedDir;
use super::stdio::Stdio;
use super::{capture, dial};
use crate::clock::Clock;
use crate::forward::{Command, Forwarder};

/// Bytes read from the control stream at once.
const READ_BYTES: usize = 64 << 10;
/// Events are written together up to this many bytes.
const WRITE_BYTES: usize = 256 << 10;
/// How long the harness has to read why the fabric failed.
const FAREWELL: Duration = Duration::from_secs(1);
/// The last part of a silence. A fabric that itself stood still finds the silence over, and hears
/// meanwhile what was said.
const LAST_LISTENING: Nanos = Nanos::from_secs(1);

/// Serves the harness until it is gone.
///
/// # Errors
/// When the fabric cannot go on; the harness has been told why, if it could be.
pub(crate) async fn run(dir: Rc<SharedDir>) -> Result<()> {
    let stdio = Stdio::take().context("standard input and output are no byte stream")?;
    serve(stdio, dir).await
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, dir: Rc<SharedDir>) -> Result<()> {
    let mut config = Config::default();
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(STREAMS_MAX);
    let mut connection = Connection::new(stream, config, Mode::Server);
    let session = Rc::new(Session::new(dir));
    let mut control = None;
    let silence = session.silence();
    tokio::pin!(silence);
    loop {
        let next = poll_fn(|cx| connection.poll_next_inbound(cx));
        tokio::select! {
            biased;
            ended = ended(&mut control) => return ended,
            () = &mut silence => bail!(
                "nothing was heard from the harness for {} s",
                HARNESS_SILENCE_MAX.as_secs_f64()
            ),
            next = next => match next {
                None => return Ok(()),
                // The pipe broke: the harness is gone.
                Some(Err(_)) => return Ok(()),
                Some(Ok(stream)) if control.is_none() => {
                    control = Some(spawn_local(Rc::clone(&session).control(stream)));
                }
                Some(Ok(stream)) => {
                    spawn_local(Rc::clone(&session).further(stream));
                }
            },
        }
    }
}

/// How the control stream ended, once there is one and it has.
async fn ended(control: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    match control {
        Some(task) => task.await.context("the control task panicked")?,
        None => pending().await,
    }
}

/// What the harness has set up.
struct Session {
    dir: Rc<SharedDir>,
    clock: Clock,
    /// What nodes are to have, as long as there are no gates.
    files: RefCell<BTreeMap<NodeId, Vec<NodeFile>>>,
    gates: OnceCell<Rc<Gates>>,
    /// When the harness last said something on the control stream.
    heard: Cell<Instant>,
}

impl Session {
    fn new(dir: Rc<SharedDir>) -> Session {
        Session {
            dir,
            clock: Clock::new(),
            files: RefCell::default(),
            gates: OnceCell::new(),
            heard: Cell::new(Instant::now()),
        }
    }

    /// Returns once the harness has been silent for as long as it may.
    async fn silence(&self) {
        loop {
            let heard = self.heard.get();
            let wait = HARNESS_SILENCE_MAX.saturating_sub(LAST_LISTENING);
            sleep_until(heard + wait.into()).await;
            sleep(LAST_LISTENING.into()).await;
            if self.heard.get() == heard {
                return;
            }
        }
    }

    /// The control stream, to its end.
    async fn control(self: Rc<Self>, stream: Stream) -> Result<()> {
        let (reader, writer) = stream.split();
        let (events, events_receiver) = unbounded_channel();
        let mut written = spawn_local(write_events(writer, events_receiver));
        let failed = tokio::select! {
            read = self.read_commands(reader, &events) => match read {
                Ok(()) => return Ok(()),
                Err(e) => {
                    let reason = format!("{e:#}");
                    // The writer ends once it has written this.
                    let _ = events.send(FromFabric::Failed { reason });
                    written.await
                }
            },
            failed = &mut written => failed,
        };
        // The connection carries it out meanwhile; the harness hangs up when it has read it.
        sleep(FAREWELL).await;
        match failed {
            Ok(Some(reason)) => bail!(reason),
            _ => Ok(()),
        }
    }

    async fn read_commands(
        &self,
        mut reader: ReadHalf<Stream>,
        events: &UnboundedSender<FromFabric>,
    ) -> Result<()> {
        let mut deframer = Deframer::new();
        let mut bytes = vec![0; READ_BYTES];
        loop {
            // A reset stream is an ended one.
            let length = reader.read(&mut bytes).await.unwrap_or(0);
            if length == 0 {
                return Ok(());
            }
            self.heard.set(Instant::now());
            deframer.push(&bytes[..length]);
            while let Some(message) = deframer.next_message()? {
                self.obey(message, events)?;
            }
        }
    }

    fn obey(&self, message: ToFabric, events: &UnboundedSender<FromFabric>) -> Result<()> {
        match message {
            ToFabric::Setup { network, secrets } => self.set_up(*network, secrets, events)?,
            ToFabric::NodeFiles { node, files } => match self.gates.get() {
                Some(gates) => gates.provide(node, files),
                None => drop(self.files.borrow_mut().insert(node, files)),
            },
            ToFabric::File { name, bytes } => self
                .dir
                .append(&name, &bytes)
                .with_context(|| format!("cannot write the shared file {name:?}"))?,
            ToFabric::Go { start, schedule } => {
                check_schedule(&schedule)?;
                self.gates()?.ask(Command::Go { start, schedule });
            }
            ToFabric::Apply { tag, action } => {
                ensure!(
                    tag >= APPLY_TAG_MIN,
                    "the tag {tag} is the fault schedule's"
                );
                self.gates()?.ask(Command::Apply { tag, action });
            }
            ToFabric::Count => self.gates()?.ask(Command::Count),
            // Where the gate is gone, `GateLost` says so: no answer comes.
            ToFabric::Usage { node, memory } => {
                let _ = self.gates()?.table.send(node, &ToGate::Usage { memory });
            }
            ToFabric::Heartbeat => {}
            ToFabric::Join { link, secret } => self.join(link, secret)?,
            ToFabric::Forget { node } => self.gates()?.forget(node),
        }
        Ok(())
    }

    fn join(&self, link: NodeLink, secret: Secret) -> Result<()> {
        let gates = self.gates()?;
        gates.join(link, secret);
        gates
            .admit(&self.dir)
            .context("cannot make the gates' socket")
    }

    fn set_up(
        &self,
        network: Network,
        secrets: Vec<Secret>,
        events: &UnboundedSender<FromFabric>,
    ) -> Result<()> {
        ensure!(self.gates.get().is_none(), "a second setup");
        let one_each = secrets.len() == network.nodes.len();
        ensure!(one_each, "there is not a secret for each node");
        let model = LinkModel::new(&network).context("the network cannot be")?;
        let clock = self.clock.clone();
        let forwarder = Forwarder::start(&network, model, clock.clone(), events.clone())
            .context("cannot start forwarding")?;
        let gates = Rc::new(Gates::new(
            &network,
            secrets,
            forwarder,
            clock,
            events.clone(),
        ));
        for (node, files) in self.files.take() {
            gates.provide(node, files);
        }
        gates
            .admit(&self.dir)
            .context("cannot make the gates' socket")?;
        let _ = self.gates.set(gates);
        let _ = events.send(FromFabric::Listening);
        Ok(())
    }

    fn gates(&self) -> Result<&Rc<Gates>> {
        self.gates.get().context("there was no setup")
    }

    async fn further(self: Rc<Self>, mut stream: Stream) {
        let Ok(gates) = self.gates() else {
            return;
        };
        let Some((open, early)) = opening::read(&mut stream).await else {
            return;
        };
        let table = &gates.table;
        match open {
            StreamOpen::Dial { node, port } => {
                let dialed = table.dial(node, |id| ToGate::Dial { id, port }).await;
                dial::serve(stream, dialed, &early).await;
            }
            StreamOpen::Run { node, command } => {
                let dialed = table.dial(node, |id| ToGate::Run { id, command }).await;
                dial::serve(stream, dialed, &early).await;
            }
            StreamOpen::Talk {
                node,
                command,
                terminal,
            } => {
                let talk = |id| ToGate::Talk {
                    id,
                    command,
                    terminal,
                };
                let dialed = table.dial(node, talk).await;
                dial::serve(stream, dialed, &early).await;
            }
            StreamOpen::Archive { node } => {
                let dialed = table.dial(node, |id| ToGate::Archive { id }).await;
                dial::serve(stream, dialed, &early).await;
            }
            StreamOpen::Restore { node } => {
                let dialed = table.dial(node, |id| ToGate::Restore { id }).await;
                dial::serve(stream, dialed, &early).await;
            }
            StreamOpen::Digest { node, path, unless } => {
                let digest = |id| ToGate::Digest { id, path, unless };
                let dialed = table.dial(node, digest).await;
                dial::serve(stream, dialed, &early).await;
            }
            StreamOpen::Capture { nodes, bytes_max } => {
                capture::serve(stream, gates, nodes, bytes_max).await;
            }
        }
    }
}

fn check_schedule(schedule: &[Timed]) -> Result<()> {
    let sorted = schedule.is_sorted_by_key(|timed| timed.at);
    ensure!(sorted, "the fault schedule is not sorted by time");
    let fits = schedule.len() < APPLY_TAG_MIN as usize;
    ensure!(fits, "the fault schedule is too long");
    Ok(())
}

/// Writes events until the stream ends, or one says that the fabric failed: returns its reason.
async fn write_events(
    mut writer: WriteHalf<Stream>,
    mut events: UnboundedReceiver<FromFabric>,
) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut event = events.recv().await;
        let mut failed = None;
        bytes.clear();
        while let Some(next) = event.take() {
            frame_into(&next, &mut bytes);
            if let FromFabric::Failed { reason } = next {
                failed = Some(reason);
            } else if bytes.len() < WRITE_BYTES {
                event = events.try_recv().ok();
            }
        }
        if bytes.is_empty() {
            return None;
        }
        let written = writer.write_all(&bytes).await;
        if written.is_err() || writer.flush().await.is_err() || failed.is_some() {
            return failed;
        }
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::framing::frame;
    use peerlab_link::proto::HEARTBEAT_INTERVAL;
    use tokio::io::DuplexStream;
    use tokio::task::LocalSet;
    use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

    use super::*;

    /// The harness' connection, which carries bytes whatever the harness does.
    fn connect(harness: DuplexStream) -> Connection<Compat<DuplexStream>> {
        Connection::new(harness.compat(), Config::default(), Mode::Client)
    }

    fn start(fabric: DuplexStream) -> JoinHandle<Result<()>> {
        let dir = Rc::new(SharedDir::new("/nowhere".into()));
        spawn_local(serve(fabric.compat(), dir))
    }

    async fn silent_for(ended: JoinHandle<Result<()>>, since: Instant) {
        let error = ended.await.unwrap().unwrap_err().to_string();
        assert_eq!(error, "nothing was heard from the harness for 60 s");
        assert_eq!(since.elapsed(), HARNESS_SILENCE_MAX.into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_harness_that_falls_silent_ends_the_fabric_and_one_that_is_there_does_not() {
        let story = async {
            let (harness, fabric) = tokio::io::duplex(1 << 16);
            let ended = start(fabric);
            let mut connection = connect(harness);
            let opened = poll_fn(|cx| connection.poll_new_outbound(cx)).await;
            let mut stream = opened.unwrap();
            spawn_local(async move { poll_fn(|cx| connection.poll_next_inbound(cx)).await });
            let mut last = Instant::now();
            for _ in 0..300 {
                stream
                    .write_all(&frame(&ToFabric::Heartbeat))
                    .await
                    .unwrap();
                stream.flush().await.unwrap();
                last = Instant::now();
                sleep(HEARTBEAT_INTERVAL.into()).await;
                assert!(!ended.is_finished());
            }
            // The stream stays open: only nothing is said.
            silent_for(ended, last).await;
            drop(stream);
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_harness_that_never_speaks_is_not_waited_for_either() {
        let story = async {
            let (_harness, fabric) = tokio::io::duplex(1 << 16);
            silent_for(start(fabric), Instant::now()).await;
        };
        LocalSet::new().run_until(story).await;
    }
}
