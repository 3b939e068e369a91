//! The forwarding thread: waits for devices, for the next deadline, and for commands of the
//! control thread; carries out the fault schedule. Never waits for anybody else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use peerlab_link::proto::{Action, FromFabric, Lateness, ProcessOp, Seen, Timed, ToGate};
use peerlab_link::{LinkModel, Nanos, Network, NodeId, NodeLink};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::sync::mpsc::UnboundedSender;

use super::capture::Capture;
use super::fault_schedule::FaultSchedule;
use super::switch::{Outside, Switch};
use crate::clock::{Clock, own_cpu};
use crate::device::Device;
use crate::gate_link::GateLink;
use crate::promptness;

/// Ready descriptors taken from the kernel at once.
const EVENTS_PER_WAIT: usize = 256;
/// Packets read from one device before the others have their turn.
const READS_PER_TURN: usize = 16;
/// The thread looks up at least this often, so that it knows how long a packet can have waited to
/// be read: on a host without a CPU to spare nobody else would tell. Half of what counts as late.
const TICK: Nanos = Nanos(Lateness::LATE.0 / 2);
/// A timer that fires once.
const NOT_AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// Epoll's name of the timer.
const TIMER: u64 = u64::MAX;
/// Epoll's name of the control thread's wake-up.
const WAKE: u64 = u64::MAX - 1;

/// What the control thread asks of the forwarding thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// A node's gate is open.
    Open {
        node: NodeId,
        device: Device,
        gate: Arc<GateLink>,
    },
    /// A node's gate is gone.
    Lost { node: NodeId },
    /// Time zero is now.
    Go {
        /// Which nodes run from the start.
        start: Vec<NodeId>,
        /// Sorted by time.
        schedule: Vec<Timed>,
    },
    /// Do this now.
    Apply {
        /// Echoed in the answer.
        tag: u32,
        action: Action,
    },
    /// Tell the counters.
    Count,
    /// There is one node more, with the next id.
    Join { link: NodeLink },
    /// Capture packets.
    Capture(Capture),
}

/// The control thread's end.
#[derive(Clone, Debug)]
pub(crate) struct Forwarder {
    commands: Arc<Mutex<Vec<Command>>>,
    /// Whether there are any: looked at between two devices, so that a command does not wait for
    /// all that are ready.
    waiting: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

impl Forwarder {
    /// Starts the thread. What it has to tell goes to `events`.
    ///
    /// # Errors
    /// When the kernel refuses a descriptor or a thread.
    pub(crate) fn start(
        network: &Network,
        model: LinkModel,
        clock: Clock,
        events: UnboundedSender<FromFabric>,
    ) -> io::Result<Forwarder> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let handle = Forwarder {
            commands: Arc::default(),
            waiting: Arc::default(),
            wake: Arc::new(eventfd(0, flags)?),
        };
        let obituary = Obituary(events.clone());
        let switch = Switch::new(network, model);
        let nodes = network.nodes.len();
        let mut worker = Worker::new(switch, nodes, clock, events, handle.clone())?;
        let thread = thread::Builder::new().name("forward".into());
        thread.spawn(move || {
            let _at_the_end = obituary;
            worker.run();
        })?;
        Ok(handle)
    }

    /// Asks for something; it is done in the order of asking.
    pub(crate) fn ask(&self, command: Command) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.push(command);
        self.waiting.store(true, Ordering::Release);
        // It only fails when it is already set 2^64 - 2 times.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }

    fn take(&self) -> Vec<Command> {
        // All under the lock, as in `ask`: the wake-up is set if and only if there are commands.
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = rustix::io::read(&*self.wake, &mut [0u8; 8]);
        self.waiting.store(false, Ordering::Release);
        std::mem::take(&mut *commands)
    }
}

/// Tells that the thread has ended, even where it panicked.
struct Obituary(UnboundedSender<FromFabric>);

impl Drop for Obituary {
    fn drop(&mut self) {
        let reason = "the forwarding thread has ended".into();
        let _ = self.0.send(FromFabric::Failed { reason });
    }
}

/// Devices and clock.
struct Ports {
    devices: Vec<Option<Device>>,
    clock: Clock,
}

impl Outside for Ports {
    #[inline]
    fn write(&mut self, node: NodeId, packet: &[u8]) -> bool {
        matches!(self.devices.get(node.index()), Some(Some(device)) if device.write(packet))
    }

    #[inline]
    fn now(&self) -> Nanos {
        self.clock.now()
    }
}

