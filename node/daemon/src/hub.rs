//! The machine in the midst of sockets, timers and RPC callers. Everything runs on one thread;
//! whoever has an event borrows the machine, gives it in, and carries out what it answers before
//! anybody else gets to it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bitcoin::constants::genesis_block;
use peerlab_node::Machine;
use peerlab_node::io::{Event, Input, Output, PeerId, Time};
use peerlab_node::options::Failure;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::{debug, error, info};

use crate::clock::Clock;
use crate::link::{self, Host, Link};
use crate::rpc::context::{Answer, Context};
use crate::rpc::envelope::Call;
use crate::rpc::error::{Code, fail};
use crate::rpc::methods;
use crate::rpc::wait::Tip;
use crate::task;
use crate::timer::Timer;

/// Read buffer that all connections share, bytes: they read one at a time.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// What callers are answered until the node is loaded. Bitcoin Core's words.
const WARMUP_STATUS: &str = "Loading block index…";

/// The daemon's heart.
pub struct Hub {
    clock: Clock,
    started: Time,
    /// `None` while loading.
    machine: RefCell<Option<Machine>>,
    links: RefCell<BTreeMap<PeerId, Rc<Link>>>,
    peers_so_far: Cell<u64>,
    read_buffer: RefCell<Vec<u8>>,
    tip: watch::Sender<Tip>,
    timer: Timer,
    stop: watch::Sender<bool>,
    failure: RefCell<Option<Failure>>,
    store: PathBuf,
    /// For mining; starts at random, so that no two nodes mine the same block.
    next_nonce: Cell<u64>,
}

impl Hub {
    /// Without a machine: callers are answered that it is loading. `store` is its file.
    pub fn new(clock: Clock, timer: Timer, store: PathBuf, first_nonce: u64) -> Rc<Hub> {
        let genesis = Tip {
            hash: genesis_block(bitcoin::Network::Regtest).block_hash(),
            height: 0,
        };
        Rc::new(Hub {
            clock,
            started: clock.now(),
            machine: RefCell::new(None),
            links: RefCell::default(),
            peers_so_far: Cell::new(0),
            read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES]),
            tip: watch::Sender::new(genesis),
            timer,
            stop: watch::Sender::new(false),
            failure: RefCell::new(None),
            store,
            next_nonce: Cell::new(first_nonce),
        })
    }

    /// The machine is ready.
    pub fn install(self: &Rc<Self>, machine: Machine) {
        let tip = machine.chain().tip();
        self.tip.send_replace(Tip {
            hash: tip.hash,
            height: tip.height,
        });
        *self.machine.borrow_mut() = Some(machine);
        self.drain();
    }

    /// Takes the machine out, closing its store when dropped. All connections close.
    pub fn remove(&self) -> Option<Machine> {
        for link in self.links.borrow().values() {
            link.close();
        }
        self.machine.borrow_mut().take()
    }

    /// The machine's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Ends the daemon; `failure` if it must.
    pub fn stop(&self, failure: Option<Failure>) {
        if failure.is_some() {
            *self.failure.borrow_mut() = failure;
        }
        self.stop.send_replace(true);
    }

    /// Why the daemon had to stop.
    pub fn take_failure(&self) -> Option<Failure> {
        self.failure.borrow_mut().take()
    }

    /// Wakes the machine when it wants to be woken, and never else.
    ///
    /// # Errors
    /// When the runtime cannot wait for the timer.
    pub async fn run_timer(self: &Rc<Self>) -> io::Result<()> {
        let wake = || self.input(Input::Timer);
        self.timer.run(&self.clock, wake).await
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.links.borrow().len()
    }

    /// Serves a connection to its end. `inbound`: whether the other end opened it.
    pub async fn connection(self: Rc<Self>, stream: TcpStream, addr: SocketAddr, inbound: bool) {
        let peer = PeerId(self.peers_so_far.get());
        self.peers_so_far.set(peer.0 + 1);
        let link = Rc::new(Link::new());
        self.links.borrow_mut().insert(peer, link.clone());
        debug!(peer = peer.0, %addr, inbound, "peer connected");
        self.input(Input::Connected {
            peer,
            addr,
            inbound,
        });
        let reason = link::run(&stream, peer, inbound, &link, &self).await;
        drop(stream);
        self.links.borrow_mut().remove(&peer);
        debug!(peer = peer.0, %addr, "peer disconnected: {reason}");
        self.input(Input::Disconnected { peer });
    }

    /// The first of as many nonces as a call may need.
    fn take_nonces(&self) -> u64 {
        let nonce = self.next_nonce.get();
        self.next_nonce
            .set(nonce.wrapping_add(methods::NONCES_PER_CALL));
        nonce
    }

    fn drain(self: &Rc<Self>) {
        // The machine is free again before its output is carried out.
        let poll = || self.machine.borrow_mut().as_mut()?.poll_output();
        while let Some(output) = poll() {
            self.carry_out(output);
        }
    }

    fn carry_out(self: &Rc<Self>, output: Output) {
        match output {
            Output::Send { peer, message } => {
                let link = self.links.borrow().get(&peer).cloned();
                if link.is_some_and(|link| link.send(message)) {
                    debug!(peer = peer.0, "peer does not read what is sent to it");
                }
            }
            Output::Connect { addr } => {
                task::spawn(self.clone().connect(addr));
            }
            Output::Disconnect { peer, reason } => {
                debug!(peer = peer.0, "disconnecting: {reason}");
                if let Some(link) = self.links.borrow().get(&peer) {
                    link.close();
                }
            }
            Output::SetTimer(time) => {
                if let Err(error) = self.timer.set(time, &self.clock) {
                    self.stop(Some(Failure::new("cannot set a timer").cause(error)));
                }
            }
            Output::Event(event) => self.report(event),
        }
    }

    fn report(&self, event: Event) {
        match event {
            Event::Tip {
                hash,
                height,
                disconnected,
            } => {
                if disconnected > 0 {
                    info!(height, %hash, disconnected, "new tip after a reorganisation");
                } else {
                    info!(height, %hash, "new tip");
                }
                self.tip.send_replace(Tip { hash, height });
            }
            Event::PeerReady { peer } => debug!(peer = peer.0, "peer ready"),
            Event::Transaction(tx) => debug!(txid = %tx.compute_txid(), "transaction accepted"),
            Event::StoreFailed(cause) => {
                error!("the store failed: {cause}");
                self.stop(Some(Failure::new("the store failed").cause(cause).hint(
                    "check the space and the health of the disk under -datadir",
                )));
            }
        }
    }

    async fn connect(self: Rc<Self>, addr: SocketAddr) {
        let timeout = match self.machine.borrow().as_ref() {
            Some(machine) => machine.config().timing.connect_timeout,
            None => return,
        };
        let connected = tokio::time::timeout(timeout, TcpStream::connect(addr)).await;
        match connected.unwrap_or_else(|_| Err(io::Error::other("no answer"))) {
            Ok(stream) => self.connection(stream, addr, false).await,
            Err(error) => {
                debug!(%addr, "cannot connect: {error}");
                self.input(Input::ConnectFailed { addr });
            }
        }
    }
}

