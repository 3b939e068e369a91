//! The gate's own signals, as a descriptor: blocked for the gate, and handed to the loop. The
//! program gets an empty mask again when it starts.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

/// What the gate hears: its children's ends, and what an engine or a person sends a container.
const HEARD: [i32; 8] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
];

/// A source of signals.
pub struct Signals {
    descriptor: OwnedFd,
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
        // SAFETY: a sigset_t is plain old data; the calls fill it and read it while it lives.
        let descriptor = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in HEARD {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error()).context("cannot listen to signals");
        }
        // SAFETY: the descriptor was just made and is nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Signals { descriptor })
    }

    /// The next signal from outside the node, or SIGCHLD. Signals that the node's own processes
    /// send to the gate are dropped: they are no order of the engine's.
    pub fn next(&self) -> Option<i32> {
        loop {
            // SAFETY: `signalfd_siginfo` is plain old data, for which zeros are a valid value.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            // SAFETY: reads at most one structure into it.
            let bytes = unsafe {
                libc::read(
                    self.descriptor.as_raw_fd(),
                    (&raw mut info).cast(),
                    size_of::<libc::signalfd_siginfo>(),
                )
            };
            if bytes != size_of::<libc::signalfd_siginfo>().cast_signed() {
                return None;
            }
            let signal = info.ssi_signo.cast_signed();
            // A sender outside this PID namespace has no process id in it.
            if signal == libc::SIGCHLD || info.ssi_pid == 0 {
                return Some(signal);
            }
        }
    }
}

/// In a child of the gate: lets every signal through again, for a program expects that.
pub fn unblock_all() {
    // SAFETY: a sigset_t is plain old data; the calls fill it and read it while it lives.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
