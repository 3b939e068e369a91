//! What the supervisor does, told in orders, deaths and deadlines.

use std::time::Instant;

use peerlab_link::proto::{FromGate, ProcessOp};

use crate::supervisor::{Effect, Input, ORDERS_QUEUED_MAX, Pid, StartError, Supervisor};
use ProcessOp::*;

/// A supervisor with a clock that only moves when told, and processes that exist on paper.
struct Story {
    supervisor: Supervisor,
    now: Instant,
    pid: Pid,
}

fn done(tag: u32) -> Effect {
    Effect::Send(FromGate::Done { tag, error: None })
}

fn refused(tag: u32, error: &str) -> Effect {
    Effect::Send(FromGate::Done {
        tag,
        error: Some(error.to_owned()),
    })
}

fn exited(status: i32, asked: bool) -> Effect {
    Effect::Send(FromGate::Exited { status, asked })
}

const KILL_ALL: Effect = Effect::SignalAll(libc::SIGKILL);

impl Story {
    fn new() -> Story {
        Story {
            supervisor: Supervisor::new(true),
            now: Instant::now(),
            pid: 100,
        }
    }

    fn running() -> Story {
        let mut story = Story::new();
        assert_eq!(story.input(Input::Go { run: true }), [Effect::Start]);
        story
    }

    /// Hands an input in; starts and wipes succeed, with the next process id.
    fn input(&mut self, input: Input) -> Vec<Effect> {
        self.supervisor.handle(self.now, input);
        let mut effects = Vec::new();
        while let Some(effect) = self.supervisor.poll_effect() {
            if matches!(effect, Effect::Start | Effect::Wipe) {
                self.pid += 1;
                let answer = match effect {
                    Effect::Start => Input::Started(Ok(self.pid)),
                    _ => Input::WipeStarted(Ok(self.pid)),
                };
                self.supervisor.handle(self.now, answer);
            }
            effects.push(effect);
        }
        effects
    }

    fn order(&mut self, tag: u32, op: ProcessOp) -> Vec<Effect> {
        self.input(Input::Order { tag, op })
    }

    fn dies(&mut self, status: i32) -> Vec<Effect> {
        let pid = self.pid;
        let mut effects = self.input(Input::Reaped { pid, status });
        effects.extend(self.input(Input::Childless));
        effects
    }
}

#[test]
fn a_kill_is_answered_when_nothing_is_left() {
    let mut story = Story::running();
    assert_eq!(story.order(1, Kill), [KILL_ALL]);
    let pid = story.pid;
    assert_eq!(
        story.input(Input::Reaped { pid, status: -9 }),
        [KILL_ALL, exited(-9, true)]
    );
    assert_eq!(story.input(Input::Childless), [done(1)]);
    assert_eq!(story.order(2, Start), [Effect::Start, done(2)]);
}

#[test]
fn a_program_that_ends_by_itself_was_not_asked() {
    let mut story = Story::running();
    assert_eq!(story.dies(3), [KILL_ALL, exited(3, false)]);
    assert_eq!(story.order(1, Kill), [done(1)]);
    assert_eq!(
        story.order(2, Freeze),
        [refused(2, "the program is not running")]
    );
    assert_eq!(story.order(3, Thaw), [done(3)]);
}

#[test]
fn a_stop_turns_into_a_kill_after_its_grace() {
    let mut story = Story::running();
    let pid = story.pid;
    assert_eq!(
        story.order(1, Stop),
        [Effect::SignalProgram(pid, libc::SIGTERM)]
    );
    assert_eq!(story.input(Input::Timer), []);
    story.now = story.supervisor.next_timer().unwrap();
    assert_eq!(story.input(Input::Timer), [KILL_ALL]);
    assert_eq!(story.supervisor.next_timer(), None);
    assert_eq!(story.dies(-9), [KILL_ALL, exited(-9, true), done(1)]);
}

