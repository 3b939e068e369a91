//! What state the node's program is in, and what follows from an order, a death or a deadline.
//! Sans-IO: it sends no signal and starts nothing itself.
//!
//! Driving it: `handle` an input, then drain `poll_effect` and carry each effect out before the
//! next input; [`Effect::Start`], [`Effect::Wipe`] and [`Effect::Look`] are answered by
//! [`Input::Started`], [`Input::WipeStarted`] and [`Input::Looked`] at once. Call with [`Input::Timer`] when `next_timer` has passed. Time
//! never goes back.
//!
//! Orders are obeyed in the order they came; one that must wait (a start while the program is
//! still stopping) is queued. A kill hastens whatever is ending even where it is queued itself.
//! How slow the program is to be ([`Slowness`]) is no state of it, and is obeyed at once.
//!
//! An order is answered when it was seen to have taken effect: no process is left, all of them stand
//! still, nothing is left on the disk.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peerlab_link::proto::{FromGate, ProcessOp, STOP_GRACE, Seen};

use crate::ended::exit_code;
use crate::slowness::{Answers, Slowness};

/// Orders that may wait for the program's end; the plan never comes near it, and more than this
/// is a fabric gone mad.
pub const ORDERS_QUEUED_MAX: usize = 256;

/// How long processes may take to obey a signal. One that gets no CPU, or waits for a disk, does not
/// obey at once.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks at whether they have.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// A process id in the node's namespace.
pub type Pid = i32;

#[derive(Debug)]
pub enum Input {
    /// The barrier fell.
    Go {
        /// Whether the program starts now.
        run: bool,
    },
    /// The fabric orders.
    Order {
        /// Echoed in the answer.
        tag: u32,
        op: ProcessOp,
    },
    /// Answer to [`Effect::Start`].
    Started(Result<Pid, StartError>),
    /// Answer to [`Effect::Wipe`]: the process that wipes.
    WipeStarted(Result<Pid, String>),
    /// It has ended: how many files and folders it removed.
    Wiped(Result<u64, String>),
    /// Answer to [`Effect::Look`].
    Looked(LookFor, Census),
    /// A process of the gate's own has begun to work on the disk, as [`Supervisor::lends_disk`] allows.
    DiskLent(Pid),
    /// Another child ended and was reaped.
    Reaped {
        pid: Pid,
        /// Exit code, or minus the signal.
        status: i32,
    },
    /// No child is left.
    Childless,
    /// A deadline passed.
    Timer,
    /// The engine asks the gate to end politely (SIGTERM).
    Terminate,
}

/// The program could not be started.
#[derive(Debug)]
pub struct StartError {
    /// What a shell would have exited with: 127 not found, 126 otherwise.
    pub status: i32,
    pub reason: String,
}

/// Why the node's processes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookFor {
    /// Whether they have been frozen or thawed.
    Freeze,
    /// Whether a slow program stands still in its turn.
    Slow,
}

/// The node's processes: how many stand still, and how many do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub still: u32,
    pub moving: u32,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Start the program.
    Start,
    /// Start a process that empties the node's disk.
    Wipe,
    /// Count the node's processes.
    Look(LookFor),
    /// Signal the program alone.
    SignalProgram(Pid, i32),
    /// Signal every process of the node but the gate.
    SignalAll(i32),
    Send(FromGate),
    /// Say on the log.
    Log(String),
    /// End the gate.
    Exit(i32),
}

/// Where the program stands.
#[derive(Debug)]
enum State {
    /// The barrier stands.
    Closed,
    /// Nothing runs.
    Down,
    /// [`Effect::Start`] is out; the order's tag, if an order it was.
    Starting(Option<u32>),
    Up {
        pid: Pid,
        frozen: bool,
    },
    /// It is ending, or has ended and other processes of the node are.
    Ending {
        /// `None` once reaped.
        pid: Option<Pid>,
        asked: bool,
        /// When its timeout is over; `None` once SIGKILL is out.
        kill_at: Option<Instant>,
        /// Orders to answer when nothing is left.
        waiters: Vec<u32>,
    },
    /// [`Effect::Wipe`] is out, or runs.
    Wiping {
        pid: Option<Pid>,
        tag: u32,
    },
    /// A process of the gate's own has the disk to itself.
    Lent {
        pid: Pid,
        after: AfterLent,
    },
}

