//! What the supervisor does, told in orders, deaths and deadlines.

use std::time::Instant;

use peerlab_link::proto::{FromGate, ProcessOp, Seen};

use crate::supervisor::{
    Census, Effect, Input, LOOK_TIMEOUT, LookFor, ORDERS_QUEUED_MAX, Pid, StartError, Supervisor,
};
use ProcessOp::*;

/// A supervisor with a clock that only moves when told, and processes that exist on paper.
struct Story {
    supervisor: Supervisor,
    now: Instant,
    pid: Pid,
    /// Of how many processes, and whether they obey when told to stand still.
    processes: u32,
    obey: bool,
    still: bool,
}

fn saw(tag: u32, seen: Seen) -> Effect {
    let result = Ok(seen);
    Effect::Send(FromGate::Done { tag, result })
}

/// Nothing runs.
fn gone(tag: u32) -> Effect {
    saw(tag, Seen::NotRunning)
}

/// The program runs.
fn up(tag: u32) -> Effect {
    saw(tag, Seen::Running)
}

fn still(tag: u32) -> Effect {
    saw(tag, Seen::StandsStill { processes: 2 })
}

fn refused(tag: u32, error: &str) -> Effect {
    Effect::Send(FromGate::Done {
        tag,
        result: Err(error.to_owned()),
    })
}

fn exited(status: i32, asked: bool) -> Effect {
    Effect::Send(FromGate::Exited { status, asked })
}

const KILL_ALL: Effect = Effect::SignalAll(libc::SIGKILL);
const LOOK: Effect = Effect::Look(LookFor::Freeze);
const LOOK_AT_SLOW: Effect = Effect::Look(LookFor::Slow);

impl Story {
    fn new() -> Story {
        Story {
            supervisor: Supervisor::new(true),
            now: Instant::now(),
            pid: 100,
            processes: 2,
            obey: true,
            still: false,
        }
    }

    fn running() -> Story {
        let mut story = Story::new();
        assert_eq!(story.input(Input::Go { run: true }), [Effect::Start]);
        story
    }

    fn census(&self) -> Census {
        let (still, moving) = if self.still && self.obey {
            (self.processes, 0)
        } else {
            (0, self.processes)
        };
        Census { still, moving }
    }

    /// Hands an input in; starts and wipes succeed, with the next process id.
    fn input(&mut self, input: Input) -> Vec<Effect> {
        self.supervisor.handle(self.now, input);
        let mut effects = Vec::new();
        while let Some(effect) = self.supervisor.poll_effect() {
            let answer = match effect {
                Effect::Start => Some(Input::Started(Ok(self.pid + 1))),
                Effect::Wipe => Some(Input::WipeStarted(Ok(self.pid + 1))),
                Effect::Look(why) => Some(Input::Looked(why, self.census())),
                Effect::SignalAll(signal) => {
                    self.still = signal == libc::SIGSTOP;
                    None
                }
                _ => None,
            };
            self.pid += Pid::from(matches!(effect, Effect::Start | Effect::Wipe));
            if let Some(answer) = answer {
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
    assert_eq!(story.input(Input::Childless), [gone(1)]);
    assert_eq!(story.order(2, Start), [Effect::Start, up(2)]);
}

#[test]
fn a_program_that_ends_by_itself_was_not_asked() {
    let mut story = Story::running();
    assert_eq!(story.dies(3), [KILL_ALL, exited(3, false)]);
    for (tag, order) in [
        (1, Kill),
        (2, Freeze),
        (3, Thaw),
        (4, Stop),
        (5, slow(7, 100)),
    ] {
        assert_eq!(story.order(tag, order), [gone(tag)]);
    }
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
    assert_eq!(story.dies(-9), [KILL_ALL, exited(-9, true), gone(1)]);
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
            gone(1),
            Effect::Start,
            up(2),
            STOP_ALL,
            LOOK,
            still(3)
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
            gone(1),
            Effect::Start,
            up(2),
            KILL_ALL
        ]
    );
    assert_eq!(story.dies(-9), [KILL_ALL, exited(-9, true), gone(3)]);
}

#[test]
fn a_frozen_program_can_be_stopped_and_killed() {
    let mut story = Story::running();
    let pid = story.pid;
    assert_eq!(story.order(1, Freeze), [STOP_ALL, LOOK, still(1)]);
    assert_eq!(story.order(2, Start), [up(2)]);
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
        [KILL_ALL, exited(-9, true), gone(2), Effect::Wipe]
    );
    assert_eq!(story.supervisor.helper(), Some(story.pid));
    let emptied = saw(3, Seen::Emptied { entries: 8 });
    assert_eq!(
        story.input(Input::Wiped(Ok(8))),
        [emptied, Effect::Start, up(4)]
    );
}

