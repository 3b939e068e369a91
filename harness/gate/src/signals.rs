//! The gate's own signals, as a descriptor: blocked for the gate, and handed to the loop. The
//! program gets an empty mask again when it starts.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the gate hears: its children's ends, and what an engine or a person sends a container.
const HEARD: [Signal; 8] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// A source of signals.
pub struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    /// Blocks the signals and opens the descriptor. Signals that whoever started the gate
    /// ignored are no longer, so that the program hears them all.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn open() -> Result<Signals> {
        for signal in (1..=libc::SIGRTMAX()).filter(|&s| s != libc::SIGPIPE) {
            // Those that cannot be changed are refused, and need not be.
            // SAFETY: only handlers of the Rust runtime are lost, which report a stack overflow.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Signals::hear(&HEARD)
    }

    /// Blocks these signals and opens the descriptor. What was ignored stays so for whoever is started.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn hear(signals: &[Signal]) -> Result<Signals> {
        let heard = SigSet::from_iter(signals.iter().copied());
        heard.thread_set_mask().context("cannot block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&heard, flags).context("cannot listen to signals")?;
        Ok(Signals { descriptor })
    }

    /// The next signal from outside the node, or SIGCHLD. Signals that the node's own processes
    /// send to the gate are dropped: they are no order of the engine's.
    pub fn next(&self) -> Option<i32> {
        std::iter::from_fn(|| self.read())
            .find(|info| is_child_end(info) || is_from_outside(info))
            .map(|info| info.ssi_signo.cast_signed())
    }

    /// The next signal, whoever sent it.
    pub fn next_of_anybody(&self) -> Option<i32> {
        self.read().map(|info| info.ssi_signo.cast_signed())
    }

    fn read(&self) -> Option<siginfo> {
        self.descriptor.read_signal().ok().flatten()
    }
}

fn is_child_end(info: &siginfo) -> bool {
    info.ssi_signo.cast_signed() == libc::SIGCHLD
}

/// Whether the kernel vouches for it that a signal comes from outside the node: somebody called `kill`
/// (SI_USER) who has no process id in this PID namespace. A process of the node brings about no such
/// signal:
///
/// - With its own `kill` goes its process id, which the kernel fills in.
/// - `rt_sigqueueinfo` and its like pass on any process id that they are told, but to another process
///   only with a code below zero.
/// - What a file sends to its owner (F_SETOWN, F_SETSIG) has no sender, but the code of an event.
/// - When too many signals wait for a user's processes (RLIMIT_SIGPENDING), the kernel forgets where a
///   queued one came from, and it looks like the engine's. The limit that counts is the receiver's:
///   programs have a lower one than the gate ([`leave_room`]), so that theirs is reached before.
fn is_from_outside(info: &siginfo) -> bool {
    info.ssi_code == libc::SI_USER && info.ssi_pid == 0
}

/// In a child of the gate: of the signals that may wait, it takes at most half.
///
/// # Errors
/// As the kernel says.
pub fn leave_room() -> rustix::io::Result<()> {
    let Some(gates) = getrlimit(Resource::Sigpending).current else {
        return Ok(()); // without limit
    };
    let half = Some(gates / 2);
    setrlimit(
        Resource::Sigpending,
        Rlimit {
            current: half,
            maximum: half,
        },
    )
}

/// In a child of the gate: lets every signal through again, for a program expects that.
pub fn unblock_all() {
    // Nothing refuses an empty set.
    let _ = SigSet::empty().thread_set_mask();
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
