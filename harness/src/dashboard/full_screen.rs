//! The terminal while the screen fills it. However the screen is left, by a key, a signal or a panic, the
//! terminal is then as it was, and what was said meanwhile is shown. Whoever ends the process at once calls
//! [`give_terminal_back`] before.

use std::io::{self, IsTerminal as _, Stdout, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crossterm::event::{Event, EventStream};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, disable_raw_mode, enable_raw_mode};
use futures::Stream;
use peerlab_core::error::{Explain as _, Result};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::task::block_in_place;

use super::draw::draw;
use super::state::Dashboard;
use crate::ui::Ui;

/// What to do where the terminal does not do what it is told.
const TERMINAL_HINT: &str = "`--plain` prints lines instead";

/// Leaves the alternate screen, and shows the cursor.
const LEAVE: &[u8] = b"\x1b[?1049l\x1b[?25h";

/// Whether the terminal is not as it was, for whoever has to end all at once.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// See the module.
pub struct FullScreen {
    terminal: Mutex<Option<Terminal<CrosstermBackend<Stdout>>>>,
    ui: Ui,
}

/// What comes from the terminal.
pub fn keys() -> impl Stream<Item = io::Result<Event>> + Send + Unpin {
    EventStream::new()
}

impl FullScreen {
    /// Whether a person sits before a terminal that can be drawn on.
    pub fn is_possible() -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|it| it.is_empty() || it == "dumb");
        !is_dumb
            && io::stdin().is_terminal()
            && stdout().is_terminal()
            && io::stderr().is_terminal()
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// When it does not do what it is told.
    pub fn enter(ui: &Ui) -> Result<FullScreen> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_terminal_back();
                before(panic);
            }));
        });
        ui.hold_back();
        let screen = FullScreen {
            terminal: Mutex::new(None),
            ui: ui.clone(),
        };
        // From here on whatever goes wrong gives it back.
        *screen.terminal() =
            Some(take().or_environment(|| "cannot draw on this terminal".into(), TERMINAL_HINT)?);
        Ok(screen)
    }

    fn terminal(&self) -> std::sync::MutexGuard<'_, Option<Terminal<CrosstermBackend<Stdout>>>> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws, unless the screen was left.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&self, board: &Dashboard) -> Result<()> {
        let mut terminal = self.terminal();
        let Some(terminal) = terminal.as_mut() else {
            return Ok(());
        };
        if !TAKEN.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Through a slow connection it may take long: other tasks are not to wait for it.
        let drawn = block_in_place(|| terminal.draw(|frame| draw(frame, board)).map(drop));
        drawn.or_environment(|| "cannot draw on this terminal".into(), TERMINAL_HINT)
    }

    /// How wide it is.
    pub fn width(&self) -> u16 {
        let terminal = self.terminal();
        let size = terminal.as_ref().and_then(|it| it.size().ok());
        size.map_or(0, |size| size.width)
    }

    /// Gives the terminal back, once.
    pub fn leave(&self) {
        // Whoever draws at the moment has finished then.
        if self.terminal().take().is_some() {
            give_terminal_back();
        }
        self.ui.release();
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        self.leave();
    }
}

fn take() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    TAKEN.store(true, Ordering::Relaxed);
    let taken = enable_raw_mode()
        .and_then(|()| execute!(stdout(), EnterAlternateScreen))
        .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
    taken.inspect_err(|_| give_terminal_back())
}

/// Gives the terminal back where it is taken. Takes no memory and no lock of the standard output, which
/// whoever draws may hold. It is given back once this returns, also where another thread is about it.
pub fn give_terminal_back() {
    if !TAKEN.load(Ordering::Relaxed) {
        return;
    }
    // Nothing can be done about a terminal that is gone.
    let _ = disable_raw_mode();
    let _ = rustix::io::write(rustix::stdio::stdout(), LEAVE);
    TAKEN.store(false, Ordering::Relaxed);
}
