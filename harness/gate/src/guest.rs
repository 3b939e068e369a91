//! A program of the host in the network, with an address of its own: it keeps the host's files and its user,
//! and has a network namespace in which there is nothing but the emulated network. To the fabric this is a
//! node's gate, which does nothing to its program but start it, and ends with it.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use peerlab_link::NodeId;
use peerlab_link::proto::{FromGate, NodeUsage, SECRET_BYTES, Secret, ToGate};
use peerlab_link::starter::GUEST_SECRET;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

use crate::fabric_link::{FabricLink, Read, packet_buffer};
use crate::privileges::{self, ProgramRights, become_program};
use crate::{device, gate};

/// How long the fabric may take to expect this guest.
const FABRIC_WAIT: Duration = Duration::from_secs(10);
/// Pause between two tries to reach it.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);
/// Exit code when the program could not come in, or the network has ended.
const EXIT_FAILED: i32 = 3;
/// Added to a signal's number, as shells do.
const SIGNALLED: i32 = 128;

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
    let secret = take_secret()?;
    // The host's files lead there, and the user's rights.
    let mut link = connect(&PathBuf::from(socket))?;
    enter_namespaces()?;
    privileges::hide_gate()?;
    hear_no_interrupts();
    link.send(&FromGate::Hello { node, secret }, None)?;
    let mut guest = Guest {
        link,
        command: command.to_vec(),
        rights: None,
        program: None,
    };
    guest.serve()
}

struct Guest {
    link: FabricLink,
    command: Vec<OsString>,
    /// Known once the device is open.
    rights: Option<ProgramRights>,
    /// Can be read when it has ended.
    program: Option<(Child, OwnedFd)>,
}

impl Guest {
    /// Until the program has ended, or the fabric.
    fn serve(&mut self) -> Result<i32> {
        let mut buffer = packet_buffer();
        loop {
            let mut sources = vec![PollFd::new(&self.link, PollFlags::IN)];
            if let Some((_, ended)) = &self.program {
                sources.push(PollFd::new(ended, PollFlags::IN));
            }
            gate::wait(&mut sources, None)?;
            let has_ended = sources.get(1).is_some_and(|it| !it.revents().is_empty());
            if has_ended && let Some((program, _)) = &mut self.program {
                let status = program.wait().context("cannot wait for the program")?;
                return Ok(exit_code(status));
            }
            match self.link.read(&mut buffer)? {
                Read::Message(message) => self.receive(message)?,
                Read::Nothing => {}
                Read::Closed => {
                    if let Some((program, _)) = &mut self.program {
                        let _ = program.kill();
                        let _ = program.wait();
                    }
                    bail!("the network has ended");
                }
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
            ToGate::Go { .. } => self.start(),
            // It is no node: nobody does anything to it, or asks it anything.
            ToGate::Process { tag, .. } => {
                let result = Err("a guest is nobody's to control".into());
                self.link.send(&FromGate::Done { tag, result }, None)
            }
            ToGate::Dial { id, .. } | ToGate::Run { id, .. } | ToGate::Talk { id, .. } => {
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
                for signal in [libc::SIGINT, libc::SIGQUIT] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                become_program(&rights)?;
                Ok(())
            });
        }
        let program = command
            .spawn()
            .with_context(|| format!("cannot start {}", name.display()))?;
        let ended = pidfd_open(Pid::from_child(&program), PidfdFlags::empty())
            .context("cannot wait for the program")?;
        self.program = Some((program, ended));
        Ok(())
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

/// The fabric's socket is there as soon as it expects somebody.
fn connect(socket: &Path) -> Result<FabricLink> {
    let deadline = Instant::now() + FABRIC_WAIT;
    loop {
        if let Some(link) = FabricLink::connect(socket)? {
            return Ok(link);
        }
        if Instant::now() >= deadline {
            bail!("the network does not expect this program");
        }
        std::thread::sleep(CONNECT_PAUSE);
    }
}

/// A user namespace, in which this user is the only one, and a network namespace that belongs to it.
fn enter_namespaces() -> Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: this process has a single thread, and shares no descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }
        .context("cannot make namespaces")?;
    let map = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text)
            .with_context(|| format!("cannot write {file}"))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{0} {0} 1\n", user.as_raw()))?;
    map("gid_map", format!("{0} {0} 1\n", group.as_raw()))
}

/// What is typed at the terminal is the program's to hear.
fn hear_no_interrupts() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: no handler is replaced that anything rests on.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, signal) => SIGNALLED + signal.unwrap_or_default(),
    }
}
