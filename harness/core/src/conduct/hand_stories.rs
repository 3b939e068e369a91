//! Stories of what is done to a network by hand: commands, the orders that they come to, and what the
//! record says of them. The language is that of `story.rs`.

use peerlab_link::proto::APPLY_TAG_MIN;
use peerlab_link::{Nanos, NodeId};

use super::story::{A, B, C, Scene, scene_up, scene_with};
use super::{Command, Input, Observation};
use crate::check::story::secs;
use crate::experiment::{Down, FaultKind};
use crate::plan::spec::{Work, WorkloadAction};

fn down(how: Down, nodes: &[NodeId]) -> Command {
    down_for(how, nodes, None)
}

fn down_for(how: Down, nodes: &[NodeId], lasts: Option<Nanos>) -> Command {
    let nodes = nodes.to_vec();
    let kind = FaultKind::Down { nodes, how };
    Command::Fault { kind, lasts }
}

fn partition() -> Command {
    let kind = FaultKind::Partition {
        sides: vec![vec![A], vec![B, C]],
        one_way: false,
    };
    Command::Fault { kind, lasts: None }
}

/// The order of this number is carried out.
fn carried_out(scene: &mut Scene, t: f64, number: u32) -> Vec<String> {
    scene.applied(t, APPLY_TAG_MIN + number)
}

#[test]
fn a_partition_by_hand_begins_and_heals_as_a_planned_one_does() {
    let mut scene = scene_up(|_| {});
    assert_eq!(
        scene.command(3.0, partition()),
        [
            "apply 0",
            "3: fault 0 by hand: partition of 1 | 2 nodes",
            "3: line 0: partition"
        ]
    );
    assert_eq!(
        carried_out(&mut scene, 3.1, 0),
        [
            "3.1: line 0 done",
            "3.1: fault 0 began",
            "request 1 done: fault 0"
        ]
    );
    assert_eq!(
        scene.command(9.0, Command::Heal { all: false }),
        ["apply 1", "9: line 1: heal"]
    );
    assert_eq!(
        carried_out(&mut scene, 9.1, 1),
        [
            "9.1: line 1 done",
            "9.1: fault 0 ended",
            "request 2 done: fault 0"
        ]
    );
    // There is nothing left to heal.
    assert_eq!(
        scene.command(10.0, Command::Heal { all: true }),
        ["request 3 done: "]
    );
}

#[test]
fn a_fault_by_hand_ends_by_itself_where_that_was_said() {
    let mut scene = scene_up(|_| {});
    assert_eq!(
        scene.command(3.0, down_for(Down::Freeze, &[B], Some(secs(4.0)))),
        [
            "apply 0",
            "3: fault 0 by hand: freeze of peers-1",
            "3: fault 0 began",
            "3: line 0: freeze 1"
        ]
    );
    assert_eq!(
        carried_out(&mut scene, 3.0, 0),
        [
            "leave 1",
            "3: line 0 done",
            "3: 1 down by freeze",
            "request 1 done: fault 0"
        ]
    );
    assert_eq!(scene.time(6.9), [""; 0]);
    assert_eq!(
        scene.time(7.0),
        ["apply 1", "7: line 1: thaw 1", "7: fault 0 ended"]
    );
    assert_eq!(
        carried_out(&mut scene, 7.0, 1),
        ["follow 1 (2)", "7: line 1 done"]
    );
}

#[test]
fn a_node_that_vanishes_by_hand_is_silent_before_it_dies_and_reachable_before_it_starts() {
    let mut scene = scene_up(|_| {});
    scene.command(3.0, down(Down::Vanish, &[C]));
    assert_eq!(
        carried_out(&mut scene, 3.0, 0),
        ["leave 2", "3: line 0 done", "3: 2 down by vanish"],
        "the request waits for the kill"
    );
    assert_eq!(scene.time(3.1), ["apply 1", "3.1: line 1: kill 2"]);
    assert_eq!(
        carried_out(&mut scene, 3.1, 1),
        ["3.1: line 1 done", "request 1 done: fault 0"]
    );
    assert_eq!(
        scene.command(8.0, Command::Start(vec![C])),
        [
            "apply 2",
            "apply 3",
            "8: line 2: unsilence",
            "8: line 3: start 2",
            "8: fault 0 ended"
        ]
    );
    carried_out(&mut scene, 8.0, 2);
    assert_eq!(
        carried_out(&mut scene, 8.0, 3),
        ["follow 2 (2)", "8: line 3 done", "request 2 done: "]
    );
}