/// As the RPC server sees it.
impl Hub {
    /// Carries a call out, to its end, without blocking.
    ///
    /// # Errors
    /// What the caller is answered.
    pub fn call(self: &Rc<Self>, call: Call) -> Answer {
        let mut machine = self.machine.borrow_mut();
        let Some(node) = machine.as_mut() else {
            return fail(Code::InWarmup, WARMUP_STATUS);
        };
        let mut context = Context {
            machine: node,
            now: self.clock.now(),
            started: self.started,
            nonce: self.take_nonces(),
            size_on_disk: std::fs::metadata(&self.store).map_or(0, |file| file.len()),
            stop: false,
        };
        let outcome = methods::call(&mut context, call);
        let stop = context.stop;
        drop(machine);
        self.drain();
        if stop {
            self.stop(None);
        }
        outcome
    }

    /// The best block, as it changes.
    pub fn tip(&self) -> watch::Receiver<Tip> {
        self.tip.subscribe()
    }

    /// True once the daemon is to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }
}

/// As the connections see it.
impl Host for Hub {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn peer_timeout(&self) -> Option<Duration> {
        let machine = self.machine.borrow();
        machine.as_ref().map(|m| m.config().timing.peer_timeout)
    }

    fn is_open(&self, peer: PeerId) -> bool {
        self.links.borrow().get(&peer).is_some_and(|l| l.is_open())
    }

    fn with_read_buffer<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.read_buffer.borrow_mut())
    }

    fn input(self: &Rc<Self>, input: Input) {
        if let Some(machine) = self.machine.borrow_mut().as_mut() {
            machine.handle(self.clock.now(), input);
        }
        self.drain();
    }
}
