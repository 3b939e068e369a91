//! Lets gates in, and serves each until it is gone. A gate is trusted with its own node only:
//! whatever it sends can at most lose it its connection.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use peerlab_link::proto::{FromFabric, FromGate, GATE_PIECE_BYTES_MAX, NodeFile, Secret, ToGate};
use peerlab_link::{Network, NodeId, NodeLink};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use tokio::io::Interest;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::gate_table::GateTable;
use super::pollable::pollable;
use super::seqpacket::GateSocket;
use super::shared_dir::SharedDir;
use crate::clock::Clock;
use crate::device::Device;
use crate::forward::{Command, Forwarder};
use crate::gate_link::GateLink;

/// A gate says hello at once, and the harness has said before, or does soon, that it comes; whoever connects
/// otherwise is no gate.
const HELLO_WAIT: Duration = Duration::from_secs(5);
/// Connections that have not said hello, beside one for each node; the oldest goes where there are more.
const STRANGERS_MAX: usize = 64;
/// How long a gate may take to read what it is told at first, files among it.
const TOLD_WAIT: Duration = Duration::from_secs(30);
/// Pause before the next try where a gate's socket is full.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Pause before the next try where the host refuses a connection for want of something.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// What the tasks of all gates share.
pub(super) struct Gates {
    pub(super) table: GateTable,
    mtu: u16,
    /// By node.
    addresses: RefCell<Vec<Ipv4Addr>>,
    /// What nodes whose gates have not come are to have.
    files: RefCell<BTreeMap<NodeId, Vec<NodeFile>>>,
    forwarder: Forwarder,
    clock: Clock,
    events: UnboundedSender<FromFabric>,
    all_claimed: Notify,
    /// There are more nodes.
    joined: Notify,
    /// Connections that are no node's gate yet, the oldest first. One is closed when its sender is dropped.
    strangers: RefCell<VecDeque<oneshot::Sender<Infallible>>>,
    /// Whether the socket is there.
    admits: Cell<bool>,
    /// One for each capture under way.
    captures: Rc<()>,
}

impl Gates {
    /// No gate is there yet; `secrets` are those of each node's gate.
    pub(super) fn new(
        network: &Network,
        secrets: Vec<Secret>,
        forwarder: Forwarder,
        clock: Clock,
        events: UnboundedSender<FromFabric>,
    ) -> Gates {
        Gates {
            table: GateTable::new(secrets),
            mtu: network.mtu,
            addresses: RefCell::new(network.nodes.iter().map(|node| node.ip).collect()),
            files: RefCell::default(),
            forwarder,
            clock,
            events,
            all_claimed: Notify::new(),
            joined: Notify::new(),
            strangers: RefCell::default(),
            admits: Cell::new(false),
            captures: Rc::new(()),
        }
    }

    /// How many nodes there are.
    pub(super) fn node_count(&self) -> usize {
        self.addresses.borrow().len()
    }

    /// A place for one more capture, for as long as it is held; `None` where so many are under way.
    pub(super) fn begin_capture(&self, max: usize) -> Option<Rc<()>> {
        let under_way = Rc::strong_count(&self.captures) - 1;
        (under_way < max).then(|| Rc::clone(&self.captures))
    }

    /// Asks the forwarding thread for something.
    pub(super) fn ask(&self, command: Command) {
        self.forwarder.ask(command);
    }

    /// A node that comes is to have these files.
    pub(super) fn provide(&self, node: NodeId, files: Vec<NodeFile>) {
        self.files.borrow_mut().insert(node, files);
    }

    /// There is one node more, with the next id, whose gate may come.
    pub(super) fn join(&self, link: NodeLink, secret: Secret) {
        self.addresses.borrow_mut().push(link.ip);
        self.table.add(secret);
        self.ask(Command::Join { link });
        self.joined.notify_waiters();
    }

    /// A node's gate is not expected any more.
    pub(super) fn forget(&self, node: NodeId) {
        self.table.forget(node);
        self.see_whether_all_came();
    }

    fn see_whether_all_came(&self) {
        if self.table.all_claimed() {
            self.all_claimed.notify_one();
        }
    }

