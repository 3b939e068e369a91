//! A program that somebody talks to through a socket: with a terminal of its own between, where that is wanted
//! and the node can have any, or else with the socket as its standard streams.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use peerlab_link::proto::Terminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, getpgrp, ioctl_tiocsctty, kill_process_group, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::stdin;
use rustix::termios::{Winsize, tcsetwinsize};

/// Pause between two looks at whether the program has ended, where its streams do not tell.
const LOOK_PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Starts the program and carries what is said, until it has ended or nobody listens any more. To be called in
/// a process of its own, in a group of its own, which end with it.
///
/// # Errors
/// When the program cannot be started, which is said on the socket as well.
pub fn carry(
    command: &mut Command,
    socket: &UnixStream,
    terminal: Option<&Terminal>,
) -> io::Result<()> {
    let pair = terminal.map(|terminal| (terminal, open(terminal)));
    let carried = match pair {
        Some((terminal, Ok((ours, theirs)))) => {
            command.env("TERM", &terminal.name);
            through(command, socket, ours, theirs)
        }
        // A node without a /dev/pts has none to give.
        Some((_, Err(_))) | None => directly(command, socket),
    };
    if let Err(error) = &carried {
        let _ = writeln!(
            &mut &*socket,
            "cannot start {}: {error}",
            command.get_program().display()
        );
    }
    carried
}

/// The two ends of a terminal: the person's, and the program's.
fn open(terminal: &Terminal) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    let size = Winsize {
        ws_row: terminal.rows,
        ws_col: terminal.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&ours, size)?;
    Ok((ours, theirs))
}

/// With a terminal, in a session of its own, which ends with the person's end.
fn through(
    command: &mut Command,
    socket: &UnixStream,
    ours: OwnedFd,
    theirs: OwnedFd,
) -> io::Result<()> {
    // SAFETY: only system calls are made between fork and exec.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            ioctl_tiocsctty(stdin())?;
            Ok(())
        });
    }
    let mut child = start(command, || theirs.try_clone())?;
    // The terminal ends when nobody has the program's end any more.
    drop(theirs);
    let mut typed = File::from(ours.try_clone()?);
    let mut told = socket.try_clone()?;
    let session = Pid::from_child(&child);
    std::thread::spawn(move || {
        let _ = io::copy(&mut told, &mut typed);
        // Nobody listens any more.
        let _ = kill_process_group(session, Signal::HUP);
        let _ = kill_process_group(session, Signal::KILL);
    });
    // It ends with an error once the program's end is closed.
    let _ = io::copy(&mut File::from(ours), &mut &*socket);
    child.wait().map(drop)
}

/// Without one: the program is the only one that reads and writes.
fn directly(command: &mut Command, socket: &UnixStream) -> io::Result<()> {
    let mut child = start(command, || socket.try_clone().map(OwnedFd::from))?;
    while child.try_wait()?.is_none() {
        // That both directions are closed is told without being asked for.
        let mut source = [PollFd::new(socket, PollFlags::empty())];
        let _ = poll(&mut source, Some(&LOOK_PAUSE));
        if !source[0].revents().is_empty() {
            // With this process all that the program started goes, as it is in the same group.
            kill_process_group(getpgrp(), Signal::KILL)?;
        }
    }
    Ok(())
}

/// Starts it with these streams, of which this process keeps none.
fn start(command: &mut Command, stream: impl Fn() -> io::Result<OwnedFd>) -> io::Result<Child> {
    command.stdin(stream()?).stdout(stream()?).stderr(stream()?);
    let child = command.spawn();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    child
}
