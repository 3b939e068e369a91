//! The gate's life: connect, hear what the node is to be, open the device, wait for the barrier, serve until the
//! fabric is gone. One thread, no waiting anywhere else.

use std::io::{PipeReader, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use peerlab_link::proto::{FromGate, SECRET_BYTES, Secret, ToGate};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::args::Args;
use crate::dial::{Dialed, Dials};
use crate::disk::Disk;
use crate::ended::{self, exit_code};
use crate::fabric_link::{FabricLink, Read, packet_buffer};
use crate::privileges::{self, ProgramRights};
use crate::program::{self, Carry, Program};
use crate::provided::Provided;
use crate::runs::Runs;
use crate::signals::Signals;
use crate::supervisor::{Effect, Input, Supervisor};
use crate::usage::Meter;
use crate::users::Identity;
use crate::{archive, census, device, hosts};

/// How long the gate waits for its secret. Engines send it before they start the gate, but one that starts
/// hundreds may be slow to hand it on.
const SECRET_WAIT: Duration = Duration::from_secs(60);
/// How long the gate waits for the fabric's socket: engines start the fabric first.
const FABRIC_WAIT: Duration = Duration::from_secs(10);
/// Pause between attempts to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(5);
/// How long the gate tries to tell the fabric why it ends.
const FAREWELL_WAIT: Duration = Duration::from_secs(1);
/// Said on the log where the run ends before it began.
const CLOSED_EARLY: &str = "the fabric closed the connection before the start";
/// Exit code of a gate that could not do its work.
const EXIT_FAILED: i32 = 1;

/// Where an open gate is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The device is open and handed over; the barrier stands.
    Open,
    Going,
}

/// Why there is no further turn of the loop.
enum End {
    /// The gate ends with this exit code.
    Exit(i32),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> End {
        End::Failed(error)
    }
}

/// Lives a gate's life, and gives its exit code. The end of this process is the end of its PID
/// namespace, and so of all the node's processes.
///
/// `image` are the files of the node's root, where its own lie over them.
pub fn run(args: Args, image: Option<OwnedFd>) -> i32 {
    match live(args, image) {
        Ok(code) => code,
        Err(error) => {
            log(&format!("{error:#}"));
            EXIT_FAILED
        }
    }
}

/// Says something on the node's log.
pub fn log(text: &str) {
    // A gate whose log is gone has nobody to tell.
    let _ = writeln!(std::io::stderr(), "peerlab-gate: {text}");
}

fn live(args: Args, image: Option<OwnedFd>) -> Result<i32> {
    if std::process::id() != 1 {
        // Its orders reach every process that it can see: they must all be the node's.
        bail!("the gate must be PID 1 of a PID namespace of its own");
    }
    privileges::hide_gate()?;
    let signals = Signals::open()?;
    let secret = args.secret.map_or_else(hear_secret, Ok)?;
    match connect(&args.socket, &signals)? {
        Some(link) => serve(args, image, secret, signals, link),
        None => Ok(exit_code(-libc::SIGTERM)),
    }
}

/// The secret that an engine sends on standard input. Unlike environment, command line and files it is
/// seen by nobody else: what an engine runs beside the gate has another standard input, and the program
/// has none.
fn hear_secret() -> Result<Secret> {
    let mut stdin = std::io::stdin().lock();
    let mut source = [PollFd::new(&stdin, PollFlags::IN)];
    wait(&mut source, Some(SECRET_WAIT))?;
    if source[0].revents().is_empty() {
        bail!("no secret came on standard input");
    }
    let mut secret = [0; SECRET_BYTES];
    stdin
        .read_exact(&mut secret)
        .context("no secret came on standard input")?;
    Ok(Secret(secret))
}

