//! The live screen on a terminal of its own: what keys do, and that the terminal is afterwards as it
//! was.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, Termios, tcgetattr};

use crate::command::member;
use crate::networks_of::User;
use crate::processes::{all_gone, family, signal};

/// Nothing that is waited for takes longer, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(120);
/// Rows and columns.
const SIZE: (u16, u16) = (24, 80);

/// A command on a terminal of 80 by 24.
struct OnTerminal {
    process: Child,
    keyboard: File,
    /// Ours, so that it stays and can be asked.
    terminal: OwnedFd,
    before: Termios,
    pieces: Receiver<Vec<u8>>,
    shown: vt100::Parser,
}

impl OnTerminal {
    fn start(user: &User, words: &str) -> OnTerminal {
        let (keyboard, terminal) = pair();
        let ours = || std::process::Stdio::from(terminal.try_clone().unwrap());
        let asked = user.command(words);
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(asked.get_program())
            .args(asked.get_args())
            .envs(
                asked
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .env("TERM", "xterm-256color")
            .current_dir(asked.get_current_dir().unwrap())
            .stdin(ours())
            .stdout(ours())
            .stderr(ours());
        let before = tcgetattr(terminal.as_fd()).unwrap();
        let process = command.spawn().unwrap();
        let (sender, pieces) = channel();
        let mut screen = keyboard.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut piece) {
                if sender.send(piece[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        OnTerminal {
            process,
            keyboard,
            terminal,
            before,
            pieces,
            shown: vt100::Parser::new(SIZE.0, SIZE.1, 0),
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until something holds of what is shown.
    fn until(&mut self, what: &str, holds: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self.shown.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.shown.process(&piece),
                Err(error) => panic!("{what}: {error}\n{}", self.shown.screen().contents()),
            }
        }
    }

    fn shows(&mut self, what: &str) {
        self.until(what, |screen| screen.contents().contains(what));
    }

    fn shows_no_more(&mut self, what: &str) {
        self.until(what, |screen| !screen.contents().contains(what));
    }

    /// Waits until the terminal is given back.
    fn is_left(&mut self) {
        self.until("left", |screen| !screen.alternate_screen());
    }

    /// Waits for its end, and sees that the terminal is as it was.
    fn ends(mut self) -> ExitStatus {
        self.is_left();
        let status = self.process.wait().unwrap();
        let after = tcgetattr(self.terminal.as_fd()).unwrap();
        assert!(
            after
                .local_modes
                .contains(LocalModes::ICANON | LocalModes::ECHO)
        );
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        assert!(!self.shown.screen().hide_cursor());
        status
    }
}

/// A terminal: our end of it, and the one that programs see.
fn pair() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let mut size = libc::winsize {
        ws_row: SIZE.0,
        ws_col: SIZE.1,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: it writes two descriptors, and reads a size; what is null is not wanted.
    let made = unsafe {
        let (name, modes) = (std::ptr::null_mut(), std::ptr::null_mut());
        libc::openpty(&raw mut ours, &raw mut theirs, name, modes, &raw mut size)
    };
    assert_eq!(made, 0);
    // SAFETY: both were just opened, and are nobody else's.
    unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

#[test]
fn keys_break_a_network_and_mend_it_and_the_terminal_is_as_it_was() {
    let user = User::of("local");
    user.up("4 --name net");
    let mut screen = OnTerminal::start(&user, "watch");
    screen.shows("net on local");
    assert!(screen.shown.screen().alternate_screen());
    screen.press("p");
    screen.shows("partition of");
    screen.press("h");
    screen.shows("1 fault ended");
    // The second node, by the right arrow.
    screen.press("\u{1b}[C");
    screen.press("k");
    screen.shows("kill of peers-1");
    screen.press("s");
    screen.shows("start of peers-1");
    screen.press("q");
    assert_eq!(screen.ends().code(), Some(0));
    // It stays.
    assert_eq!(user.says("ps").lines().count(), 5);

    let mut screen = OnTerminal::start(&user, "watch");
    screen.shows("net on local");
    screen.press("\u{3}");
    assert_eq!(screen.ends().code(), Some(0));

    let mut screen = OnTerminal::start(&user, "watch");
    screen.shows("net on local");
    user.says("down");
    screen.is_left();
    screen.shows("net has ended");
    assert_eq!(screen.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_network_in_the_foreground_ends_when_asked_twice() {
    let user = User::of("local");
    let mut screen = OnTerminal::start(&user, "up 3 --name net --out record --engine local");
    screen.shows("net on local");
    screen.press("q");
    screen.shows("q again ends the network");
    screen.press("x");
    screen.shows_no_more("q again");
    assert_eq!(user.says("ps").lines().count(), 4);
    screen.press("q");
    screen.shows("q again ends the network");
    screen.press("q");
    assert_eq!(screen.ends().code(), Some(0));
    assert_eq!(user.left(), Vec::<String>::new());
}

#[test]
fn a_second_signal_ends_a_run_at_once_and_the_terminal_is_as_it_was() {
    let user = User::of("local");
    let text = include_str!("../experiments/small.yaml");
    std::fs::write(user.path("small.yaml"), text).unwrap();
    let mut screen = OnTerminal::start(&user, "run small.yaml --engine local --out record");
    screen.shows("small on local");
    let all = family(screen.process.id());
    let peerlab = member(&all, "peerlab");
    // Both are there when it looks.
    for name in ["STOP", "TERM", "INT", "CONT"] {
        signal(peerlab, name);
    }
    assert_eq!(screen.ends().code(), Some(130));
    all_gone(&all);
}

#[test]
fn off_a_terminal_there_are_lines() {
    let user = User::of("local");
    user.up("2 --name net");
    let mut watch = user.command("watch --plain");
    let mut watching = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(watching.stdout.take().unwrap());
    let mut said = String::new();
    out.read_line(&mut said).unwrap();
    user.says("mine");
    user.says("wait --until height>=1");
    user.says("down");
    out.read_to_string(&mut said).unwrap();
    assert!(watching.wait().unwrap().success());
    assert!(said.contains("2 of 2 nodes up"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
}