/// What comes when the disk is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterLent {
    /// The barrier still stands.
    Closed,
    Down,
    /// The program is started: the barrier fell meanwhile.
    Start,
}

/// An order that is answered once all processes have obeyed it.
#[derive(Clone, Copy, Debug)]
struct Looking {
    tag: u32,
    /// What the program was before, which it is again where they do not.
    was_frozen: bool,
    next: Instant,
    until: Instant,
}

#[derive(Debug)]
pub struct Supervisor {
    state: State,
    looking: Option<Looking>,
    slowness: Slowness,
    has_disk: bool,
    orders: VecDeque<(u32, ProcessOp)>,
    effects: VecDeque<Effect>,
    /// Whether the gate ends when the program has.
    terminating: bool,
    /// How the program last ended.
    last_status: i32,
}

impl Supervisor {
    /// A program that waits for [`Input::Go`]; `has_disk` says whether it can be emptied.
    pub fn new(has_disk: bool) -> Supervisor {
        Supervisor {
            state: State::Closed,
            looking: None,
            slowness: Slowness::default(),
            has_disk,
            orders: VecDeque::new(),
            effects: VecDeque::new(),
            terminating: false,
            last_status: 0,
        }
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Input::Timer`] is due.
    pub fn next_timer(&self) -> Option<Instant> {
        match self.state {
            State::Ending { kill_at, .. } => kill_at,
            _ => {
                let turn = self.slowness.next_timer();
                let look = self.looking.map(|looking| looking.next);
                turn.into_iter().chain(look).min()
            }
        }
    }

    /// The program's process, while it lives.
    pub fn program(&self) -> Option<Pid> {
        match self.state {
            State::Up { pid, .. } => Some(pid),
            State::Ending { pid, .. } => pid,
            _ => None,
        }
    }

    /// The process that is not the node's own but the gate's, if there is one.
    pub fn helper(&self) -> Option<Pid> {
        match self.state {
            State::Wiping { pid, .. } => pid,
            State::Lent { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// Whether a process of the gate's own may have the disk to itself now. Until that has ended the program
    /// does not start.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn lends_disk(&self) -> Result<(), &'static str> {
        match self.state {
            _ if self.terminating => Err("the gate is ending"),
            _ if !self.has_disk => Err("the node has no disk that is known"),
            State::Closed | State::Down => Ok(()),
            State::Wiping { .. } | State::Lent { .. } => Err("its disk is in use"),
            State::Starting(_) | State::Up { .. } | State::Ending { .. } => {
                Err("its program is running")
            }
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Go { run } => self.went(run),
            Input::Order { tag, op } => self.ordered(now, tag, op),
            Input::Started(result) => self.started(result),
            Input::WipeStarted(result) => self.wipe_started(result),
            Input::Wiped(result) => self.wiped(result),
            Input::DiskLent(pid) => self.disk_lent(pid),
            Input::Looked(LookFor::Freeze, census) => self.looked(now, census),
            Input::Looked(LookFor::Slow, census) => self.looked_while_slow(now, census),
            Input::Reaped { pid, status } => self.reaped(pid, status),
            Input::Childless => self.childless(),
            Input::Timer => self.timer_expired(now),
            Input::Terminate => self.terminate(now),
        }
        self.advance(now);
        self.take_turns(now);
    }

    fn disk_lent(&mut self, pid: Pid) {
        let after = match self.state {
            State::Closed => AfterLent::Closed,
            _ => AfterLent::Down,
        };
        self.state = State::Lent { pid, after };
    }

    fn given_back(&mut self, after: AfterLent) {
        self.state = match after {
            AfterLent::Closed => State::Closed,
            AfterLent::Start if !self.terminating => {
                self.emit(Effect::Start);
                State::Starting(None)
            }
            AfterLent::Down | AfterLent::Start => State::Down,
        };
    }

    fn went(&mut self, run: bool) {
        // What has the disk has told that it is done before it has ended.
        if let State::Lent { after, .. } = &mut self.state {
            *after = if run {
                AfterLent::Start
            } else {
                AfterLent::Down
            };
            return;
        }
        self.state = State::Down;
        if run {
            self.state = State::Starting(None);
            self.emit(Effect::Start);
        }
    }

    fn ordered(&mut self, now: Instant, tag: u32, op: ProcessOp) {
        let is_closed = matches!(
            self.state,
            State::Closed
                | State::Lent {
                    after: AfterLent::Closed,
                    ..
                }
        );
        if is_closed {
            return self.done(tag, Err("the node has not been let go yet".to_owned()));
        }
        if self.terminating {
            return self.done(tag, Err("the gate is ending".to_owned()));
        }
        if self.orders.len() >= ORDERS_QUEUED_MAX {
            return self.done(tag, Err("too many orders wait".to_owned()));
        }
        match op {
            ProcessOp::Slow { id, cpu_millis } => {
                // Answered when it is seen.
                let until = now + LOOK_TIMEOUT;
                return self.slowness.begin(id, cpu_millis, tag, until);
            }
            ProcessOp::Unslow { id } => {
                self.slowness.end(id);
                return self.done(tag, Ok(self.runs()));
            }
            ProcessOp::Kill => {
                self.look_no_longer(Err("it was killed before it obeyed".to_owned()));
                self.hasten();
            }
            ProcessOp::Stop
            | ProcessOp::Start
            | ProcessOp::Freeze
            | ProcessOp::Thaw
            | ProcessOp::Wipe => {}
        }
        self.orders.push_back((tag, op));
    }

    fn started(&mut self, result: Result<Pid, StartError>) {
        let State::Starting(tag) = self.state else {
            return;
        };
        match result {
            Ok(pid) => {
                self.state = State::Up { pid, frozen: false };
                if let Some(tag) = tag {
                    self.done(tag, Ok(Seen::Running));
                }
            }
            Err(error) => {
                self.state = State::Down;
                self.last_status = error.status;
                self.emit(Effect::Log(error.reason.clone()));
                match tag {
                    Some(tag) => self.done(tag, Err(error.reason)),
                    None => self.emit(Effect::Send(FromGate::Exited {
                        status: error.status,
                        asked: false,
                    })),
                }
            }
        }
    }

    fn wipe_started(&mut self, result: Result<Pid, String>) {
        let State::Wiping { pid, tag } = &mut self.state else {
            return;
        };
        match result {
            Ok(started) => *pid = Some(started),
            Err(reason) => {
                let tag = *tag;
                self.state = State::Down;
                self.done(tag, Err(reason));
            }
        }
    }

    fn wiped(&mut self, result: Result<u64, String>) {
        if let State::Wiping { tag, .. } = self.state {
            self.state = State::Down;
            self.done(tag, result.map(|entries| Seen::Emptied { entries }));
        }
    }

    /// Whether all processes have been frozen, or thawed.
    fn looked(&mut self, now: Instant, census: Census) {
        let (State::Up { frozen, .. }, Some(looking)) = (&mut self.state, &mut self.looking) else {
            return;
        };
        let (left, seen) = if *frozen {
            let processes = census.still;
            (census.moving, Seen::StandsStill { processes })
        } else {
            (census.still, Seen::Running)
        };
        if left == 0 {
            self.look_no_longer(Ok(seen));
        } else if looking.until <= now {
            let undo = *frozen && !looking.was_frozen;
            if undo {
                *frozen = false;
                // What slows it has let it go while it was to be frozen.
                self.emit(Effect::SignalAll(libc::SIGCONT));
            }
            self.look_no_longer(Err(disobeyed(left)));
        } else {
            looking.next = now + LOOK_PAUSE;
        }
    }

    /// Answers the order for which processes are looked at, if there is one.
    fn look_no_longer(&mut self, result: Result<Seen, String>) {
        if let Some(Looking { tag, .. }) = self.looking.take() {
            self.done(tag, result);
        }
    }

    /// Whether all processes stand still at the end of the turn in which they are to.
    fn looked_while_slow(&mut self, now: Instant, census: Census) {
        let seen = match census.moving {
            0 => Ok(Seen::Slowed),
            moving => Err(disobeyed(moving)),
        };
        let answers = self.slowness.looked(now, &seen);
        self.all_done(answers);
    }

    /// Whether the program runs.
    fn runs(&self) -> Seen {
        match self.state {
            State::Up { frozen: false, .. } => Seen::Running,
            _ => Seen::NotRunning,
        }
    }

    fn reaped(&mut self, dead: Pid, status: i32) {
        match &mut self.state {
            State::Up { pid, .. } if *pid == dead => {
                self.look_no_longer(Ok(Seen::NotRunning));
                self.state = State::Ending {
                    pid: None,
                    asked: false,
                    kill_at: None,
                    waiters: Vec::new(),
                };
                self.program_ended(status, false);
            }
            State::Ending {
                pid,
                asked,
                kill_at,
                ..
            } if *pid == Some(dead) => {
                *pid = None;
                *kill_at = None;
                let asked = *asked;
                self.program_ended(status, asked);
            }
            State::Lent { pid, after } if *pid == dead => {
                let after = *after;
                self.given_back(after);
            }
            _ => {}
        }
    }

    /// The program's end is the end of all its node's processes, as in a container.
    fn program_ended(&mut self, status: i32, asked: bool) {
        self.last_status = status;
        self.emit(Effect::SignalAll(libc::SIGKILL));
        self.emit(Effect::Send(FromGate::Exited { status, asked }));
    }

    fn childless(&mut self) {
        if let State::Ending {
            pid: None, waiters, ..
        } = &mut self.state
        {
            let waiters = std::mem::take(waiters);
            self.state = State::Down;
            for tag in waiters {
                self.done(tag, Ok(Seen::NotRunning));
            }
        }
    }

    fn timer_expired(&mut self, now: Instant) {
        // A turn that is over is seen to after every input.
        if self.looking.is_some_and(|looking| looking.next <= now) {
            self.emit(Effect::Look(LookFor::Freeze));
        }
        if self.next_timer().is_some_and(|at| at <= now) {
            self.hasten();
        }
    }

    /// Lets a slow program run and stand still by turns. When it is frozen, it stands still anyway;
    /// while it ends, it has all its time.
    fn take_turns(&mut self, now: Instant) {
        let runs = matches!(self.state, State::Up { frozen: false, .. });
        let turn = self.slowness.take_turn(now, runs);
        if turn.look {
            self.emit(Effect::Look(LookFor::Slow));
        }
        if let Some(stop) = turn.stop {
            let signal = if stop { libc::SIGSTOP } else { libc::SIGCONT };
            self.emit(Effect::SignalAll(signal));
        }
        if !self.slowness.has_turns() {
            // There is nothing that could be slowed now; it is as soon as there is.
            let answers = self.slowness.answer_all(&Ok(self.runs()));
            self.all_done(answers);
        }
    }

    /// Ends the wait for a program that is ending.
    fn hasten(&mut self) {
        if let State::Ending { kill_at, .. } = &mut self.state
            && kill_at.take().is_some()
        {
            self.emit(Effect::SignalAll(libc::SIGKILL));
        }
    }

    fn terminate(&mut self, now: Instant) {
        self.terminating = true;
        let ends = || Err("the gate is ending".to_owned());
        self.look_no_longer(ends());
        let answers = self.slowness.answer_all(&ends());
        self.all_done(answers);
        for (tag, _) in std::mem::take(&mut self.orders) {
            self.done(tag, ends());
        }
        match self.state {
            State::Up { pid, frozen } => self.stop(now, pid, frozen, false, Vec::new()),
            // Whoever it works for may never let it end.
            State::Lent { .. } => self.emit(Effect::SignalAll(libc::SIGKILL)),
            _ => {}
        }
    }

    /// SIGTERM now, SIGKILL later.
    fn stop(&mut self, now: Instant, pid: Pid, frozen: bool, asked: bool, waiters: Vec<u32>) {
        self.emit(Effect::SignalProgram(pid, libc::SIGTERM));
        if frozen || self.slowness.stands_still() {
            // Processes that stand still cannot stop politely.
            self.emit(Effect::SignalAll(libc::SIGCONT));
        }
        self.state = State::Ending {
            pid: Some(pid),
            asked,
            kill_at: Some(now + Duration::from(STOP_GRACE)),
            waiters,
        };
    }

    /// Obeys waiting orders as far as the state allows.
    fn advance(&mut self, now: Instant) {
        while let Some(&(tag, op)) = self.orders.front() {
            if self.looking.is_some() {
                break;
            }
            let obeyed = match self.state {
                State::Closed | State::Starting(_) | State::Wiping { .. } | State::Lent { .. } => {
                    false
                }
                State::Down => {
                    self.order_while_down(tag, op);
                    true
                }
                State::Up { pid, frozen } => {
                    self.order_while_up(now, tag, op, pid, frozen);
                    true
                }
                State::Ending {
                    ref mut waiters, ..
                } => match op {
                    ProcessOp::Kill | ProcessOp::Stop => {
                        waiters.push(tag);
                        true
                    }
                    _ => false,
                },
            };
            if !obeyed {
                break;
            }
            self.orders.pop_front();
        }
        if self.terminating && matches!(self.state, State::Down | State::Closed) {
            self.emit(Effect::Exit(exit_code(self.last_status)));
        }
    }

    fn order_while_down(&mut self, tag: u32, op: ProcessOp) {
        match op {
            // It ended by itself, or was killed before: that is what is to be seen.
            ProcessOp::Kill | ProcessOp::Stop | ProcessOp::Freeze | ProcessOp::Thaw => {
                self.done(tag, Ok(Seen::NotRunning));
            }
            ProcessOp::Start => {
                self.state = State::Starting(Some(tag));
                self.emit(Effect::Start);
            }
            ProcessOp::Wipe if !self.has_disk => {
                self.done(
                    tag,
                    Err("the node has no disk that can be emptied".to_owned()),
                );
            }
            ProcessOp::Wipe => {
                self.state = State::Wiping { pid: None, tag };
                self.emit(Effect::Wipe);
            }
            // Obeyed when it came.
            ProcessOp::Slow { .. } | ProcessOp::Unslow { .. } => {}
        }
    }

    fn order_while_up(&mut self, now: Instant, tag: u32, op: ProcessOp, pid: Pid, frozen: bool) {
        match op {
            ProcessOp::Kill => {
                self.emit(Effect::SignalAll(libc::SIGKILL));
                self.state = State::Ending {
                    pid: Some(pid),
                    asked: true,
                    kill_at: None,
                    waiters: vec![tag],
                };
            }
            ProcessOp::Stop => self.stop(now, pid, frozen, true, vec![tag]),
            ProcessOp::Start => self.done(tag, Ok(Seen::Running)),
            ProcessOp::Freeze | ProcessOp::Thaw => {
                let was_frozen = frozen;
                let frozen = op == ProcessOp::Freeze;
                let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
                self.emit(Effect::SignalAll(signal));
                self.state = State::Up { pid, frozen };
                self.looking = Some(Looking {
                    tag,
                    was_frozen,
                    next: now,
                    until: now + LOOK_TIMEOUT,
                });
                self.emit(Effect::Look(LookFor::Freeze));
            }
            ProcessOp::Wipe => self.done(tag, Err("the program is running".to_owned())),
            ProcessOp::Slow { .. } | ProcessOp::Unslow { .. } => {}
        }
    }

    fn all_done(&mut self, answers: Answers) {
        for (tag, result) in answers {
            self.done(tag, result);
        }
    }

    fn done(&mut self, tag: u32, result: Result<Seen, String>) {
        self.emit(Effect::Send(FromGate::Done { tag, result }));
    }

    fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }
}

/// Why an order to so many processes had no effect.
fn disobeyed(processes: u32) -> String {
    format!("{processes} of its processes did not obey")
}