#[test]
fn a_node_returns_when_the_last_fault_by_hand_lets_it_go() {
    let mut scene = scene_up(|_| {});
    scene.command(3.0, down_for(Down::Kill, &[B], Some(secs(4.0))));
    carried_out(&mut scene, 3.0, 0);
    assert_eq!(
        scene.command(5.0, down_for(Down::Freeze, &[B, C], Some(secs(5.0)))),
        [
            "apply 1",
            "5: fault 1 by hand: freeze of peers-1, peers-2",
            "5: fault 1 began",
            "5: line 1: freeze 2"
        ],
        "B is down already"
    );
    carried_out(&mut scene, 5.0, 1);
    assert_eq!(scene.time(7.0), ["7: fault 0 ended"]);
    assert_eq!(
        scene.time(10.0),
        [
            "apply 2",
            "apply 3",
            "10: line 2: start 1",
            "10: line 3: thaw 2",
            "10: fault 1 ended"
        ]
    );
}

#[test]
fn starting_some_of_the_nodes_leaves_the_fault_in_force_for_the_others() {
    let mut scene = scene_up(|_| {});
    scene.command(3.0, down(Down::Kill, &[B, C]));
    carried_out(&mut scene, 3.0, 0);
    carried_out(&mut scene, 3.0, 1);
    assert_eq!(
        scene.command(5.0, Command::Start(vec![A, B])),
        ["apply 2", "5: line 2: start 1"]
    );
    assert_eq!(
        carried_out(&mut scene, 5.0, 2),
        [
            "follow 1 (2)",
            "5: line 2 done",
            "request 2 done: 0: it is up"
        ]
    );
    assert_eq!(
        scene.command(6.0, Command::Start(vec![C])),
        ["apply 3", "6: line 3: start 2", "6: fault 0 ended"]
    );
}

#[test]
fn a_node_that_is_let_go_at_once_is_given_the_time_to_go_down_first() {
    let mut scene = scene_up(|_| {});
    scene.command(3.0, down(Down::Replace, &[A]));
    carried_out(&mut scene, 3.0, 0);
    assert_eq!(scene.command(3.1, Command::Start(vec![A])), [""; 0]);
    assert_eq!(
        scene.time(3.5),
        [
            "apply 1",
            "apply 2",
            "3.5: line 1: wipe 0",
            "3.5: line 2: start 0",
            "3.5: fault 0 ended"
        ]
    );
    carried_out(&mut scene, 3.6, 1);
    assert_eq!(
        carried_out(&mut scene, 3.6, 2),
        ["follow 0 (2)", "3.6: line 2 done", "request 2 done: "]
    );
}

#[test]
fn a_slowing_by_hand_lasts_until_it_is_healed_and_nodes_that_are_down_stay_so() {
    let mut scene = scene_up(|_| {});
    scene.command(2.0, down(Down::Stop, &[C]));
    let kind = FaultKind::Slow {
        nodes: vec![A],
        cpu_millis: 100,
    };
    let told = scene.command(3.0, Command::Fault { kind, lasts: None });
    assert_eq!(told[0], "apply 1");
    let told = scene.command(5.0, Command::Heal { all: false });
    assert_eq!(
        told,
        [
            "apply 2",
            "5: line 2: unslow { id: 1 } 0",
            "5: fault 1 ended"
        ]
    );
    let told = scene.command(6.0, Command::Heal { all: true });
    assert_eq!(
        told,
        [
            "apply 3",
            "apply 4",
            "6: line 3: kill 2",
            "6: line 4: start 2",
            "6: fault 0 ended"
        ]
    );
}

