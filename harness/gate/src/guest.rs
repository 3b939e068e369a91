//! A program of the host in the network, with an address of its own: it keeps the host's files and its user,
//! and has a network namespace in which there is nothing but the emulated network. To the fabric this is a
//! node's gate, which does nothing to its program but start it, and ends with it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal as Heard;
use peerlab_link::NodeId;
use peerlab_link::proto::{FromGate, NodeUsage, SECRET_BYTES, Secret, ToGate};
use peerlab_link::starter::GUEST_SECRET;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, set_child_subreaper, set_parent_process_death_signal,
    wait,
};
use rustix::thread::UnshareFlags;

use crate::ended::{self, exit_code};
use crate::fabric_link::{FabricLink, Read, packet_buffer};
use crate::privileges::{self, ProgramRights, become_program};
use crate::proc::{self, Stat};
use crate::program::not_started;
use crate::signals::{Signals, unblock_all};
use crate::user_namespace::{self, Known};
use crate::{device, gate};

/// How long the fabric may take to expect this guest.
const FABRIC_WAIT: Duration = Duration::from_secs(10);
/// Pause between two tries to reach it.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);
/// Exit code when the program could not come in, or the network has ended.
const EXIT_FAILED: i32 = 3;
/// What a guest hears: its children's ends, and who wants it to end. What is typed at the terminal (SIGINT,
/// SIGQUIT) is the program's to hear, which it does itself.
const HEARD: [Heard; 5] = [
    Heard::SIGCHLD,
    Heard::SIGTERM,
    Heard::SIGHUP,
    Heard::SIGINT,
    Heard::SIGQUIT,
];

/// Lives a guest's life, and gives its exit code: the program's.
pub fn run(arguments: impl Iterator<Item = OsString>) -> i32 {
    match visit(arguments.collect()) {
        Ok(code) => code,
        Err(error) => {
            gate::log(&format!("{error:#}"));
            EXIT_FAILED
        }
    }
}

fn visit(arguments: Vec<OsString>) -> Result<i32> {
    let [node, socket, command @ ..] = arguments.as_slice() else {
        bail!("not called by `peerlab connect`");
    };
    let node = node.to_str().and_then(|node| node.parse().ok());
    let node = NodeId(node.context("the number of the node is missing")?);
    let hello = FromGate::Hello {
        node,
        secret: take_secret()?,
    };
    // The host's files lead there, and the user's rights.
    let (link, expected) = expect(&PathBuf::from(socket), &hello)?;
    user_namespace::enter(UnshareFlags::NEWNET, Known::AsOutside)?;
    privileges::hide_gate()?;
    // Whatever the program leaves behind is this process' to end.
    set_child_subreaper(Some(rustix::process::getpid())).context("cannot adopt processes")?;
    let mut guest = Guest {
        link,
        signals: Signals::hear(&HEARD)?,
        command: command.to_vec(),
        rights: None,
        program: None,
        ended: None,
    };
    guest.receive(expected)?;
    guest.serve()
}

struct Guest {
    link: FabricLink,
    signals: Signals,
    command: Vec<OsString>,
    /// Known once the device is open.
    rights: Option<ProgramRights>,
    program: Option<Pid>,
    /// What this process ends with.
    ended: Option<i32>,
}

impl Guest {
    /// Until the program has ended, or the fabric.
    fn serve(&mut self) -> Result<i32> {
        let mut buffer = packet_buffer();
        loop {
            if let Some(code) = self.ended {
                return Ok(code);
            }
            let mut sources = [
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(&self.link, PollFlags::IN),
            ];
            gate::wait(&mut sources, None)?;
            self.hear_signals();
            if self.ended.is_none() {
                self.hear_fabric(&mut buffer)?;
            }
        }
    }

    fn hear_fabric(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.link.read(buffer)? {
            Read::Message(message) => self.receive(message),
            Read::Nothing => Ok(()),
            Read::Closed => {
                end_all();
                bail!("the network has ended")
            }
        }
    }

    fn hear_signals(&mut self) {
        while let Some(signal) = self.signals.next_of_anybody() {
            match (signal, self.program) {
                (libc::SIGCHLD, _) => self.reap(),
                (libc::SIGINT | libc::SIGQUIT, Some(_)) => {}
                (other, Some(program)) => {
                    // SAFETY: kill touches no memory; until it is reaped the number is the program's.
                    unsafe { libc::kill(program.as_raw_nonzero().get(), other) };
                }
                (other, None) => self.ended = self.ended.or(Some(exit_code(-other))),
            }
        }
    }

