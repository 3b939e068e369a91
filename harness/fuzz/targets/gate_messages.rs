//! Messages between fabric and gate, and the orders among them carried out by the gate's supervisor, with
//! processes that exist on paper: each order is answered once.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use peerlab_gate::fuzz::{Census, Effect, Input, LookFor, StartError, Supervisor};
use peerlab_link::proto::{FromGate, ProcessOp, ToGate, decode, encode};

/// Longer than any wait of a supervisor.
const LONG: Duration = Duration::from_secs(20);
/// Rounds in which everything has been answered.
const ROUNDS: u32 = 8;

pub fn check(bytes: &[u8]) -> bool {
    let (from, to) = (decode::<FromGate>(bytes), decode::<ToGate>(bytes));
    let is_message = from.is_ok() || to.is_ok();
    if let Ok(message) = from {
        let again = decode::<FromGate>(&encode(&message));
        assert_eq!(again.ok(), Some(message));
    }
    if let Ok(message) = to {
        let again = decode::<ToGate>(&encode(&message));
        assert_eq!(again.ok(), Some(message));
    }
    let _ = supervise(&mut Unstructured::new(bytes));
    is_message
}

/// A node on paper.
struct Node {
    supervisor: Supervisor,
    now: Instant,
    /// The process that was started last, and whether it lives.
    pid: i32,
    lives: bool,
    /// Whether its processes obey, and stand still.
    obeys: bool,
    still: bool,
    /// How often each order was answered.
    answers: BTreeMap<u32, u32>,
    ended: bool,
}

fn supervise(draw: &mut Unstructured<'_>) -> Result<()> {
    let mut node = Node {
        supervisor: Supervisor::new(draw.arbitrary()?),
        now: Instant::now(),
        pid: 100,
        lives: false,
        obeys: true,
        still: false,
        answers: BTreeMap::new(),
        ended: false,
    };
    if !draw.ratio(1, 16)? {
        node.input(
            Input::Go {
                run: draw.arbitrary()?,
            },
            true,
        );
    }
    while !draw.is_empty() && !node.ended {
        match draw.arbitrary::<u8>()? % 16 {
            0 => node.input(Input::Terminate, true),
            1 => node.obeys = draw.arbitrary()?,
            2 | 3 => node.dies(draw.int_in_range(-SIGNAL_MAX..=255)?),
            4..=6 => {
                node.now += Duration::from_micros(draw.arbitrary::<u32>()?.into()).min(LONG);
                node.input(Input::Timer, true);
            }
            7 => {
                let op = order(draw)?;
                node.order(op, false);
            }
            _ => {
                let op = order(draw)?;
                node.order(op, true);
            }
        }
    }
    node.obeys = true;
    for _ in 0..ROUNDS {
        node.now += LONG;
        node.input(Input::Timer, true);
        if !node.lives {
            node.input(Input::Childless, true);
        }
    }
    if !node.ended {
        let unanswered = node.answers.iter().filter(|(_, times)| **times == 0);
        assert_eq!(unanswered.count(), 0, "{:?}", node.supervisor);
    }
    assert!(node.answers.values().all(|times| *times <= 1));
    Ok(())
}

fn order(draw: &mut Unstructured<'_>) -> Result<ProcessOp> {
    Ok(match draw.arbitrary::<u8>()? % 8 {
        0 => ProcessOp::Kill,
        1 => ProcessOp::Stop,
        2 => ProcessOp::Start,
        3 => ProcessOp::Freeze,
        4 => ProcessOp::Thaw,
        5 => ProcessOp::Wipe,
        6 => ProcessOp::Slow {
            id: draw.int_in_range(0..=2)?,
            cpu_millis: draw.arbitrary()?,
        },
        _ => ProcessOp::Unslow {
            id: draw.int_in_range(0..=2)?,
        },
    })
}

impl Node {
    fn order(&mut self, op: ProcessOp, starts: bool) {
        let tag = self.answers.len() as u32;
        self.answers.insert(tag, 0);
        self.input(Input::Order { tag, op }, starts);
    }

    /// Its program ends by itself, or by a signal.
    fn dies(&mut self, status: i32) {
        if std::mem::take(&mut self.lives) {
            let pid = self.pid;
            self.input(Input::Reaped { pid, status }, true);
            self.input(Input::Childless, true);
        }
    }

    /// Hands an input in, and does what is to be done; whether programs can be started.
    fn input(&mut self, input: Input, starts: bool) {
        self.supervisor.handle(self.now, input);
        let mut killed = false;
        while let Some(effect) = self.supervisor.poll_effect() {
            assert!(
                !self.ended || matches!(effect, Effect::Exit(_)),
                "after the end: {effect:?}"
            );
            match effect {
                Effect::Start | Effect::Wipe => self.start(&effect, starts),
                Effect::Look(why) => {
                    let census = self.census(why);
                    self.supervisor.handle(self.now, Input::Looked(why, census));
                }
                Effect::SignalAll(SIGSTOP) => self.still = true,
                Effect::SignalAll(SIGCONT) => self.still = false,
                Effect::SignalAll(SIGKILL) => killed = true,
                Effect::Send(FromGate::Done { tag, .. }) => {
                    *self.answers.entry(tag).or_insert(0) += 1;
                }
                Effect::Exit(_) => self.ended = true,
                Effect::SignalAll(_)
                | Effect::SignalProgram(..)
                | Effect::Send(_)
                | Effect::Log(_) => {}
            }
        }
        if killed {
            self.dies(-SIGKILL);
        }
    }

    fn start(&mut self, effect: &Effect, starts: bool) {
        self.pid += 1;
        let started = starts.then_some(self.pid);
        let answer = match effect {
            Effect::Start => {
                self.lives = starts;
                self.still = false;
                let reason = || StartError {
                    status: 127,
                    reason: "no program".into(),
                };
                Input::Started(started.ok_or_else(reason))
            }
            _ => Input::WipeStarted(started.ok_or_else(|| "no process".into())),
        };
        let wipes = starts && *effect == Effect::Wipe;
        self.supervisor.handle(self.now, answer);
        if wipes {
            self.supervisor.handle(self.now, Input::Wiped(Ok(7)));
        }
    }

    fn census(&self, _: LookFor) -> Census {
        let processes = u32::from(self.lives) * 2;
        match self.still && self.obeys {
            true => Census {
                still: processes,
                moving: 0,
            },
            false => Census {
                still: 0,
                moving: processes,
            },
        }
    }
}

const SIGNAL_MAX: i32 = 64;
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

peerlab_fuzz::target!();