#[test]
fn a_start_while_stopping_waits_for_the_end() {
    let mut story = Story::running();
    story.order(1, Stop);
    assert_eq!(story.order(2, Start), []);
    assert_eq!(story.order(3, Freeze), []);
    assert_eq!(
        story.dies(0),
        [
            KILL_ALL,
            exited(0, true),
            done(1),
            Effect::Start,
            done(2),
            Effect::SignalAll(libc::SIGSTOP),
            done(3)
        ]
    );
}

#[test]
fn a_kill_behind_a_queued_start_hastens_the_stop_and_kills_the_new_program_too() {
    let mut story = Story::running();
    story.order(1, Stop);
    story.order(2, Start);
    assert_eq!(story.order(3, Kill), [KILL_ALL]);
    assert_eq!(
        story.dies(-9),
        [
            KILL_ALL,
            exited(-9, true),
            done(1),
            Effect::Start,
            done(2),
            KILL_ALL
        ]
    );
    assert_eq!(story.dies(-9), [KILL_ALL, exited(-9, true), done(3)]);
}

#[test]
fn a_frozen_program_can_be_stopped_and_killed() {
    let mut story = Story::running();
    let pid = story.pid;
    assert_eq!(
        story.order(1, Freeze),
        [Effect::SignalAll(libc::SIGSTOP), done(1)]
    );
    assert_eq!(story.order(2, Start), [done(2)]);
    assert_eq!(
        story.order(3, Stop),
        [
            Effect::SignalProgram(pid, libc::SIGTERM),
            Effect::SignalAll(libc::SIGCONT)
        ]
    );
    story.dies(0);
    story.order(4, Start);
    story.order(5, Freeze);
    assert_eq!(story.order(6, Kill), [KILL_ALL]);
}

#[test]
fn wiping_needs_a_stopped_program_and_holds_the_next_start_back() {
    let mut story = Story::running();
    assert_eq!(story.order(1, Wipe), [refused(1, "the program is running")]);
    story.order(2, Kill);
    assert_eq!(story.order(3, Wipe), []);
    assert_eq!(story.order(4, Start), []);
    assert_eq!(
        story.dies(-9),
        [KILL_ALL, exited(-9, true), done(2), Effect::Wipe]
    );
    assert_eq!(story.supervisor.helper(), Some(story.pid));
    assert_eq!(story.dies(0), [done(3), Effect::Start, done(4)]);
}

#[test]
fn a_failed_wipe_says_why() {
    let mut story = Story::new();
    story.input(Input::Go { run: false });
    story.order(1, Wipe);
    let effects = story.dies(libc::EACCES);
    let Effect::Send(FromGate::Done {
        error: Some(error), ..
    }) = &effects[0]
    else {
        panic!("{effects:?}");
    };
    assert!(error.contains("Permission denied"), "{error}");
}

#[test]
fn a_program_that_cannot_start_is_reported_once() {
    let mut story = Story::new();
    story.supervisor.handle(story.now, Input::Go { run: true });
    assert_eq!(story.supervisor.poll_effect(), Some(Effect::Start));
    let failed = || {
        Input::Started(Err(StartError {
            status: 127,
            reason: "no such file".to_owned(),
        }))
    };
    let log = || Effect::Log("no such file".to_owned());
    assert_eq!(story.input(failed()), [log(), exited(127, false)]);
    story
        .supervisor
        .handle(story.now, Input::Order { tag: 1, op: Start });
    assert_eq!(story.supervisor.poll_effect(), Some(Effect::Start));
    assert_eq!(story.input(failed()), [log(), refused(1, "no such file")]);
}

#[test]
fn nothing_is_obeyed_before_go() {
    let mut story = Story::new();
    assert_eq!(
        story.order(1, Start),
        [refused(1, "the node has not been let go yet")]
    );
    assert_eq!(story.input(Input::Go { run: false }), []);
}