#[test]
fn a_block_by_hand_is_answered_with_its_hash() {
    let mut scene = scene_up(|_| {});
    let two = vec![Work::Mine { node: A }, Work::Mine { node: A }];
    assert_eq!(
        scene.command(3.0, Command::Act(two)),
        ["mine at 0", "mine at 0"]
    );
    let mined = |result: Result<String, String>| Observation::Mined { node: A, result };
    scene.see(3.1, mined(Ok("one".into())));
    let told = scene.see(3.2, mined(Err("no disk left".into())));
    assert_eq!(
        told.last().unwrap(),
        "request 1 done: block one, 0: no disk left"
    );
}

#[test]
fn a_network_that_stays_ends_when_somebody_says_so() {
    let mut scene = scene_with(|plan| plan.phases.truncate(1), |setup| setup.end = None);
    scene.up(0.5, A, 1);
    scene.command(200.0, partition());
    scene.command(300.0, Command::Finish);
    let told = scene.time(300.0);
    assert!(told.contains(&"ask 0 for state".to_owned()), "{told:?}");
    assert_eq!(scene.0.accounted(), Some((0, 1)));
    scene.0.finish(secs(301.0), Some(false));
    let told = scene.told();
    assert!(
        told.contains(&"request 1 done: fault 0, no answer before the run ended".to_owned()),
        "{told:?}"
    );
}

#[test]
fn a_network_that_stays_after_its_run_does_what_it_is_asked_and_nothing_of_the_plan() {
    let mut scene = scene_with(
        |plan| plan.ledger.outputs = 3,
        |setup| {
            let mine = |at| WorkloadAction {
                at: secs(at),
                work: Work::Mine { node: A },
            };
            setup.workload = Box::new([mine(300.0)].into_iter());
        },
    );
    for node in [A, B, C] {
        scene.up(0.5, node, 1);
    }
    scene.time(120.0);
    assert!(scene.0.accounted().is_some());
    scene.0.finish(secs(120.0), Some(false));
    scene.told();
    scene.0.stay(secs(1_000.0));
    assert!(!scene.0.is_over() && scene.0.accounted().is_none());
    assert_eq!(scene.time(400.0), ["count"]);
    assert_eq!(scene.command(401.0, partition())[0], "apply 0");
    carried_out(&mut scene, 401.1, 0);
    assert_eq!(
        scene.command(402.0, Command::Act(vec![Work::Mine { node: A }])),
        ["mine at 0"]
    );
    scene.command(403.0, Command::Finish);
    let told = scene.time(403.0);
    assert!(told.iter().any(|it| it.ends_with(" for state")), "{told:?}");
    for _ in 0..3 {
        scene.see(403.1, Observation::Accounted);
    }
    assert!(!scene.0.is_over());
    scene.see(403.2, Observation::Counters { nodes: Vec::new() });
    assert!(scene.0.is_over());
}

#[test]
fn an_order_by_hand_that_had_no_effect_changes_nothing_and_is_told() {
    let mut scene = scene_up(|_| {});
    scene.command(3.0, down(Down::Kill, &[C]));
    let failed = Input::Applied {
        tag: APPLY_TAG_MIN,
        result: Err("no such process".into()),
    };
    assert_eq!(
        scene.at(3.1, failed),
        [
            "3.1: line 0 without effect: no such process",
            "request 1 done: fault 0, 2: no such process"
        ]
    );
    assert_eq!(carried_out(&mut scene, 3.2, 0), [""; 0], "it is done with");
}

#[test]
fn a_node_that_never_answered_does_not_end_a_network_that_stays_after_its_run() {
    let mut scene = scene_with(
        |plan| plan.groups[0].ready = Some(secs(200.0)),
        |setup| setup.workload = Box::new(std::iter::empty()),
    );
    for node in [A, B] {
        scene.up(0.5, node, 1);
    }
    scene.time(120.0);
    scene.0.finish(secs(120.0), Some(false));
    scene.told();
    scene.0.stay(secs(1_000.0));
    scene.time(400.0);
    assert!(scene.0.never_ready().is_none());
    let exit = Input::Exited {
        node: C,
        status: 1,
        asked: false,
    };
    scene.at(401.0, exit);
    assert!(scene.0.never_ready().is_none());
}
