//! The screen: the only user of stdout and stderr. Results go to stdout; progress, log and
//! errors to stderr. On a terminal progress is drawn in place, otherwise it is plain lines.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use tracing_subscriber::EnvFilter;

use clap::ValueEnum;
use peerlab_core::error::Error;
use peerlab_core::report::TerminalStyle;
use peerlab_core::report::annotation::harmless;
use peerlab_core::words;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);
/// Bytes that are held back; of more the later ones.
const HELD_BYTES_MAX: usize = 256 << 10;
/// Redraws a second, at most.
const DRAWS_PER_SECOND: u8 = 10;

/// Whom a verdict is printed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// People
    #[default]
    Text,
    /// A job of GitHub Actions as well: annotations, and a summary in the file that
    /// GITHUB_STEP_SUMMARY names
    Github,
}

#[derive(Clone, Debug)]
pub struct Ui {
    bars: MultiProgress,
    format: Format,
    /// How much is logged.
    verbosity: u8,
    /// Whether progress is drawn in place.
    drawn: bool,
    /// Whether results may be coloured.
    color: bool,
    /// What is said while something else fills the terminal.
    held: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Ui {
    /// Sets the screen and the log up. Once a process. `verbosity` is how much is logged: 0
    /// warnings, 1 what is done, 2 details, 3 everything; with `no_color` there is none, whatever
    /// the terminal can do.
    pub fn new(verbosity: u8, no_color: bool, format: Format) -> Ui {
        let drawn = io::stderr().is_terminal();
        let target = if drawn {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = !no_color && !asked_not_to;
        let ui = Ui {
            bars: MultiProgress::with_draw_target(target),
            format,
            verbosity,
            drawn,
            color: color && io::stdout().is_terminal(),
            held: Arc::default(),
        };
        let level = match verbosity {
            0 => "warn",
            1 => "warn,peerlab=info",
            2 => "info,peerlab=debug",
            _ => "debug,peerlab=trace",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let log = ui.clone();
        // A second call, as in tests, keeps the log of the first.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(color && drawn)
            .with_target(verbosity > 1)
            .with_writer(move || LogWriter(log.clone()))
            .try_init();
        ui
    }

    /// How a verdict is shown on this terminal.
    pub fn style(&self, run_dir: Option<PathBuf>) -> TerminalStyle {
        TerminalStyle {
            color: self.color,
            width: usize::from(Term::stdout().size().1),
            run_dir,
            command: how_called(),
        }
    }

    /// How much is logged, as [`Ui::new`] was told.
    pub fn verbosity(&self) -> u8 {
        self.verbosity
    }

    /// Whether progress is drawn in place.
    pub fn draws(&self) -> bool {
        self.drawn
    }

    /// Whether what is drawn or printed may be coloured.
    pub fn colors(&self) -> bool {
        self.color
    }

    /// From now on nothing is written to the terminal, which something else fills.
    pub fn hold_back(&self) {
        let _ = self.bars.clear();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
        self.held().get_or_insert_default();
    }

    /// Writes what was held back, and goes on as before.
    pub fn release(&self) {
        let Some(text) = self.held().take() else {
            return;
        };
        let _ = io::stderr().lock().write_all(&text);
        if self.drawn {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
            self.bars.set_draw_target(target);
        }
    }

    /// The last line that is held back.
    pub fn last_held(&self) -> Option<String> {
        let held = self.held();
        let text = String::from_utf8_lossy(held.as_ref()?);
        text.lines().last().map(str::to_owned)
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom verdicts are printed for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints a result, and gives whether anybody still reads: a reader that has gone away (`| head`) is no
    /// error, but whoever prints again and again ends then.
    pub fn result(&self, text: &str) -> bool {
        self.to_stdout(self.safe(text).as_bytes())
    }

    /// Passes bytes on as they are, as [`Ui::result`] does: to a program, or to a terminal that is a program's
    /// own for the time.
    pub fn raw(&self, bytes: &[u8]) -> bool {
        self.to_stdout(bytes)
    }

    /// What a node says, as a result may have it: as it is, unless a terminal would be driven by it.
    pub fn of_node<'a>(&self, text: &'a str) -> Cow<'a, str> {
        for_reader(text, io::stdout().is_terminal())
    }

    /// Says what a node's program says is wrong, likewise.
    pub fn errors_of_node(&self, text: &str) {
        self.note(&for_reader(text, self.drawn));
    }

    /// Prints lines that speak to the job of CI, as they stand.
    pub fn to_job(&self, lines: &str) {
        self.to_stdout(lines.as_bytes());
    }

    /// What may be printed of a text that others may have a part in: it is not to speak to the job.
    fn safe<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.format {
            Format::Text => text.into(),
            Format::Github => harmless(text),
        }
    }

    fn to_stdout(&self, bytes: &[u8]) -> bool {
        self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush()).is_ok()
        })
    }

    /// Says something about what is being done, in a line of its own.
    pub fn note(&self, line: &str) {
        self.to_stderr(&format!("{line}\n"));
    }

    pub fn error(&self, error: &Error) {
        // A node's words may be its cause.
        self.to_stderr(&words::visible_lines(&error.render()));
    }

    /// A line that is drawn in place and says what is being done now; gone when dropped. Off a
    /// terminal it is invisible: whoever shows progress then prints notes.
    pub fn line(&self) -> ProgressBar {
        let spinner = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
        let bar = self.bars.add(spinner);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        bar
    }

    fn to_stderr(&self, text: &str) {
        let text = self.safe(text);
        self.say(text.as_bytes());
    }

    fn say(&self, text: &[u8]) {
        if let Some(held) = self.held().as_mut() {
            held.extend_from_slice(text);
            if held.len() > HELD_BYTES_MAX {
                held.drain(..HELD_BYTES_MAX / 2);
            }
            return;
        }
        self.bars.suspend(|| {
            let _ = io::stderr().lock().write_all(text);
        });
    }
}