/// Connects to the fabric, waiting for it a while; no link when told to end meanwhile.
fn connect(path: &Path, signals: &Signals) -> Result<Option<FabricLink>> {
    let deadline = Instant::now() + FABRIC_WAIT;
    loop {
        if let Some(link) = FabricLink::connect(path)? {
            return Ok(Some(link));
        }
        if Instant::now() >= deadline {
            bail!(
                "no fabric at {} after {} s",
                path.display(),
                FABRIC_WAIT.as_secs()
            );
        }
        wait(
            &mut [PollFd::new(signals, PollFlags::IN)],
            Some(CONNECT_PAUSE),
        )?;
        if signals
            .next()
            .is_some_and(|s| s == libc::SIGTERM || s == libc::SIGINT)
        {
            return Ok(None);
        }
    }
}

/// Serves the fabric until either ends; whatever goes wrong is told to the fabric.
fn serve(
    args: Args,
    image: Option<OwnedFd>,
    secret: Secret,
    signals: Signals,
    mut link: FabricLink,
) -> Result<i32> {
    let node = args.node;
    link.send(&FromGate::Hello { node, secret }, None)?;
    let opened = match open(args, image, &mut link, &signals) {
        Ok(Opening::Open(opened)) => *opened,
        Ok(Opening::End(code)) => return Ok(code),
        Err(error) => {
            farewell(&mut link, &error);
            return Err(error);
        }
    };
    let mut gate = Gate {
        signals,
        link,
        supervisor: Supervisor::new(opened.disk.is_some()),
        program: opened.program,
        disk: opened.disk,
        emptying: None,
        rights: opened.rights,
        dials: Dials::new(opened.ip),
        runs: Runs::default(),
        meter: Meter::default(),
        stage: Stage::Open,
        buffer: packet_buffer(),
    };
    loop {
        match gate.turn() {
            Ok(()) => {}
            Err(End::Exit(code)) => return Ok(code),
            Err(End::Failed(error)) => {
                farewell(&mut gate.link, &error);
                return Err(error);
            }
        }
    }
}

/// What a gate has once its device is handed over.
struct Opened {
    ip: Ipv4Addr,
    program: Program,
    disk: Option<Disk>,
    rights: ProgramRights,
}

/// What came of the fabric's answer to hello.
enum Opening {
    Open(Box<Opened>),
    /// The gate ends with this exit code before it is open.
    End(i32),
}

/// Hears what the node is to be, makes it so, and hands its device over.
fn open(
    args: Args,
    image: Option<OwnedFd>,
    link: &mut FabricLink,
    signals: &Signals,
) -> Result<Opening> {
    let mut provided = Provided::default();
    let mut buffer = packet_buffer();
    let (ip, prefix, mtu) = loop {
        match next_message(link, signals, &mut buffer)? {
            Heard::Message(ToGate::File { head, bytes }) => provided.add(head, bytes)?,
            Heard::Message(ToGate::Configure { ip, prefix, mtu }) => break (ip, prefix, mtu),
            Heard::Message(message) => {
                bail!("the fabric sent {message:?} before it said what to be")
            }
            Heard::Closed => {
                log(CLOSED_EARLY);
                return Ok(Opening::End(EXIT_FAILED));
            }
            Heard::Terminate => return Ok(Opening::End(exit_code(-libc::SIGTERM))),
        }
    };
    let identity = args.user.as_deref().map(Identity::resolve).transpose()?;
    // As long as its folder is the gate's own.
    provided.place(identity.as_ref(), args.one_user)?;
    if let (Some(folder), Some(identity)) = (&args.own, &identity) {
        chown(folder, Some(identity.uid), Some(identity.gid))
            .with_context(|| format!("cannot give {} to the program's user", folder.display()))?;
    }
    if let Some(file) = &args.hosts {
        hosts::name_nodes(file);
    }
    let program = Program::find(args.command, args.workdir)?;
    let disk = args
        .disk
        .map(|root| Disk::new(root, image, provided))
        .transpose()?;
    let tun = device::open(ip, prefix, mtu)?;
    let rights = privileges::reduce(args.drop_all_caps, args.confine, identity)?;
    link.send(&FromGate::Tun, Some(tun))?;
    Ok(Opening::Open(Box::new(Opened {
        ip,
        program,
        disk,
        rights,
    })))
}