    /// Reaps every child that has ended: the program, and what it left behind.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.program == Some(pid) {
                self.program = None;
                self.ended = Some(exit_code(ended::number(status.as_raw())));
            }
        }
    }

    fn receive(&mut self, message: ToGate) -> Result<()> {
        match message {
            ToGate::Configure { ip, prefix, mtu } => {
                let tun = device::open(ip, prefix, mtu)?;
                self.rights = Some(privileges::reduce(true, false, None)?);
                self.link.send(&FromGate::Tun, Some(tun))
            }
            // It has the host's.
            ToGate::File { .. } => Ok(()),
            ToGate::Go { .. } => self.start(),
            // It is no node: nobody does anything to it, or asks it anything.
            ToGate::Process { tag, .. } => {
                let result = Err("a guest is nobody's to control".into());
                self.link.send(&FromGate::Done { tag, result }, None)
            }
            ToGate::Dial { id, .. }
            | ToGate::Run { id, .. }
            | ToGate::Talk { id, .. }
            | ToGate::Archive { id }
            | ToGate::Restore { id }
            | ToGate::Digest { id, .. } => {
                let errno = Errno::CONNREFUSED.raw_os_error();
                self.link.send(&FromGate::Dialed { id, errno }, None)
            }
            ToGate::Usage { .. } => {
                let usage = FromGate::Usage(NodeUsage::default());
                self.link.send(&usage, None)
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        let (Some(name), Some(rights)) = (self.command.first(), self.rights.clone()) else {
            bail!("there is no program to run");
        };
        let mut command = Command::new(name);
        command.args(&self.command[1..]);
        // SAFETY: this process has a single thread, so the child may do what any program may.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                unblock_all();
                become_program(&rights)?;
                Ok(())
            });
        }
        match command.spawn() {
            Ok(program) => self.program = Some(Pid::from_child(&program)),
            Err(error) => {
                let failed = not_started(Path::new(name), &error);
                gate::log(&failed.reason);
                self.ended = Some(failed.status);
            }
        }
        Ok(())
    }
}

/// Ends the program and all that it started, whose processes are this one's once their parents are gone.
fn end_all() {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    loop {
        for process in proc::processes() {
            let parent = Stat::of(&format!("/proc/{process}")).map(|stat| stat.parent);
            if parent == Some(own)
                && let Some(child) = Pid::from_raw(process)
            {
                let _ = kill_process(child, Signal::KILL);
            }
        }
        // One by one: the children of the one that has ended come next.
        if matches!(wait(WaitOptions::empty()), Err(Errno::CHILD)) {
            return;
        }
    }
}

fn take_secret() -> Result<Secret> {
    let text = std::env::var(GUEST_SECRET).context("not called by `peerlab connect`")?;
    // SAFETY: this process has a single thread.
    unsafe { std::env::remove_var(GUEST_SECRET) };
    let mut secret = [0; SECRET_BYTES];
    for (index, byte) in secret.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2);
        let read = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        *byte = read.context("the secret is none")?;
    }
    Ok(Secret(secret))
}

/// Says who this is, and waits until the fabric expects it: its socket is there as soon as it expects
/// anybody, and it turns away whom it does not know yet. Gives what it said then.
fn expect(socket: &Path, hello: &FromGate) -> Result<(FabricLink, ToGate)> {
    let deadline = Instant::now() + FABRIC_WAIT;
    let mut buffer = packet_buffer();
    while Instant::now() < deadline {
        if let Some(mut link) = FabricLink::connect(socket)?
            && let Some(said) = greet(&mut link, hello, deadline, &mut buffer)?
        {
            return Ok((link, said));
        }
        std::thread::sleep(CONNECT_PAUSE);
    }
    bail!("the network does not expect this program");
}

/// The fabric's answer; `None` where it turns this guest away, or says nothing in time.
fn greet(
    link: &mut FabricLink,
    hello: &FromGate,
    deadline: Instant,
    buffer: &mut [u8],
) -> Result<Option<ToGate>> {
    if link.send(hello, None).is_err() {
        return Ok(None);
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        gate::wait(&mut [PollFd::new(&*link, PollFlags::IN)], Some(left))?;
        match link.read(buffer)? {
            Read::Message(message) => return Ok(Some(message)),
            Read::Nothing if !left.is_zero() => {}
            Read::Nothing | Read::Closed => return Ok(None),
        }
    }
}
