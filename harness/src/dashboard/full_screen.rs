//! The terminal while the screen fills it. However the screen is left, by a key, a signal or a panic, the
//! terminal is then as it was, and what was said meanwhile is shown.

use std::io::{self, IsTerminal as _, Stdout, Write as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crossterm::cursor::Show;
use crossterm::event::{Event, EventStream};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use futures::Stream;
use peerlab_core::error::{Explain as _, Result};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::draw::draw;
use super::state::Dashboard;
use crate::ui::Ui;

/// What to do where the terminal does not do what it is told.
const TERMINAL_HINT: &str = "`--plain` prints lines instead";

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
                give_back();
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
        let drawn = terminal.draw(|frame| draw(frame, board));
        drawn.or_environment(|| "cannot draw on this terminal".into(), TERMINAL_HINT)?;
        Ok(())
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
            give_back();
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
    taken.inspect_err(|_| give_back())
}

fn give_back() {
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    // Nothing can be done about a terminal that is gone.
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = stdout().flush();
}