    /// Makes the gates' socket where it is not there, and lets gates in until every node has its own; then
    /// the socket is taken away.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(super) fn admit(self: &Rc<Self>, dir: &Rc<SharedDir>) -> io::Result<()> {
        if !self.admits.get() {
            let listener = dir.listen()?;
            self.admits.set(true);
            tokio::task::spawn_local(Rc::clone(self).accept(listener, Rc::clone(dir)));
        }
        Ok(())
    }

    async fn accept(self: Rc<Self>, listener: OwnedFd, dir: Rc<SharedDir>) {
        let Ok(listener) = pollable(Arc::new(listener), Interest::READABLE) else {
            let reason = "cannot wait for gates".into();
            return self.tell(FromFabric::Failed { reason });
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while !self.table.all_claimed() {
            let accept = listener.async_io(Interest::READABLE, |l| Ok(accept_with(l, flags)?));
            let accepted = tokio::select! {
                accepted = accept => accepted,
                () = self.all_claimed.notified() => continue,
            };
            match accepted {
                Ok(socket) => {
                    tokio::task::spawn_local(Rc::clone(&self).serve(socket));
                }
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            }
        }
        dir.close_socket();
        self.admits.set(false);
    }

    /// One connection, from hello to its end.
    async fn serve(self: Rc<Self>, socket: OwnedFd) {
        let socket = Arc::new(socket);
        let Ok(receiver) = GateSocket::new(Arc::clone(&socket)) else {
            return;
        };
        let link = Arc::new(GateLink::new(socket));
        let Some(node) = self.admitted(&receiver).await else {
            return;
        };
        self.see_whether_all_came();
        let reason = self.serve_node(node, &receiver, &link).await;
        self.lose(node, &link, reason);
    }

    /// Whose gate a stranger is; `None` for one that is none, or does not say in time.
    async fn admitted(&self, receiver: &GateSocket) -> Option<NodeId> {
        let turned_away = self.new_stranger();
        tokio::select! {
            node = timeout(HELLO_WAIT, self.claimed(receiver)) => node.ok().flatten(),
            _ = turned_away => None,
        }
    }

    async fn claimed(&self, receiver: &GateSocket) -> Option<NodeId> {
        let Ok(Some((FromGate::Hello { node, secret }, None))) = receiver.receive().await else {
            return None;
        };
        loop {
            let joined = self.joined.notified();
            if node.index() < self.node_count() {
                return self.table.claim(node, secret).then_some(node);
            }
            // It came before the harness' word of it.
            joined.await;
        }
    }

    /// One more; where there are too many the oldest has to go.
    fn new_stranger(&self) -> oneshot::Receiver<Infallible> {
        let (sender, turned_away) = oneshot::channel();
        let mut strangers = self.strangers.borrow_mut();
        let max = self.node_count() + STRANGERS_MAX;
        if strangers.len() >= max {
            strangers.retain(|stranger| !stranger.is_closed());
        }
        if strangers.len() >= max {
            strangers.pop_front();
        }
        strangers.push_back(sender);
        turned_away
    }

    /// A gate whose claim was good. Returns why it ended.
    async fn serve_node(
        &self,
        node: NodeId,
        receiver: &GateSocket,
        link: &Arc<GateLink>,
    ) -> String {
        match timeout(TOLD_WAIT, self.configure(node, link)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return format!("it cannot be told: {e}"),
            Err(_) => return "it does not read what it is told".into(),
        }
        let mut is_open = false;
        loop {
            match receiver.receive().await {
                Ok(None) => return "its gate ended".into(),
                // One that was killed before it read all that was sent to it.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                    return "its gate ended".into();
                }
                Err(e) => return e.to_string(),
                Ok(Some((FromGate::Tun, Some(fd)))) if !is_open => {
                    if let Err(e) = self.open(node, fd, link) {
                        return format!("its device is no use: {e}");
                    }
                    is_open = true;
                }
                Ok(Some((FromGate::Failed { reason }, _))) => return reason,
                Ok(Some((message, descriptor))) if is_open => {
                    self.received(node, link, message, descriptor);
                }
                Ok(Some(_)) => return "it spoke out of turn".into(),
            }
        }
    }

    /// Tells a gate what its node is to have and to be.
    async fn configure(&self, node: NodeId, link: &GateLink) -> io::Result<()> {
        let files = self.files.borrow_mut().remove(&node);
        for mut file in files.into_iter().flatten() {
            let bytes = std::mem::take(&mut file.bytes);
            let mut pieces = bytes.chunks(GATE_PIECE_BYTES_MAX);
            let first = ToGate::File {
                head: Some(file),
                bytes: pieces.next().unwrap_or_default().to_vec(),
            };
            send_in_time(link, &first).await?;
            for piece in pieces {
                let more = ToGate::File {
                    head: None,
                    bytes: piece.to_vec(),
                };
                send_in_time(link, &more).await?;
            }
        }
        let configure = ToGate::Configure {
            ip: self.addresses.borrow()[node.index()],
            prefix: NodeLink::NET.1,
            mtu: self.mtu,
        };
        send_in_time(link, &configure).await
    }

    fn open(&self, node: NodeId, fd: OwnedFd, link: &Arc<GateLink>) -> io::Result<()> {
        let device = Device::adopt(fd)?;
        self.table.open(node, Arc::clone(link));
        let gate = Arc::clone(link);
        self.ask(Command::Open { node, device, gate });
        Ok(())
    }

    /// A message of an open gate.
    fn received(
        &self,
        node: NodeId,
        link: &GateLink,
        message: FromGate,
        descriptor: Option<OwnedFd>,
    ) {
        let t = self.clock.now();
        match message {
            FromGate::Dialed { id, errno } => {
                let answer = match descriptor {
                    Some(fd) if errno == 0 => Ok(fd),
                    _ => Err(Errno::from_raw_os_error(errno).to_string()),
                };
                self.table.dialed(node, id, answer);
            }
            FromGate::Done { tag, result } => {
                if link.answered(tag) {
                    self.tell(FromFabric::Applied { t, tag, result });
                }
            }
            FromGate::Exited { status, asked } => self.tell(FromFabric::Exited {
                t,
                node,
                status,
                asked,
            }),
            FromGate::Usage(usage) => self.tell(FromFabric::Usage { t, node, usage }),
            // Said before, or handled by the caller.
            FromGate::Hello { .. } | FromGate::Tun | FromGate::Failed { .. } => {}
        }
    }

    /// A gate is gone: nothing that was asked of it is left without an answer.
    fn lose(&self, node: NodeId, link: &GateLink, reason: String) {
        let t = self.clock.now();
        self.table.lose(node);
        self.ask(Command::Lost { node });
        self.tell(FromFabric::GateLost { t, node, reason });
        for tag in link.take_unanswered() {
            let result = Err("its gate is gone".into());
            self.tell(FromFabric::Applied { t, tag, result });
        }
    }

    /// Nobody listens only when the process is about to end.
    fn tell(&self, event: FromFabric) {
        let _ = self.events.send(event);
    }
}

/// Sends a message as soon as there is room for it.
async fn send_in_time(link: &GateLink, message: &ToGate) -> io::Result<()> {
    loop {
        match link.send(message) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(FULL_PAUSE).await,
            sent => return sent,
        }
    }
}