/// What a gate hears that is not open yet.
enum Heard {
    Message(ToGate),
    Closed,
    /// Whoever started the gate wants it to end.
    Terminate,
}

fn next_message(link: &mut FabricLink, signals: &Signals, buffer: &mut [u8]) -> Result<Heard> {
    loop {
        match link.read(buffer)? {
            Read::Message(message) => return Ok(Heard::Message(message)),
            Read::Closed => return Ok(Heard::Closed),
            Read::Nothing => {}
        }
        let mut sources = [
            PollFd::new(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN),
        ];
        wait(&mut sources, None)?;
        while let Some(signal) = signals.next() {
            if signal == libc::SIGTERM || signal == libc::SIGINT {
                return Ok(Heard::Terminate);
            }
        }
    }
}

/// Tells the fabric why the gate ends, if it still listens.
fn farewell(link: &mut FabricLink, error: &anyhow::Error) {
    let reason = format!("{error:#}");
    let deadline = Instant::now() + FAREWELL_WAIT;
    let mut sent = link.send(&FromGate::Failed { reason }, None);
    while sent.is_ok() && link.is_waiting() && Instant::now() < deadline {
        let _ = wait(
            &mut [PollFd::new(&*link, PollFlags::OUT)],
            Some(CONNECT_PAUSE),
        );
        sent = link.flush();
    }
}

