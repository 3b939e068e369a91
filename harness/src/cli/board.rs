//! The live screen over a network that is up: looks at it again and again, and has done what keys ask
//! for.

use std::time::Duration;

use futures::StreamExt as _;
use peerlab_core::error::{Error, Result};
use peerlab_core::view::{NodeRow, Snapshot};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::dashboard::{Dashboard, FullScreen, Purpose, Wish, keys};
use crate::network::{Order, Request, ask, have_done, snapshot};
use crate::ui::Ui;

/// Pause between two looks.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Every so many looks nodes are asked for their connections, which is dear.
const LOOKS_BETWEEN_COUNTS: u32 = 20;
/// Answers that may wait to be shown.
const ANSWERS_MAX: usize = 16;

/// Why the screen was left.
#[derive(Debug)]
pub enum Left {
    /// By a key; what it showed goes on.
    Alone,
    /// By a key that asks for the end of what it showed.
    ToEnd,
    /// By Ctrl-C.
    Interrupted,
    /// Something else asked for it.
    Stopped,
    /// The network answers no more.
    Gone(Error),
}

/// Shows a network until something ends that.
///
/// # Errors
/// When the terminal does not do what it is told.
pub async fn show(name: &str, purpose: Purpose, ui: &Ui, stop: &CancellationToken) -> Result<Left> {
    let screen = FullScreen::enter(ui)?;
    let mut board = Dashboard::new(purpose, ui.colors());
    let mut keys = keys();
    let (seen, mut snapshots) = mpsc::channel(1);
    let _looking = AbortOnDropHandle::new(tokio::spawn(look(name.to_owned(), seen)));
    let (answers, mut answered) = mpsc::channel(ANSWERS_MAX);
    loop {
        screen.draw(&board)?;
        tokio::select! {
            event = keys.next() => {
                let Some(Ok(event)) = event else {
                    return Ok(Left::Stopped);
                };
                match board.take(&event, screen.width()) {
                    None => {}
                    Some(Wish::Leave) => return Ok(Left::Alone),
                    Some(Wish::End) => return Ok(Left::ToEnd),
                    Some(Wish::Interrupt) => return Ok(Left::Interrupted),
                    Some(Wish::Do(order)) => {
                        let nodes = board.nodes().to_vec();
                        let done = carry_out(name.to_owned(), order, nodes, answers.clone());
                        tokio::spawn(done);
                    }
                }
            }
            snapshot = snapshots.recv() => match snapshot {
                Some(Ok(snapshot)) => board.see(snapshot),
                Some(Err(error)) => return Ok(Left::Gone(error)),
                None => return Ok(Left::Stopped),
            },
            Some(text) = answered.recv() => board.say(&text),
            () = stop.cancelled() => return Ok(Left::Stopped),
        }
        if let Some(line) = ui.last_held() {
            board.hear(line);
        }
    }
}

/// Looks at a network until it is gone, or nobody wants to know.
async fn look(name: String, seen: mpsc::Sender<Result<Snapshot>>) {
    let mut tick = interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in (0..LOOKS_BETWEEN_COUNTS).cycle() {
        tick.tick().await;
        if look == 0 {
            let name = name.clone();
            // Whether there is an answer shows in what is seen next.
            tokio::spawn(async move { ask(Some(&name), Request::Links).await });
        }
        let snapshot = snapshot(&name).await;
        let is_gone = snapshot.is_err();
        if seen.send(snapshot).await.is_err() || is_gone {
            return;
        }
    }
}

/// Has an order carried out, and tells the screen what came of it.
async fn carry_out(name: String, order: Order, nodes: Vec<NodeRow>, answers: mpsc::Sender<String>) {
    let text = have_done(&name, order, &nodes).await;
    // The screen may have been left.
    let _ = answers.send(text).await;
}
