//! The language of the conductor's stories: an instant and what happens, and then the orders and the
//! record's lines that come of it, in words. The stories stand in `stories.rs`.

use std::sync::Arc;

use peerlab_link::proto::{APPLY_TAG_MIN, Action, ProcessOp, Seen, Timed};
use peerlab_link::{Nanos, NodeId};

use super::{
    BlockFacts, Command, Conductor, Done, Failure, Input, Observation, Order, Said, Setup, Ticket,
    Venue,
};
use crate::check::story::{Story, secs};
use crate::event::{Block, HostFacts, Tip, What};
use crate::experiment::Down;
use crate::ledger::Premined;
use crate::plan::Plan;
use crate::plan::spec::{Outage, Work, WorkloadAction};

pub(super) const A: NodeId = NodeId(0);
pub(super) const B: NodeId = NodeId(1);
pub(super) const C: NodeId = NodeId(2);
/// Counting once in a blue moon keeps it out of the other stories.
const SELDOM: f64 = 1_000.0;

/// No story has more that is due at one instant.
const DUE_MAX: usize = 100;

/// A conductor, and the ticket of the last command.
pub(super) struct Scene(pub(super) Conductor<'static>, u64);

/// Three nodes that have just been started.
pub(super) fn scene(change: impl FnOnce(&mut Plan)) -> Scene {
    scene_with(change, |_| {})
}

pub(super) fn scene_with(
    change: impl FnOnce(&mut Plan),
    set: impl FnOnce(&mut Setup<'static>),
) -> Scene {
    let mut plan = Story::of(3).plan;
    plan.ledger.outputs = 3;
    change(&mut plan);
    // The conductor borrows it for as long as the test runs.
    let plan: &'static Plan = Box::leak(Box::new(plan));
    let premined = Arc::new(Premined::mine(plan.ledger.outputs));
    let mut setup = Setup::of(plan, premined, secs(SELDOM));
    set(&mut setup);
    let mut conductor = Conductor::new(setup);
    conductor.begin(Venue {
        engine: "story",
        unix_nanos: 0,
        bring_up: Nanos::ZERO,
        host: HostFacts::default(),
    });
    let mut scene = Scene(conductor, 0);
    scene.told();
    // The first phase, and the first reading of the counters.
    scene.time(0.0);
    scene
}

/// The same, each of them up.
pub(super) fn scene_up(change: impl FnOnce(&mut Plan)) -> Scene {
    let mut scene = scene(change);
    for node in [A, B, C] {
        scene.up(0.5, node, 1);
    }
    scene
}

impl Scene {
    /// Something happens.
    pub(super) fn at(&mut self, t: f64, input: Input) -> Vec<String> {
        self.0.handle(secs(t), input);
        self.told()
    }

    pub(super) fn see(&mut self, t: f64, observation: Observation) -> Vec<String> {
        self.at(t, Input::Observed(observation))
    }

    /// Time comes, and all that is due is done.
    pub(super) fn time(&mut self, t: f64) -> Vec<String> {
        let mut told = self.at(t, Input::Timer);
        for _ in 0..DUE_MAX {
            if self.0.deadline() > secs(t) || self.0.accounted().is_some() {
                return told;
            }
            told.extend(self.at(t, Input::Timer));
        }
        panic!("at {t} s always something is due: {told:?}");
    }

    pub(super) fn up(&mut self, t: f64, node: NodeId, incarnation: u32) -> Vec<String> {
        self.see(t, Observation::Up { node, incarnation })
    }

    pub(super) fn tip(
        &mut self,
        t: f64,
        node: NodeId,
        incarnation: u32,
        hash: &str,
    ) -> Vec<String> {
        self.see(
            t,
            Observation::Said {
                node,
                incarnation,
                said: Said::Tip(tip(hash)),
            },
        )
    }

    pub(super) fn applied(&mut self, t: f64, tag: u32) -> Vec<String> {
        let result = Ok(Seen::NotRunning);
        self.at(t, Input::Applied { tag, result })
    }

    pub(super) fn command(&mut self, t: f64, command: Command) -> Vec<String> {
        self.1 += 1;
        let ticket = self.1;
        self.at(t, Input::Command { ticket, command })
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(order) = self.0.poll_order() {
            told.push(order_in_words(&order));
        }
        while let Some(event) = self.0.poll_event() {
            told.push(format!(
                "{}: {}",
                event.t.as_secs_f64(),
                event_in_words(&event.what)
            ));
        }
        while let Some((ticket, done)) = self.0.poll_done() {
            told.push(done_in_words(ticket, &done));
        }
        told
    }
}

fn order_in_words(order: &Order) -> String {
    match order {
        Order::Follow {
            node,
            incarnation,
            began: _,
        } => format!("follow {node} ({incarnation})"),
        Order::Leave { node } => format!("leave {node}"),
        Order::Apply { tag, .. } => format!("apply {}", tag - APPLY_TAG_MIN),
        Order::Join(joined) => format!("join {}", joined.node),
        Order::Remove { node } => format!("remove {node}"),
        Order::Count => "count".into(),
        Order::MeasureUsage { nodes, .. } => format!("measure {}", names(nodes)),
        Order::Mine { node } => format!("mine at {node}"),
        Order::Submit { node, .. } => format!("submit to {node}"),
        Order::AskBlocks { node, hash, .. } => format!("ask {node} about {hash}"),
        Order::AskAccounts { nodes, ledger } => {
            let what = if *ledger { "state" } else { "counters" };
            format!("ask {} for {what}", names(nodes))
        }
    }
}

fn done_in_words(ticket: Ticket, done: &Done) -> String {
    let failure = |it: &Failure| match it.node {
        Some(node) => format!("{node}: {}", it.reason),
        None => it.reason.to_string(),
    };
    let failures: Vec<String> = done.failures.iter().map(failure).collect();
    let blocks = done.blocks.iter().map(|hash| format!("block {hash}"));
    let faults = done.faults.iter().map(|fault| format!("fault {fault}"));
    let told: Vec<String> = blocks.chain(faults).chain(failures).collect();
    format!("request {ticket} done: {}", told.join(", "))
}

fn event_in_words(what: &What) -> String {
    match what {
        What::Phase { name } => format!("phase {name}"),
        What::NodeUp { node } => format!("{node} up"),
        What::NodeDown { node, how, .. } => match how {
            Some(how) => format!("{node} down by {}", how.word()),
            None => format!("{node} down by itself"),
        },
        What::Block(Block { tip, miner, .. }) => match miner {
            Some(miner) => format!("block {} by {miner}", tip.hash),
            None => format!("block {}", tip.hash),
        },
        What::MineMissed { node, reason } => format!("{node} missed: {reason}"),
        What::Tip { node, tip } => format!("{node} at {}", tip.hash),
        What::Transaction { node, refused, .. } => match refused {
            Some(reason) => format!("transaction at {node} refused: {reason}"),
            None => format!("transaction at {node}"),
        },
        What::Effect {
            line, error: None, ..
        } => format!("line {line} done"),
        What::Effect {
            line,
            error: Some(error),
            ..
        } => format!("line {line} without effect: {error}"),
        What::ByHand { fault, label, .. } => format!("fault {fault} by hand: {label}"),
        What::Ordered { line, action } => format!("line {line}: {}", action_in_words(action)),
        What::Joined(joined) => format!("{} joined", joined.node),
        What::Left { node } => format!("{node} left"),
        What::FaultBegan { fault } => format!("fault {fault} began"),
        What::FaultEnded { fault } => format!("fault {fault} ended"),
        What::Replaced { node, received } => format!("{node} is new, with {received} bytes"),
        What::Ended { interrupted: true } => "interrupted".into(),
        other => {
            let text = format!("{other:?}");
            let end = text.find([' ', '(']).unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

fn action_in_words(action: &Action) -> String {
    let text = match action {
        Action::Process { node, op } => format!("{op:?} {node}"),
        Action::Link(change) => {
            let text = format!("{change:?}");
            let end = text.find([' ', '{']).unwrap_or(text.len());
            text[..end].to_owned()
        }
    };
    text.to_lowercase()
}

pub(super) fn names(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    names.join("+")
}

pub(super) fn tip(hash: &str) -> Tip {
    Tip {
        hash: hash.into(),
        height: 101,
    }
}

pub(super) fn facts(hash: &str, prev: &str) -> BlockFacts {
    BlockFacts {
        hash: hash.into(),
        height: 101,
        prev: prev.into(),
        size: 300,
        tx: vec!["coinbase".into()],
    }
}

pub(super) fn mine(at: f64, node: NodeId) -> WorkloadAction {
    WorkloadAction {
        at: secs(at),
        work: Work::Mine { node },
    }
}

pub(super) fn process(at: f64, node: NodeId, op: ProcessOp) -> Timed {
    Timed {
        at: secs(at),
        action: Action::Process { node, op },
    }
}

fn outage(node: NodeId, start: f64, end: f64, how: Down) -> Outage {
    Outage {
        node,
        start: secs(start),
        end: Some(secs(end)),
        how,
    }
}

/// A plan in which B is killed at 5 s and started again at 8 s.
pub(super) fn b_restarts(plan: &mut Plan) {
    plan.outages = vec![outage(B, 5.0, 8.0, Down::Replace)];
    plan.fault_schedule = vec![
        process(5.0, B, ProcessOp::Kill),
        process(8.0, B, ProcessOp::Start),
    ];
}
