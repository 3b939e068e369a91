//! How slow a program is to be: of every [`SLOW_PERIOD`] its processes stand still for a part, by turns. Sans-IO:
//! the supervisor says whether the program runs, and carries out what a turn wants.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerlab_link::proto::{SLOW_PERIOD, Seen};

/// All of a core, in thousandths.
const WHOLE: u32 = 1000;

/// Answers to orders, by their tags.
pub type Answers = Vec<(u32, Result<Seen, String>)>;

/// See the module.
#[derive(Debug, Default)]
pub struct Slowness {
    /// What the program gets of a core, in thousandths, by the order that says so.
    parts: BTreeMap<u32, u32>,
    /// The turn, while the program is slow and runs.
    turn: Option<Turn>,
    /// Orders that are not answered: each with when it is at the latest.
    unseen: Vec<(u32, Instant)>,
}

/// A slow program runs and stands still by turns.
#[derive(Clone, Copy, Debug)]
struct Turn {
    stopped: bool,
    until: Instant,
}

/// What is to be done at a turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AtTurn {
    /// Whether the processes are looked at before they go on.
    pub look: bool,
    /// Whether they stop, or go on.
    pub stop: Option<bool>,
}

impl Slowness {
    /// One order more, answered by `until`; of several the slowest counts.
    pub fn begin(&mut self, id: u32, cpu_millis: u32, tag: u32, until: Instant) {
        self.parts.insert(id, cpu_millis);
        self.unseen.push((tag, until));
    }

    /// One of them ends.
    pub fn end(&mut self, id: u32) {
        self.parts.remove(&id);
    }

    /// Whether the processes stand still in their turn.
    pub fn stands_still(&self) -> bool {
        self.turn.is_some_and(|turn| turn.stopped)
    }

    /// When the next turn is.
    pub fn next_timer(&self) -> Option<Instant> {
        self.turn.map(|turn| turn.until)
    }

    /// Begins the next turn if it is time. A program that does not run, as it has ended or is frozen, has none.
    pub fn take_turn(&mut self, now: Instant, runs: bool) -> AtTurn {
        let stopped = self.stands_still();
        let Some(part) = self.parts.values().min().filter(|_| runs) else {
            self.turn = None;
            return AtTurn {
                stop: (stopped && runs).then_some(false),
                ..AtTurn::default()
            };
        };
        let stop = match self.turn {
            Some(turn) if now < turn.until => return AtTurn::default(),
            Some(turn) => !turn.stopped,
            None => false,
        };
        let run = Duration::from(SLOW_PERIOD) * (*part).min(WHOLE) / WHOLE;
        let lasts = if stop {
            Duration::from(SLOW_PERIOD).saturating_sub(run)
        } else {
            run
        };
        self.turn = Some(Turn {
            stopped: stop,
            until: now + lasts,
        });
        AtTurn {
            look: stopped && !self.unseen.is_empty(),
            stop: (stop != stopped).then_some(stop),
        }
    }

    /// Whether there is a program to be slowed: it has turns.
    pub fn has_turns(&self) -> bool {
        self.turn.is_some()
    }

    /// The processes were looked at in their turn: whom that answers, and those that have waited long enough.
    pub fn looked(&mut self, now: Instant, seen: &Result<Seen, String>) -> Answers {
        let answered = |until: Instant| seen.is_ok() || until <= now;
        let (done, left) = std::mem::take(&mut self.unseen)
            .into_iter()
            .partition(|(_, until)| answered(*until));
        self.unseen = left;
        with(done, seen)
    }

    /// Answers all orders.
    pub fn answer_all(&mut self, result: &Result<Seen, String>) -> Answers {
        with(std::mem::take(&mut self.unseen), result)
    }
}

fn with(orders: Vec<(u32, Instant)>, result: &Result<Seen, String>) -> Answers {
    let tags = orders.into_iter().map(|(tag, _)| tag);
    tags.map(|tag| (tag, result.clone())).collect()
}
