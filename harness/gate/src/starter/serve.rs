//! The starter's life: set up, then start what the harness asks for and tell what ended, until
//! the harness is gone.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail};
use peerlab_link::NodeId;
use peerlab_link::framing::{Deframer, frame_into};
use peerlab_link::starter::{FromStarter, ToStarter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::logs::Logs;
use super::nursery::Nursery;
use super::{advice, child, limits, namespaces, roots};
use crate::signals::Signals;
use crate::{ended, gate};

/// Bytes read from the harness at once: hundreds of nodes to start.
const READ_BYTES: usize = 64 << 10;
/// Exit code when something went wrong.
const EXIT_FAILED: i32 = 1;
/// Where nodes' programs are looked for, and their home: all of the environment that they get.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/:/bin:/usr/bin"), ("HOME", "/data")];

/// Lives a starter's life, and gives its exit code.
pub fn run() -> i32 {
    let mut starter = match Starter::new() {
        Ok(starter) => starter,
        Err(error) => {
            gate::log(&format!("{error:#}"));
            return EXIT_FAILED;
        }
    };
    match starter.serve() {
        Ok(()) => 0,
        Err(error) => {
            let failed = FromStarter::Failed {
                reason: format!("{error:#}"),
                hint: advice::hint(&error),
            };
            starter.tell(&failed);
            if starter.flush().is_err() {
                gate::log(&format!("{error:#}"));
            }
            EXIT_FAILED
        }
    }
}

struct Starter {
    /// Descriptor 0.
    harness: OwnedFd,
    /// Descriptor 1, until the fabric has it.
    stream: Option<OwnedFd>,
    deframer: Deframer,
    outbox: Vec<u8>,
    fabric: Option<libc::pid_t>,
    logs: Logs,
    nodes: BTreeMap<libc::pid_t, NodeId>,
}

impl Starter {
    /// Takes the two sockets from where they were passed.
    fn new() -> Result<Starter> {
        let take = |descriptor: BorrowedFd<'_>| {
            rustix::io::fcntl_dupfd_cloexec(descriptor, 3).context("not called by a harness")
        };
        let harness = take(rustix::stdio::stdin())?;
        let stream = take(rustix::stdio::stdout())?;
        // Their ends must be seen, so no copy may stay behind.
        let null = std::fs::File::open("/dev/null").context("cannot open /dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        Ok(Starter {
            harness,
            stream: Some(stream),
            deframer: Deframer::new(),
            outbox: Vec::new(),
            fabric: None,
            logs: Logs::new()?,
            nodes: BTreeMap::new(),
        })
    }

    /// Serves until the harness' socket closes.
    fn serve(&mut self) -> Result<()> {
        let Some(ToStarter::Setup {
            fabric,
            programs,
            images,
        }) = self.first_message()?
        else {
            bail!("the harness did not begin with a setup");
        };
        clear_environment();
        limits::raise_files_limit();
        let pid = namespaces::enter()?;
        let signals = Signals::open()?;
        roots::make(&fabric, &programs, &images)?;
        crate::privileges::hide_gate()?;
        let mut nursery = Nursery::open()?;
        self.tell(&FromStarter::Ready { pid });
        loop {
            self.flush()?;
            let interest = if self.outbox.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            let mut sources = [
                PollFd::new(&signals, PollFlags::IN),
                PollFd::new(&self.harness, interest),
                PollFd::new(&self.logs, PollFlags::IN),
            ];
            gate::wait(&mut sources, None)?;
            let is_told = sources[1]
                .revents()
                .intersects(PollFlags::IN | PollFlags::HUP);
            self.logs.read();
            // A look at thousands of children takes its time.
            if std::iter::from_fn(|| signals.next()).count() > 0 {
                self.reap();
            }
            if is_told && !self.read()? {
                return Ok(());
            }
            self.obey(&mut nursery)?;
        }
    }

    /// Waits for the first message, without which nothing can be done.
    fn first_message(&mut self) -> Result<Option<ToStarter>> {
        loop {
            if let Some(message) = self.deframer.next_message()? {
                return Ok(Some(message));
            }
            let mut source = [PollFd::new(&self.harness, PollFlags::IN)];
            poll(&mut source, None).context("cannot poll")?;
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// Reads once; `false` when the harness is gone.
    fn read(&mut self) -> Result<bool> {
        use rustix::net::{RecvFlags, recv};
        let mut bytes = [0; READ_BYTES];
        match recv(&self.harness, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET) => Ok(false),
            Ok((count, _)) => {
                self.deframer.push(&bytes[..count]);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(e) => Err(e).context("cannot read from the harness"),
        }
    }

    /// Does all that has been read.
    fn obey(&mut self, nursery: &mut Nursery) -> Result<()> {
        while let Some(message) = self.deframer.next_message()? {
            match message {
                ToStarter::Setup { .. } => bail!("the harness sent a second setup"),
                ToStarter::StartFabric => {
                    let stream = self
                        .stream
                        .take()
                        .context("the fabric was started before")?;
                    self.fabric = Some(child::start_fabric(&stream).context("no process")?);
                    self.tell(&FromStarter::FabricStarted);
                }
                ToStarter::StartNode(spec) => {
                    let log = self.logs.begin(spec.node)?;
                    nursery.start_node(&spec, &log)?;
                }
                ToStarter::EndNode { node } => self.end(node),
                ToStarter::Log { node, bytes_max } => {
                    let tail = self.logs.tail(node, bytes_max as usize);
                    self.tell(&FromStarter::Log {
                        node,
                        left_out: tail.left_out,
                        bytes: tail.bytes,
                        read: tail.read,
                    });
                }
            }
        }
        // All are known before any can be found to have ended.
        for (node, pid) in nursery.made()? {
            self.nodes.insert(pid, node);
            self.tell(&FromStarter::NodeStarted { node });
        }
        Ok(())
    }

    /// Kills a node's gate, and with it all that is in its namespace; that it has ended is told once it is
    /// reaped.
    fn end(&mut self, node: NodeId) {
        let number = self.nodes.iter().find(|(_, of)| **of == node);
        let gate = number.and_then(|(pid, _)| Pid::from_raw(*pid));
        match gate {
            // It may just have ended, and is reaped then.
            Some(gate) => drop(kill_process(gate, Signal::KILL)),
            None => self.tell(&FromStarter::NodeEnded { node, status: 0 }),
        }
    }

    /// Reaps all children that ended, the orphans among them, and tells of those it knows.
    fn reap(&mut self) {
        use rustix::process::{WaitOptions, wait};
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let status = ended::number(status.as_raw());
            if self.fabric == Some(pid) {
                self.fabric = None;
                self.tell(&FromStarter::FabricEnded { status });
            } else if let Some(node) = self.nodes.remove(&pid) {
                self.tell(&FromStarter::NodeEnded { node, status });
            }
        }
    }

    /// Has a message sent with all others of this turn: each would wake the harness by itself.
    fn tell(&mut self, message: &FromStarter) {
        frame_into(message, &mut self.outbox);
    }

    fn flush(&mut self) -> Result<()> {
        use rustix::net::{SendFlags, send};
        while !self.outbox.is_empty() {
            match send(
                &self.harness,
                &self.outbox,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(e) => return Err(e).context("cannot send to the harness"),
            }
        }
        Ok(())
    }
}

/// Nothing of the harness' environment is a node's business.
fn clear_environment() {
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in names {
        // SAFETY: this process has a single thread.
        unsafe { std::env::remove_var(name) };
    }
    for (name, value) in ENVIRONMENT {
        // SAFETY: as above.
        unsafe { std::env::set_var(name, value) };
    }
}