/// Text of a node's for a terminal, or for a file or a program.
fn for_reader(text: &str, is_terminal: bool) -> Cow<'_, str> {
    if is_terminal {
        words::visible_lines(text).into()
    } else {
        text.into()
    }
}

/// How the reader calls this program: `cargo run` tells itself in its environment.
fn how_called() -> String {
    let profile = if cfg!(debug_assertions) {
        ""
    } else {
        "--release "
    };
    match std::env::var_os("CARGO_PKG_NAME") {
        Some(_) => format!("cargo run {profile}--"),
        None => "peerlab".into(),
    }
}

/// Puts log lines above what is drawn in place.
struct LogWriter(Ui);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A line comes whole.
        match self.0.format {
            Format::Text => self.0.say(bytes),
            Format::Github => self.0.to_stderr(&String::from_utf8_lossy(bytes)),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_drives_no_terminal_and_is_whole_elsewhere() {
        let said = "\u{1b}]0;x\u{7}one\n\ttwo\u{9b}2J";
        let shown = "\\u{1b}]0;x\\u{7}one\n\ttwo\\u{9b}2J";
        assert_eq!(for_reader(said, true), shown);
        assert_eq!(for_reader(said, false), said);
    }

    #[test]
    fn what_is_held_back_is_bounded_and_the_last_of_it_can_be_shown() {
        let ui = Ui::new(0, true, Format::Text);
        assert_eq!(ui.last_held(), None);
        ui.hold_back();
        ui.note("one");
        ui.note("two");
        assert_eq!(ui.last_held().as_deref(), Some("two"));
        for _ in 0..100_000 {
            ui.note("a line of some length");
        }
        let held = ui.held().as_ref().map_or(0, Vec::len);
        assert!((HELD_BYTES_MAX / 2..=HELD_BYTES_MAX).contains(&held));
        *ui.held() = Some(Vec::new());
        ui.release();
        assert_eq!(ui.last_held(), None);
    }
}
