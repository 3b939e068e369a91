//! What the conductor does, as short stories: an instant and what happens, and then the orders and
//! the record's lines that come of it, in words.

use std::sync::Arc;

use peerlab_link::proto::{APPLY_TAG_MIN, Action, NodeUsage, ProcessOp, Timed};
use peerlab_link::{Change, Nanos, NodeId};

use super::{BlockFacts, Command, Conductor, Input, Observation, Order, Setup, Venue};
use crate::check::story::{Story, secs};
use crate::event::{Block, HostFacts, LedgerState, Tip, What};
use crate::experiment::Down;
use crate::ledger::Premined;
use crate::plan::Plan;
use crate::plan::spec::{Outage, Work, WorkloadAction};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);
/// Counting once in a blue moon keeps it out of the other stories.
const SELDOM: f64 = 1_000.0;

struct Scene(Conductor<'static>);

/// Three nodes that have just been started.
fn scene(change: impl FnOnce(&mut Plan)) -> Scene {
    scene_with(change, |_| {})
}

fn scene_with(change: impl FnOnce(&mut Plan), set: impl FnOnce(&mut Setup<'static>)) -> Scene {
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
    let mut scene = Scene(conductor);
    scene.told();
    // The first phase, and the first reading of the counters.
    scene.time(0.0);
    scene
}

/// The same, each of them up.
fn scene_up(change: impl FnOnce(&mut Plan)) -> Scene {
    let mut scene = scene(change);
    for node in [A, B, C] {
        scene.up(0.5, node, 1);
    }
    scene
}

impl Scene {
    /// Something happens.
    fn at(&mut self, t: f64, input: Input) -> Vec<String> {
        self.0.handle(secs(t), input);
        self.told()
    }

    fn see(&mut self, t: f64, observation: Observation) -> Vec<String> {
        self.at(t, Input::Observed(observation))
    }

    /// Time comes, and all that is due is done.
    fn time(&mut self, t: f64) -> Vec<String> {
        let mut told = self.at(t, Input::Timer);
        while self.0.deadline() <= secs(t) && self.0.accounted().is_none() {
            told.extend(self.at(t, Input::Timer));
        }
        told
    }

    fn up(&mut self, t: f64, node: NodeId, incarnation: u32) -> Vec<String> {
        self.see(t, Observation::Up { node, incarnation })
    }

    fn tip(&mut self, t: f64, node: NodeId, incarnation: u32, hash: &str) -> Vec<String> {
        self.see(
            t,
            Observation::Tip {
                node,
                incarnation,
                tip: tip(hash),
            },
        )
    }

    fn applied(&mut self, t: f64, tag: u32) -> Vec<String> {
        self.at(t, Input::Applied { tag, error: None })
    }

    fn command(&mut self, t: f64, command: Command) -> Vec<String> {
        self.at(t, Input::Command(command))
    }

    fn told(&mut self) -> Vec<String> {
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
        told
    }
}

fn order_in_words(order: &Order) -> String {
    match order {
        Order::Follow { node, incarnation } => format!("follow {node} ({incarnation})"),
        Order::Leave { node } => format!("leave {node}"),
        Order::Apply { tag, .. } => format!("apply {}", tag - APPLY_TAG_MIN),
        Order::Count => "count".into(),
        Order::MeasureUsage { nodes } => format!("measure {}", names(nodes)),
        Order::Mine { node } => format!("mine at {node}"),
        Order::Submit { node, .. } => format!("submit to {node}"),
        Order::AskBlocks { node, hash, .. } => format!("ask {node} about {hash}"),
        Order::AskAccounts { nodes, ledger } => {
            let what = if *ledger { "state" } else { "counters" };
            format!("ask {} for {what}", names(nodes))
        }
    }
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
        What::Ended { interrupted: true } => "interrupted".into(),
        other => {
            let text = format!("{other:?}");
            let end = text.find([' ', '(']).unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

fn names(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    names.join("+")
}

fn tip(hash: &str) -> Tip {
    Tip {
        hash: hash.into(),
        height: 101,
    }
}

fn facts(hash: &str, prev: &str) -> BlockFacts {
    BlockFacts {
        hash: hash.into(),
        height: 101,
        prev: prev.into(),
        size: 300,
        tx: vec!["coinbase".into()],
    }
}

fn mine(at: f64, node: NodeId) -> WorkloadAction {
    WorkloadAction {
        at: secs(at),
        work: Work::Mine { node },
    }
}

fn process(at: f64, node: NodeId, op: ProcessOp) -> Timed {
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
fn b_restarts(plan: &mut Plan) {
    plan.outages = vec![outage(B, 5.0, 8.0, Down::Replace)];
    plan.fault_schedule = vec![
        process(5.0, B, ProcessOp::Kill),
        process(8.0, B, ProcessOp::Start),
    ];
}

#[test]
fn a_block_is_mined_and_those_who_have_it_follow_it_in_the_record() {
    let mut scene = scene_up(|plan| plan.workload = vec![mine(3.0, A)]);
    assert_eq!(scene.time(2.9), [""; 0]);
    assert_eq!(scene.time(3.0), ["mine at 0"]);
    assert_eq!(scene.tip(3.1, B, 1, "new"), ["ask 1 about new"]);
    let blocks = vec![facts("new", "base")];
    let told = Observation::Blocks {
        wanted: "new".into(),
        blocks,
    };
    assert_eq!(scene.see(3.2, told), [""; 0], "its miner may yet be known");
    let mined = Observation::Mined {
        node: A,
        result: Ok("new".into()),
    };
    assert_eq!(
        scene.see(3.05, mined),
        ["3.05: block new by 0", "3.1: 1 at new"]
    );
    assert_eq!(
        scene.tip(3.3, C, 1, "new"),
        ["3.3: 2 at new"],
        "no question"
    );
}

#[test]
fn an_engine_that_tells_of_blocks_is_not_asked_for_them() {
    let mut scene = scene_up(|_| {});
    let block = |miner| Observation::Block {
        facts: facts("new", "base"),
        miner,
    };
    assert_eq!(scene.see(3.0, block(Some(A))), ["3: block new by 0"]);
    assert_eq!(scene.see(3.1, block(None)), [""; 0], "once is enough");
    assert_eq!(scene.tip(3.1, B, 1, "new"), ["3.1: 1 at new"]);
}

#[test]
fn who_is_down_mines_nothing() {
    let mut scene = scene(|plan| plan.workload = vec![mine(3.0, A), mine(4.0, A)]);
    assert_eq!(scene.time(3.0), ["3: 0 missed: the node is down"]);
    scene.up(3.5, A, 1);
    assert_eq!(scene.time(4.0), ["mine at 0"]);
    let mined = Observation::Mined {
        node: A,
        result: Err("no answer".into()),
    };
    assert_eq!(scene.see(5.0, mined), ["5: 0 missed: no answer"]);
}

#[test]
fn a_double_spend_goes_to_the_first_of_each_side_that_is_up() {
    let work = Work::DoubleSpend {
        fault: 0,
        output: 1,
        sides: [vec![A, B], vec![C]],
    };
    let at = secs(3.0);
    let mut scene = scene(|plan| plan.workload = vec![WorkloadAction { at, work }]);
    scene.up(0.5, B, 1);
    assert_eq!(
        scene.time(3.0),
        [
            "submit to 1",
            "3: transaction at 2 refused: the node is down"
        ]
    );
}

#[test]
fn what_is_seen_of_a_former_incarnation_counts_for_nothing() {
    let mut scene = scene_up(b_restarts);
    assert_eq!(scene.applied(5.0, 0), ["leave 1", "5: 1 down by replace"]);
    assert_eq!(scene.tip(5.1, B, 1, "new"), [""; 0]);
    assert_eq!(scene.applied(8.0, 1), ["follow 1 (2)"]);
    assert_eq!(scene.up(8.0, B, 1), [""; 0]);
    assert_eq!(scene.up(8.3, B, 2), ["8.3: 1 up"]);
    assert_eq!(scene.up(8.4, B, 2), [""; 0]);
    assert_eq!(scene.tip(8.5, B, 2, "new"), ["ask 1 about new"]);
    let says = |incarnation| Observation::Value {
        node: B,
        incarnation,
        value: "new".into(),
    };
    assert_eq!(scene.see(8.6, says(1)), [""; 0]);
    assert_eq!(scene.see(8.6, says(2)), ["8.6: value"]);
}

#[test]
fn an_end_that_was_asked_for_is_told_once_whoever_tells_it_first() {
    let mut scene = scene_up(b_restarts);
    let exited = |asked| Input::Exited {
        node: B,
        status: -9,
        asked,
    };
    assert_eq!(
        scene.at(5.0, exited(true)),
        ["leave 1", "5: 1 down by replace"]
    );
    assert_eq!(scene.applied(5.0, 0), [""; 0]);
    scene.applied(8.0, 1);
    scene.up(8.3, B, 2);
    assert_eq!(
        scene.at(9.0, exited(false)),
        ["leave 1", "9: 1 down by itself"]
    );
    assert_eq!(scene.0.abnormal(), [B]);
}

#[test]
fn a_line_that_could_not_be_carried_out_changes_nothing() {
    let mut scene = scene_up(b_restarts);
    let failed = Input::Applied {
        tag: 0,
        error: Some("no such process".into()),
    };
    assert_eq!(scene.at(5.0, failed), [""; 0]);
}

#[test]
fn a_lost_node_does_not_come_back() {
    let mut scene = scene_up(b_restarts);
    let lost = || Input::Lost {
        node: B,
        reason: "gone".into(),
    };
    assert_eq!(scene.at(4.0, lost()), ["leave 1", "4: 1 down by itself"]);
    assert_eq!(scene.at(4.1, lost()), [""; 0]);
    assert_eq!(scene.applied(8.0, 1), [""; 0]);
}

#[test]
fn a_network_of_which_nobody_could_start_is_given_up() {
    let mut scene = scene(|_| {});
    for (node, hopeless) in [(A, false), (B, false), (C, true)] {
        let status = 1;
        let asked = false;
        scene.at(
            1.0,
            Input::Exited {
                node,
                status,
                asked,
            },
        );
        assert_eq!(scene.0.none_could_start().is_some(), hopeless);
    }
}

#[test]
fn at_phase_borders_nodes_are_counted_and_asked() {
    let mut scene = scene_up(|_| {});
    assert_eq!(
        scene.time(20.0),
        ["count", "ask 0+1+2 for counters", "20: phase faults"]
    );
}

#[test]
fn readings_of_the_counters_that_came_too_late_are_left_out() {
    let mut scene = scene_with(|_| {}, |setup| setup.count_interval = secs(1.0));
    assert_eq!(scene.time(0.9), [""; 0]);
    assert_eq!(scene.time(4.5), ["count"]);
    assert_eq!(scene.time(4.9), [""; 0]);
    assert_eq!(scene.time(5.0), ["count"]);
}

#[test]
fn a_command_is_carried_out_in_mid_run() {
    let mut scene = scene_up(|_| {});
    assert_eq!(
        scene.command(3.0, Command::Act(Work::Mine { node: C })),
        ["mine at 2"]
    );
    let kill = Action::Process {
        node: C,
        op: ProcessOp::Kill,
    };
    assert_eq!(scene.command(4.0, Command::Apply(kill)), ["apply 0"]);
    assert_eq!(
        scene.applied(4.1, APPLY_TAG_MIN),
        ["leave 2", "4.1: 2 down by kill"]
    );
    let cut = Action::Link(Change::Silence { node: A });
    assert_eq!(scene.command(5.0, Command::Apply(cut)), ["apply 1"]);
    assert_eq!(
        scene.applied(5.0, APPLY_TAG_MIN + 1),
        ["leave 0", "5: 0 down by vanish"]
    );
}

#[test]
fn a_node_joins_in_mid_run() {
    let mut scene = scene_up(|_| {});
    let node = NodeId(3);
    assert_eq!(scene.command(3.0, Command::Join), [""; 0]);
    assert_eq!(
        scene.command(3.1, Command::Act(Work::Mine { node })),
        ["3.1: 3 missed: the node is down"]
    );
    let start = Action::Process {
        node,
        op: ProcessOp::Start,
    };
    scene.command(3.2, Command::Apply(start));
    assert_eq!(scene.applied(3.2, APPLY_TAG_MIN), ["follow 3 (1)"]);
    assert_eq!(scene.up(3.4, node, 1), ["3.4: 3 up"]);
}

#[test]
fn a_network_may_stay_up_and_its_workload_never_end() {
    let each_second = (1..).map(|second| mine(f64::from(second), A));
    let mut scene = scene_with(
        |plan| plan.phases.truncate(1),
        |setup| {
            setup.end = None;
            setup.workload = Box::new(each_second);
        },
    );
    for second in 1..500 {
        let missed = format!("{second}: 0 missed: the node is down");
        assert_eq!(scene.time(f64::from(second)), [missed]);
    }
    assert!(!scene.0.is_over());
}

#[test]
fn the_end_waits_for_every_account() {
    let mut scene = scene_with(b_restarts, |setup| setup.measures_usage = true);
    scene.up(0.5, A, 1);
    scene.up(0.5, C, 1);
    scene.time(60.0);
    // Those of the two borders.
    for _ in 0..4 {
        scene.see(60.1, Observation::Accounted);
    }
    assert_eq!(
        scene.time(90.0),
        ["measure 0+1+2", "count", "ask 0+2 for state"]
    );
    let counters = Observation::Counters { nodes: Vec::new() };
    assert_eq!(scene.see(90.1, counters), ["90.1: traffic"]);
    for node in [A, B, C] {
        let usage = NodeUsage::default();
        scene.see(90.1, Observation::Usage { node, usage });
    }
    for node in [A, C] {
        let state = LedgerState {
            tip: tip("new"),
            muhash: None,
        };
        assert!(!scene.0.is_over());
        let ledger = Observation::Recorded(What::Ledger { node, state });
        assert_eq!(scene.see(90.2, ledger), ["90.2: ledger"]);
        scene.see(90.2, Observation::Accounted);
    }
    assert!(scene.0.is_over());
    scene.0.finish(secs(90.3), true);
    assert_eq!(scene.told(), ["90.3: interrupted"]);
}

#[test]
fn who_does_not_answer_holds_the_end_up_for_a_bounded_time() {
    let mut scene = scene_with(|_| {}, |setup| setup.measures_usage = true);
    scene.up(0.5, A, 1);
    scene.time(90.0);
    assert_eq!(
        scene.0.accounted(),
        Some((0, 3)),
        "with those of the borders"
    );
    let by_usage = scene.0.deadline();
    scene.at(by_usage.as_secs_f64(), Input::Timer);
    assert!(!scene.0.is_over());
    let by_account = scene.0.deadline();
    assert!(by_account > by_usage);
    scene.at(by_account.as_secs_f64(), Input::Timer);
    assert!(scene.0.is_over());
}