/// Polls; an interruption counts as nothing ready.
pub fn wait(sources: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<()> {
    let timeout = timeout.map(Timespec::try_from).transpose()?;
    match poll(sources, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(e).context("cannot poll"),
    }
}

/// A gate at work.
struct Gate {
    signals: Signals,
    link: FabricLink,
    supervisor: Supervisor,
    program: Program,
    disk: Option<Disk>,
    /// What comes of emptying it, while it is being emptied.
    emptying: Option<PipeReader>,
    rights: ProgramRights,
    dials: Dials,
    runs: Runs,
    meter: Meter,
    stage: Stage,
    buffer: Vec<u8>,
}

impl Gate {
    /// Waits for something, and handles all that is ready.
    fn turn(&mut self) -> Result<(), End> {
        let (signalled, linked, dialed) = self.poll()?;
        let now = Instant::now();
        if signalled {
            self.hear_signals(now)?;
        }
        for dialed in self.dials.finish(now, &dialed) {
            self.answer_dial(dialed)?;
        }
        for run in self.runs.overdue(now) {
            // Its whole process group.
            send_signal(-run, libc::SIGKILL);
        }
        if self.supervisor.next_timer().is_some_and(|at| at <= now) {
            self.supervisor.handle(now, Input::Timer);
        }
        if linked && self.link.is_waiting() && self.link.flush().is_err() {
            return Err(self.fabric_gone());
        }
        if linked && !self.link.is_waiting() {
            self.read_link()?;
        }
        self.carry_out()
    }

    /// Which of signals, fabric and dials are ready.
    fn poll(&mut self) -> Result<(bool, bool, Vec<usize>)> {
        // While answers wait, nothing more is asked of the gate: the fabric's own queue fills.
        let interest = if self.link.is_waiting() {
            PollFlags::OUT
        } else {
            PollFlags::IN
        };
        let mut sources = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(self.link.as_fd(), interest),
        ];
        let fixed = sources.len();
        sources.extend(
            self.dials
                .sockets()
                .map(|s| PollFd::from_borrowed_fd(s, PollFlags::OUT)),
        );
        let timers = [
            self.supervisor.next_timer(),
            self.dials.next_timer(),
            self.runs.next_timer(),
        ];
        let timer = timers.into_iter().flatten().min();
        wait(
            &mut sources,
            timer.map(|at| at.saturating_duration_since(Instant::now())),
        )?;
        let ready: Vec<usize> = (0..sources.len())
            .filter(|&i| !sources[i].revents().is_empty())
            .collect();
        Ok((
            ready.contains(&0),
            ready.contains(&1),
            ready
                .into_iter()
                .filter_map(|i| i.checked_sub(fixed))
                .collect(),
        ))
    }

    fn hear_signals(&mut self, now: Instant) -> Result<(), End> {
        while let Some(signal) = self.signals.next() {
            match signal {
                libc::SIGCHLD => self.reap(now)?,
                libc::SIGTERM => self.supervisor.handle(now, Input::Terminate),
                other => match self.supervisor.program() {
                    Some(pid) => send_signal(pid, other),
                    None if other == libc::SIGINT => {
                        self.supervisor.handle(now, Input::Terminate);
                    }
                    None => {}
                },
            }
            // Effects come in order before the next signal is looked at.
            self.carry_out()?;
        }
        Ok(())
    }

    /// Reaps every child that has ended: the program, and orphans that came to PID 1.
    fn reap(&mut self, now: Instant) -> Result<(), End> {
        use rustix::process::{WaitOptions, wait};
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let status = ended::number(status.as_raw());
                    let pid = pid.as_raw_nonzero().get();
                    self.runs.reaped(pid);
                    let emptying = match self.supervisor.helper() {
                        Some(helper) if helper == pid => self.emptying.take(),
                        _ => None,
                    };
                    let input = match emptying {
                        Some(told) => Input::Wiped(program::emptied(status, told)),
                        None => Input::Reaped { pid, status },
                    };
                    self.supervisor.handle(now, input);
                    self.carry_out()?;
                }
                Ok(None) => return Ok(()),
                Err(Errno::CHILD) => {
                    self.supervisor.handle(now, Input::Childless);
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(anyhow!(e).context("cannot wait for children").into()),
            }
        }
    }

    /// Reads what the fabric says, as long as its answers can be sent.
    fn read_link(&mut self) -> Result<(), End> {
        while !self.link.is_waiting() {
            match self.link.read(&mut self.buffer)? {
                Read::Message(message) => self.receive(message)?,
                Read::Nothing => break,
                Read::Closed => return Err(self.fabric_gone()),
            }
            self.carry_out()?;
        }
        Ok(())
    }

    /// The end of the fabric is the end of the run: nothing of the node stays.
    fn fabric_gone(&self) -> End {
        signal_all(libc::SIGKILL);
        if self.stage == Stage::Going {
            End::Exit(0)
        } else {
            log(CLOSED_EARLY);
            End::Exit(EXIT_FAILED)
        }
    }

    fn receive(&mut self, message: ToGate) -> Result<()> {
        let now = Instant::now();
        match (message, self.stage) {
            (ToGate::Go { run }, Stage::Open) => {
                self.stage = Stage::Going;
                self.meter.go();
                self.supervisor.handle(now, Input::Go { run });
            }
            (ToGate::Process { tag, op }, _) => {
                self.supervisor.handle(now, Input::Order { tag, op });
            }
            (ToGate::Dial { id, port }, _) => {
                if let Some(dialed) = self.dials.begin(now, id, port) {
                    self.answer_dial(dialed)?;
                }
            }
            (ToGate::Run { id, command }, _) => {
                let dialed = match self.supervisor.program() {
                    Some(_) => {
                        let (program, rights) = (&self.program, &self.rights);
                        self.runs.begin(now, id, command, program, rights)
                    }
                    // There is nothing to ask.
                    None => (id, Err(Errno::CONNREFUSED)),
                };
                self.answer_dial(dialed)?;
            }
            (
                ToGate::Talk {
                    id,
                    command,
                    terminal,
                },
                _,
            ) => {
                let dialed = match self.supervisor.program() {
                    Some(_) => {
                        let (program, rights) = (&self.program, &self.rights);
                        self.runs
                            .begin_talk(id, command, terminal.as_ref(), program, rights)
                    }
                    None => (id, Err(Errno::CONNREFUSED)),
                };
                self.answer_dial(dialed)?;
            }
            (ToGate::Digest { id, path, unless }, _) => {
                let dialed = match self.supervisor.program() {
                    Some(_) => self.runs.begin_digest(now, id, path, unless, &self.rights),
                    None => (id, Err(Errno::CONNREFUSED)),
                };
                self.answer_dial(dialed)?;
            }
            (ToGate::Archive { id }, _) => self.carry(now, id, Carry::Out)?,
            (ToGate::Restore { id }, _) => self.carry(now, id, Carry::In)?,
            (ToGate::Usage { memory }, _) => {
                let helper = self.supervisor.helper();
                let meter = &mut self.meter;
                let usage =
                    privileges::with_program_view(&self.rights, || meter.measure(helper, memory));
                self.link.send(&FromGate::Usage(usage), None)?;
            }
            (
                message @ (ToGate::File { .. } | ToGate::Configure { .. } | ToGate::Go { .. }),
                stage,
            ) => {
                bail!("the fabric sent {message:?} out of turn ({stage:?})");
            }
        }
        Ok(())
    }

    /// Has what the node has written carried out or in; where that cannot be, the socket says why.
    fn carry(&mut self, now: Instant, id: u32, carry: Carry) -> Result<()> {
        let dialed = match self.start_carrying(now, carry) {
            Ok(socket) => Ok(OwnedFd::from(socket)),
            Err(reason) => UnixStream::pair()
                .and_then(|(ours, mut theirs)| {
                    theirs.write_all(&archive::refused(&reason))?;
                    Ok(ours.into())
                })
                .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)),
        };
        self.answer_dial((id, dialed))
    }

    fn start_carrying(&mut self, now: Instant, carry: Carry) -> Result<UnixStream, String> {
        self.supervisor.lends_disk()?;
        let disk = self.disk.as_ref().ok_or("it has no disk to lend")?;
        let started = program::start_carrying(carry, disk, &self.rights);
        let (pid, socket) = started.map_err(|e| format!("cannot make a process: {e}"))?;
        self.supervisor.handle(now, Input::DiskLent(pid));
        Ok(socket)
    }

    fn answer_dial(&mut self, (id, result): Dialed) -> Result<()> {
        let (errno, socket): (i32, Option<OwnedFd>) = match result {
            Ok(socket) => (0, Some(socket)),
            Err(e) => (e.raw_os_error(), None),
        };
        self.link.send(&FromGate::Dialed { id, errno }, socket)
    }

    /// Carries out what the supervisor wants done.
    fn carry_out(&mut self) -> Result<(), End> {
        while let Some(effect) = self.supervisor.poll_effect() {
            let now = Instant::now();
            match effect {
                Effect::Start => {
                    let started = self.program.start(&self.rights);
                    self.supervisor.handle(now, Input::Started(started));
                }
                Effect::Wipe => {
                    let disk = self.disk.as_ref().context("no disk")?;
                    let started = program::start_emptying(disk, &self.rights);
                    let started = started.map(|(pid, told)| {
                        self.emptying = Some(told);
                        pid
                    });
                    let started = started.map_err(|e| format!("cannot make a process: {e}"));
                    self.supervisor.handle(now, Input::WipeStarted(started));
                }
                Effect::Look(why) => {
                    let census = census::count(&self.runs.processes());
                    self.supervisor.handle(now, Input::Looked(why, census));
                }
                Effect::SignalProgram(pid, signal) => send_signal(pid, signal),
                Effect::SignalAll(signal) => signal_all(signal),
                Effect::Send(message) => self.link.send(&message, None)?,
                Effect::Log(text) => log(&text),
                Effect::Exit(code) => return Err(End::Exit(code)),
            }
        }
        Ok(())
    }
}

/// Signals one process; one that has just ended does not matter.
fn send_signal(pid: i32, signal: i32) {
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(pid, signal) };
}

/// Signals every process of this PID namespace but the gate (which is PID 1: see `connect`).
/// The kernel does it in one go, so nothing that forks slips through.
fn signal_all(signal: i32) {
    send_signal(-1, signal);
}