#[test]
fn a_failed_wipe_says_why() {
    let mut story = Story::new();
    story.input(Input::Go { run: false });
    story.order(1, Wipe);
    let why = "cannot remove /data/x: Permission denied";
    assert_eq!(
        story.input(Input::Wiped(Err(why.to_owned()))),
        [refused(1, why)]
    );
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
    assert_eq!(story.order(1, slow(7, 100)), []);
    let seen = vec![LOOK_AT_SLOW, CONTINUE_ALL, saw(1, Seen::Slowed)];
    let expected = [(10, vec![STOP_ALL]), (90, seen), (10, vec![STOP_ALL])];
    assert_eq!(turns(&mut story, 3), expected);
    // Of two the slower counts.
    assert_eq!(story.order(2, slow(8, 500)), []);
    let seen = vec![LOOK_AT_SLOW, CONTINUE_ALL, saw(2, Seen::Slowed)];
    assert_eq!(turns(&mut story, 1), [(90, seen)]);
    assert_eq!(story.order(3, Unslow { id: 7 }), [up(3)]);
    let expected = [(10, vec![STOP_ALL]), (50, vec![CONTINUE_ALL])];
    assert_eq!(turns(&mut story, 2), expected);
    assert_eq!(turns(&mut story, 1), [(50, vec![STOP_ALL])]);
    assert_eq!(story.order(4, Unslow { id: 8 }), [up(4), CONTINUE_ALL]);
    assert_eq!(story.supervisor.next_timer(), None);
}

#[test]
fn a_slow_program_that_stands_still_can_be_frozen_stopped_and_started_anew() {
    let mut story = Story::running();
    story.order(1, slow(7, 100));
    turns(&mut story, 1);
    // What is frozen cannot be slowed; it is when it runs again.
    assert_eq!(story.order(2, Freeze), [STOP_ALL, LOOK, gone(1), still(2)]);
    assert_eq!(story.supervisor.next_timer(), None);
    assert_eq!(story.order(3, Thaw), [CONTINUE_ALL, LOOK, up(3)]);
    assert_eq!(turns(&mut story, 1), [(10, vec![STOP_ALL])]);
    let pid = story.pid;
    let stopped = [Effect::SignalProgram(pid, libc::SIGTERM), CONTINUE_ALL];
    assert_eq!(story.order(4, Stop), stopped);
    // It has all its time to end in.
    assert_eq!(story.input(Input::Timer), []);
    story.dies(0);
    assert_eq!(story.order(5, Start), [Effect::Start, up(5)]);
    assert_eq!(turns(&mut story, 1), [(10, vec![STOP_ALL])]);
    assert_eq!(story.order(6, Kill), [KILL_ALL]);
    assert_eq!(story.supervisor.next_timer(), None);
}

/// Lets time pass until an order is answered, and gives what came with its answer.
fn answer(story: &mut Story, within: std::time::Duration) -> Vec<Effect> {
    let end = story.now + 2 * within;
    loop {
        story.now = story.supervisor.next_timer().unwrap();
        assert!(story.now < end, "no answer");
        let effects = story.input(Input::Timer);
        if effects.iter().any(|e| matches!(e, Effect::Send(_))) {
            return effects;
        }
    }
}