/// The thread's state.
struct Worker {
    switch: Switch,
    ports: Ports,
    gates: Vec<Option<Arc<GateLink>>>,
    starts: Vec<bool>,
    schedule: FaultSchedule,
    read: Box<[u8]>,
    poll: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to; `None` once it has fired.
    armed: Option<Nanos>,
    /// When the thread began to wait last: what is read now came later.
    looked: Nanos,
    commands: Forwarder,
    events: UnboundedSender<FromFabric>,
}

impl Worker {
    fn new(
        mut switch: Switch,
        nodes: usize,
        clock: Clock,
        events: UnboundedSender<FromFabric>,
        commands: Forwarder,
    ) -> io::Result<Worker> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let readable = EventFlags::IN;
        epoll::add(&poll, &timer, EventData::new_u64(TIMER), readable)?;
        epoll::add(&poll, &*commands.wake, EventData::new_u64(WAKE), readable)?;
        Ok(Worker {
            read: switch.read_buffer(),
            switch,
            ports: Ports {
                devices: (0..nodes).map(|_| None).collect(),
                clock,
            },
            gates: vec![None; nodes],
            starts: vec![false; nodes],
            schedule: FaultSchedule::default(),
            poll,
            timer,
            armed: None,
            looked: Nanos::ZERO,
            commands,
            events,
        })
    }

    fn run(&mut self) {
        promptness::ask();
        let mut ready = Vec::with_capacity(EVENTS_PER_WAIT);
        loop {
            self.advance(self.ports.clock.now());
            self.looked = self.ports.clock.now();
            if let Err(e) = self.arm() {
                return self.fail("timer", e);
            }
            ready.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut ready), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return self.fail("epoll", e),
            }
            if self.ports.clock.is_running() {
                self.switch.was_away(self.waited(self.ports.clock.now()));
            }
            for event in &ready {
                if self.commands.waiting.load(Ordering::Acquire) {
                    self.obey();
                }
                match event.data.u64() {
                    TIMER => self.armed = None,
                    // Obeyed above; what woke this thread a moment later is obeyed next time.
                    WAKE => {}
                    node => self.drain(NodeId(node as u32)),
                }
            }
        }
    }

    fn fail(&mut self, what: &str, error: Errno) {
        let reason = format!("forwarding thread: {what}: {error}");
        self.tell(FromFabric::Failed { reason });
    }

    /// Nobody listens only when the process is about to end.
    fn tell(&self, event: FromFabric) {
        let _ = self.events.send(event);
    }

    fn next_at(&self) -> Option<Nanos> {
        let times = [self.switch.next_at(), self.schedule.next_at()];
        times.into_iter().flatten().min()
    }

    /// Sets the timer for what is due next, or for the next tick. Waking too early is harmless, so
    /// it is left alone where it is set for a time before. Before `go` there is neither.
    fn arm(&mut self) -> Result<(), Errno> {
        if !self.ports.clock.is_running() {
            return Ok(());
        }
        let tick = self.looked.saturating_add(TICK);
        let next = self.next_at().map_or(tick, |at| at.min(tick));
        if self.armed.is_some_and(|armed| armed <= next) {
            return Ok(());
        }
        let when = Itimerspec {
            it_interval: NOT_AGAIN,
            it_value: self.ports.clock.deadline(next),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &when)?;
        self.armed = Some(next);
        Ok(())
    }

    /// Does everything that is due, packets and faults in the order of their times.
    fn advance(&mut self, now: Nanos) {
        while let Some(at) = self.schedule.next_at().filter(|&at| at <= now) {
            self.switch.advance(at, &mut self.ports);
            if let Some((tag, action)) = self.schedule.pop_due(now) {
                self.act(at, tag, action);
            }
        }
        self.switch.advance(now, &mut self.ports);
    }

    /// Forwards what a device has, up to its turn's end.
    fn drain(&mut self, node: NodeId) {
        for _ in 0..READS_PER_TURN {
            let Some(Some(device)) = self.ports.devices.get(node.index()) else {
                return;
            };
            match device.read(&mut self.read) {
                Ok(length) if self.ports.clock.is_running() => {
                    let now = self.ports.clock.now();
                    if self.next_at().is_some_and(|at| at <= now) {
                        self.advance(now);
                    }
                    self.switch.read_after(self.waited(now));
                    let (read, ports) = (&mut self.read, &mut self.ports);
                    self.switch.received(now, node, read, length, ports);
                }
                Ok(length) => self.switch.received_early(node, length),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The device is gone; that its gate is gone too is told by the gate's socket.
                Err(_) => return self.close(node),
            }
        }
    }

    /// How much longer than usual it is since this thread last looked at its devices: as long a
    /// packet that is read now can have waited.
    fn waited(&self, now: Nanos) -> Nanos {
        now.saturating_sub(self.looked).saturating_sub(TICK)
    }

    fn close(&mut self, node: NodeId) {
        if let Some(device) = self
            .ports
            .devices
            .get_mut(node.index())
            .and_then(Option::take)
        {
            let _ = epoll::delete(&self.poll, device.fd());
        }
    }

    fn obey(&mut self) {
        for command in self.commands.take() {
            match command {
                Command::Open { node, device, gate } => self.open(node, device, gate),
                Command::Lost { node } => {
                    self.close(node);
                    if let Some(gate) = self.gates.get_mut(node.index()) {
                        *gate = None;
                    }
                }
                Command::Go { start, schedule } => self.go(&start, schedule),
                Command::Apply { tag, action } => {
                    let now = self.ports.clock.now();
                    self.advance(now);
                    self.act(now, tag, action);
                }
                Command::Join { link } => self.join(&link),
                Command::Capture(capture) => self.switch.capture(capture),
                Command::Count => {
                    let (nodes, lateness) = self.switch.count();
                    self.tell(FromFabric::Counters {
                        t: self.ports.clock.now(),
                        nodes,
                        lateness,
                        cpu: own_cpu(),
                    });
                }
            }
        }
    }

    fn join(&mut self, link: &NodeLink) {
        if let Err(cause) = self.switch.join(link) {
            let reason = format!("a node cannot join: {cause}");
            return self.tell(FromFabric::Failed { reason });
        }
        self.ports.devices.push(None);
        self.gates.push(None);
        self.starts.push(false);
    }

    fn open(&mut self, node: NodeId, device: Device, gate: Arc<GateLink>) {
        let data = EventData::new_u64(u64::from(node.0));
        if let Err(e) = epoll::add(&self.poll, device.fd().as_fd(), data, EventFlags::IN) {
            return self.tell(FromFabric::GateLost {
                t: self.ports.clock.now(),
                node,
                reason: format!("cannot poll its device: {e}"),
            });
        }
        if self.ports.clock.is_running() {
            self.start_node(node, &gate);
        }
        let index = node.index();
        if index < self.gates.len() {
            self.ports.devices[index] = Some(device);
            self.gates[index] = Some(gate);
            self.tell(FromFabric::GateOpen { node });
        }
    }

    fn go(&mut self, start: &[NodeId], schedule: Vec<Timed>) {
        for node in start {
            if let Some(starts) = self.starts.get_mut(node.index()) {
                *starts = true;
            }
        }
        self.schedule = FaultSchedule::new(schedule);
        let unix_nanos = self.ports.clock.start();
        for (node, gate) in (0..).map(NodeId).zip(&self.gates) {
            if let Some(gate) = gate {
                self.start_node(node, gate);
            }
        }
        self.tell(FromFabric::Gone { unix_nanos });
    }

    /// A gate that cannot be told is lost, and its socket's end will say so.
    fn start_node(&self, node: NodeId, gate: &GateLink) {
        let run = self.starts.get(node.index()).copied().unwrap_or(false);
        let _ = gate.send(&ToGate::Go { run });
    }

    /// Carries out what is due at `at`, up to which everything else has been done.
    fn act(&mut self, at: Nanos, tag: u32, action: Action) {
        let result = match action {
            Action::Link(change) => self.switch.apply(at, &change).map(|()| Seen::Linked {
                cut: self.switch.cut_packets(),
            }),
            Action::Process { node, op } => match self.control(tag, node, op) {
                // The gate's own answer says when it was done.
                Ok(()) => return,
                Err(reason) => Err(reason),
            },
        };
        self.tell(FromFabric::Applied {
            t: self.ports.clock.now(),
            tag,
            result,
        });
    }

    fn control(&self, tag: u32, node: NodeId, op: ProcessOp) -> Result<(), String> {
        match self.gates.get(node.index()) {
            None => Err(format!("there is no node {node}")),
            Some(None) => Err("its gate is not open".into()),
            Some(Some(gate)) => gate
                .control(tag, op)
                .map_err(|e| format!("its gate cannot be told: {e}")),
        }
    }
}
