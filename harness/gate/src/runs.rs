//! Programs that are run beside the node's own, few at once: to ask it something, which takes not long (the gate
//! itself does, where that is the digest of a file), or for somebody to talk to, as long as they do.
//! What comes of them goes to whoever asked; the gate only starts them, and ends what takes too long.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use peerlab_link::proto::{FileStamp, Terminal};
use rustix::io::Errno;

use crate::dial::Dialed;
use crate::privileges::ProgramRights;
use crate::program::{self, Program};
use crate::supervisor::Pid;

/// Programs that may run at once: a probe's, one that it gave up and that ends by itself, and room.
const RUNS_MAX: usize = 8;
/// Programs that somebody may talk to at once.
const TALKS_MAX: usize = 4;
/// How long one may run that only answers.
const RUN_TIMEOUT: Duration = Duration::from_secs(10);

/// Those that run.
#[derive(Default)]
pub struct Runs {
    running: Vec<(Pid, Instant)>,
    talking: Vec<Pid>,
}

impl Runs {
    /// Starts one; what comes of it comes out of the socket.
    pub fn begin(
        &mut self,
        now: Instant,
        id: u32,
        command: Vec<String>,
        program: &Program,
        rights: &ProgramRights,
    ) -> Dialed {
        let command = words(command);
        self.begin_answering(now, id, || program.run(&command, rights))
    }

    /// Begins to make the digest of a file, likewise.
    pub fn begin_digest(
        &mut self,
        now: Instant,
        id: u32,
        path: String,
        unless: Option<FileStamp>,
        rights: &ProgramRights,
    ) -> Dialed {
        self.begin_answering(now, id, || program::start_digest(path, unless, rights))
    }

    fn begin_answering(
        &mut self,
        now: Instant,
        id: u32,
        start: impl FnOnce() -> io::Result<(Pid, UnixStream)>,
    ) -> Dialed {
        if self.running.len() >= RUNS_MAX {
            return (id, Err(Errno::AGAIN));
        }
        let started = start().map(|(pid, output)| {
            self.running.push((pid, now + RUN_TIMEOUT));
            OwnedFd::from(output)
        });
        (id, started.map_err(errno))
    }

    /// Starts one that somebody talks to through the socket.
    pub fn begin_talk(
        &mut self,
        id: u32,
        command: Vec<String>,
        terminal: Option<&Terminal>,
        program: &Program,
        rights: &ProgramRights,
    ) -> Dialed {
        if self.talking.len() >= TALKS_MAX {
            return (id, Err(Errno::AGAIN));
        }
        let started = program.talk(&words(command), terminal, rights);
        let started = started.map(|(pid, socket)| {
            self.talking.push(pid);
            OwnedFd::from(socket)
        });
        (id, started.map_err(errno))
    }

    /// Those that run, each in a group of its own.
    pub fn processes(&self) -> Vec<Pid> {
        let running = self.running.iter().map(|(pid, _)| *pid);
        running.chain(self.talking.iter().copied()).collect()
    }

    /// A child was reaped.
    pub fn reaped(&mut self, pid: Pid) {
        self.running.retain(|(running, _)| *running != pid);
        self.talking.retain(|talking| *talking != pid);
    }

    /// When the next one has run for too long.
    pub fn next_timer(&self) -> Option<Instant> {
        self.running.iter().map(|(_, deadline)| *deadline).min()
    }

    /// The process groups that have run for too long, each named once.
    pub fn overdue(&mut self, now: Instant) -> Vec<Pid> {
        let (overdue, running) = self
            .running
            .drain(..)
            .partition(|(_, deadline)| *deadline <= now);
        self.running = running;
        let overdue: Vec<(Pid, Instant)> = overdue;
        overdue.into_iter().map(|(pid, _)| pid).collect()
    }
}

fn words(command: Vec<String>) -> Vec<OsString> {
    command.into_iter().map(OsString::from).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
