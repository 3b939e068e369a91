//! The live screen while a plan is carried out on real nodes: what events tell is kept beside the
//! record, and drawn twice a second from a task of its own. Nobody interferes with a plan.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use peerlab_core::event::RunEvent;
use peerlab_core::plan::Plan;
use peerlab_core::view::{NetworkView, Snapshot};
use peerlab_link::Nanos;
use rustix::process::{Signal, getpid, kill_process};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::board::LOOK_INTERVAL;
use crate::dashboard::{Dashboard, FullScreen, Purpose, Wish, keys};
use crate::ui::Ui;

/// See the module.
pub struct RunBoard {
    ui: Ui,
    name: String,
    end: Nanos,
    view: Arc<Mutex<NetworkView>>,
    shown: Mutex<Option<Shown>>,
}

/// A screen that fills the terminal.
struct Shown {
    screen: Arc<FullScreen>,
    task: JoinHandle<()>,
}

impl RunBoard {
    /// Of a plan that will be carried out.
    pub fn of(plan: &Plan, ui: &Ui) -> RunBoard {
        RunBoard {
            ui: ui.clone(),
            name: plan.name.clone(),
            end: plan.end(),
            view: Arc::new(Mutex::new(NetworkView::new(plan))),
            shown: Mutex::new(None),
        }
    }

    /// Takes an event in.
    pub fn take(&self, event: &RunEvent) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.take(event);
    }

    /// Fills the terminal, from the start of the plan on.
    pub fn begin(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_some() {
            return;
        }
        match FullScreen::enter(&self.ui) {
            Ok(screen) => {
                let screen = Arc::new(screen);
                let drawing = Drawing {
                    screen: screen.clone(),
                    ui: self.ui.clone(),
                    name: self.name.clone(),
                    end: self.end,
                    view: self.view.clone(),
                };
                let task = tokio::spawn(drawing.go_on());
                *shown = Some(Shown { screen, task });
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }

    /// Gives the terminal back, at once.
    pub fn end(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = shown.take() {
            shown.task.abort();
            shown.screen.leave();
        }
    }
}

impl Drop for RunBoard {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the drawing task has.
struct Drawing {
    screen: Arc<FullScreen>,
    ui: Ui,
    name: String,
    end: Nanos,
    view: Arc<Mutex<NetworkView>>,
}

impl Drawing {
    async fn go_on(self) {
        let began = Instant::now();
        let mut board = Dashboard::new(Purpose::Run { end: self.end }, self.ui.colors());
        let mut keys = keys();
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let drawn = self.screen.draw(&board);
            if let Err(error) = drawn {
                tracing::debug!("{error}");
                return self.screen.leave();
            }
            tokio::select! {
                _ = tick.tick() => board.see(self.look(Nanos(began.elapsed().as_nanos() as u64))),
                event = keys.next() => {
                    let Some(Ok(event)) = event else {
                        return self.screen.leave();
                    };
                    if let Some(Wish::Interrupt) = board.take(&event, self.screen.width()) {
                        self.screen.leave();
                        // As if the terminal had sent it, which it does again from now on.
                        let _ = kill_process(getpid(), Signal::INT);
                        return;
                    }
                }
            }
            if let Some(line) = self.ui.last_held() {
                board.hear(line);
            }
        }
    }

    fn look(&self, now: Nanos) -> Snapshot {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.snapshot(&self.name, now)
    }
}