#[test]
fn asked_to_terminate_the_gate_ends_with_its_program() {
    let mut story = Story::running();
    let pid = story.pid;
    assert_eq!(
        story.input(Input::Terminate),
        [Effect::SignalProgram(pid, libc::SIGTERM)]
    );
    assert_eq!(story.order(1, Start), [refused(1, "the gate is ending")]);
    assert_eq!(
        story.dies(-15),
        [KILL_ALL, exited(-15, false), Effect::Exit(143)]
    );
    assert_eq!(Story::new().input(Input::Terminate), [Effect::Exit(0)]);
}

#[test]
fn queued_orders_are_bounded() {
    let mut story = Story::running();
    story.order(0, Stop);
    for tag in 0..ORDERS_QUEUED_MAX as u32 {
        assert_eq!(story.order(tag, Start), []);
    }
    assert_eq!(
        story.order(9999, Start),
        [refused(9999, "too many orders wait")]
    );
}

/// The signals to a slow program over so many turns, each with the milliseconds that it took.
fn turns(story: &mut Story, count: usize) -> Vec<(u128, Vec<Effect>)> {
    let mut turns = Vec::new();
    for _ in 0..count {
        let began = story.now;
        story.now = story.supervisor.next_timer().unwrap();
        let effects = story.input(Input::Timer);
        turns.push(((story.now - began).as_millis(), effects));
    }
    turns
}

const STOP_ALL: Effect = Effect::SignalAll(libc::SIGSTOP);
const CONTINUE_ALL: Effect = Effect::SignalAll(libc::SIGCONT);

fn slow(id: u32, cpu_millis: u32) -> ProcessOp {
    Slow { id, cpu_millis }
}

#[test]
fn a_slow_program_runs_and_stands_still_by_turns_until_nothing_slows_it() {
    let mut story = Story::running();
    assert_eq!(story.order(1, slow(7, 100)), [done(1)]);
    let expected = [
        (10, vec![STOP_ALL]),
        (90, vec![CONTINUE_ALL]),
        (10, vec![STOP_ALL]),
    ];
    assert_eq!(turns(&mut story, 3), expected);
    // Of two the slower counts.
    assert_eq!(story.order(2, slow(8, 500)), [done(2)]);
    assert_eq!(turns(&mut story, 1), [(90, vec![CONTINUE_ALL])]);
    assert_eq!(story.order(3, Unslow { id: 7 }), [done(3)]);
    let expected = [(10, vec![STOP_ALL]), (50, vec![CONTINUE_ALL])];
    assert_eq!(turns(&mut story, 2), expected);
    assert_eq!(turns(&mut story, 1), [(50, vec![STOP_ALL])]);
    assert_eq!(story.order(4, Unslow { id: 8 }), [done(4), CONTINUE_ALL]);
    assert_eq!(story.supervisor.next_timer(), None);
}

#[test]
fn a_slow_program_that_stands_still_can_be_frozen_stopped_and_started_anew() {
    let mut story = Story::running();
    story.order(1, slow(7, 100));
    turns(&mut story, 1);
    assert_eq!(story.order(2, Freeze), [STOP_ALL, done(2)]);
    assert_eq!(story.supervisor.next_timer(), None);
    assert_eq!(story.order(3, Thaw), [CONTINUE_ALL, done(3)]);
    assert_eq!(turns(&mut story, 1), [(10, vec![STOP_ALL])]);
    let pid = story.pid;
    let stopped = [Effect::SignalProgram(pid, libc::SIGTERM), CONTINUE_ALL];
    assert_eq!(story.order(4, Stop), stopped);
    // It has all its time to end in.
    assert_eq!(story.input(Input::Timer), []);
    story.dies(0);
    assert_eq!(story.order(5, Start), [Effect::Start, done(5)]);
    assert_eq!(turns(&mut story, 1), [(10, vec![STOP_ALL])]);
    assert_eq!(story.order(6, Kill), [KILL_ALL]);
    assert_eq!(story.supervisor.next_timer(), None);
}