#[test]
fn processes_that_do_not_stand_still_are_no_effect() {
    let mut story = Story::running();
    story.obey = false;
    assert_eq!(story.order(1, Freeze), [STOP_ALL, LOOK]);
    let run_on = "2 of its processes did not obey";
    // Those that did obey run again.
    let undone = [LOOK, CONTINUE_ALL, refused(1, run_on)];
    assert_eq!(answer(&mut story, LOOK_TIMEOUT), undone);
    let polite = story.order(2, Stop);
    assert_eq!(polite, [Effect::SignalProgram(story.pid, libc::SIGTERM)]);
    story.dies(0);
    story.order(3, Start);
    // Those that obey late do obey.
    assert_eq!(story.order(4, Freeze), [STOP_ALL, LOOK]);
    assert_eq!(story.order(5, Thaw), [], "one after the other");
    story.obey = true;
    story.now = story.supervisor.next_timer().unwrap();
    assert_eq!(
        story.input(Input::Timer),
        [LOOK, still(4), CONTINUE_ALL, LOOK, up(5)]
    );
    // What was frozen before stays so.
    story.order(6, Freeze);
    story.obey = false;
    story.order(7, Freeze);
    let refused_again = [LOOK, refused(7, run_on)];
    assert_eq!(answer(&mut story, LOOK_TIMEOUT), refused_again);
    story.obey = true;
    story.order(8, Thaw);

    story.obey = false;
    assert_eq!(story.order(9, slow(7, 100)), []);
    let not_slowed = answer(&mut story, LOOK_TIMEOUT);
    assert!(not_slowed.contains(&refused(9, run_on)), "{not_slowed:?}");
    // A kill waits for nothing.
    assert_eq!(story.order(10, Freeze), [STOP_ALL, LOOK]);
    let hastened = refused(10, "it was killed before it obeyed");
    assert_eq!(story.order(11, Kill), [hastened, KILL_ALL]);
    assert_eq!(story.dies(-9), [KILL_ALL, exited(-9, true), gone(11)]);
}

#[test]
fn a_slow_program_that_cannot_be_frozen_takes_its_turns_again() {
    let mut story = Story::running();
    story.order(1, slow(7, 100));
    turns(&mut story, 1);
    story.obey = false;
    assert_eq!(story.order(2, Freeze), [STOP_ALL, LOOK, gone(1)]);
    let undone = [
        LOOK,
        CONTINUE_ALL,
        refused(2, "2 of its processes did not obey"),
    ];
    assert_eq!(answer(&mut story, LOOK_TIMEOUT), undone);
    let expected = [(10, vec![STOP_ALL]), (90, vec![CONTINUE_ALL])];
    assert_eq!(turns(&mut story, 2), expected);
}

#[test]
fn a_disk_that_is_lent_keeps_the_program_from_starting() {
    let mut story = Story::new();
    assert_eq!(story.supervisor.lends_disk(), Ok(()));
    assert_eq!(story.input(Input::DiskLent(7)), []);
    assert_eq!(story.supervisor.helper(), Some(7));
    story.supervisor.lends_disk().unwrap_err();
    let early = story.order(1, Start);
    assert_eq!(early, [refused(1, "the node has not been let go yet")]);
    // The barrier falls before what has the disk has ended.
    assert_eq!(story.input(Input::Go { run: true }), []);
    assert_eq!(story.order(2, Stop), []);
    let (pid, status) = (8, 0);
    assert_eq!(story.input(Input::Reaped { pid, status }), []);
    let (pid, status) = (7, 0);
    let begun = story.input(Input::Reaped { pid, status });
    assert_eq!(begun[0], Effect::Start);
    assert_eq!(story.supervisor.lends_disk(), Err("its program is running"));
    story.dies(0);
    // While it is down, orders wait until the disk is given back.
    assert_eq!(story.input(Input::DiskLent(7)), []);
    assert_eq!(story.order(3, Start), []);
    assert_eq!(
        story.input(Input::Reaped { pid, status }),
        [Effect::Start, up(3)]
    );
}

#[test]
fn what_has_the_disk_ends_with_the_gate() {
    let mut story = Story::new();
    story.input(Input::DiskLent(7));
    story.input(Input::Go { run: true });
    assert_eq!(story.input(Input::Terminate), [KILL_ALL]);
    let (pid, status) = (7, -libc::SIGKILL);
    let last = story.input(Input::Reaped { pid, status });
    assert!(matches!(last[..], [Effect::Exit(_)]), "{last:?}");
    let mut without = Supervisor::new(false);
    without.handle(story.now, Input::Go { run: false });
    without.lends_disk().unwrap_err();
}
