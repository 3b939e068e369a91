//! Stories of nodes that join and leave by hand. The language is that of `story.rs`.

use peerlab_link::NodeId;
use peerlab_link::proto::APPLY_TAG_MIN;

use super::story::{A, B, Scene, scene_up, scene_with};
use super::{Command, Input, Setup};
use crate::check::story::secs;
use crate::event::Joined;
use crate::experiment::{Down, FaultKind, Launch, Peers};
use crate::plan::spec::Work;

/// The one that joins three.
const D: NodeId = NodeId(3);

fn joins(scene: &mut Scene, t: f64) -> Vec<String> {
    comes(scene, t, false)
}

fn comes(scene: &mut Scene, t: f64, guest: bool) -> Vec<String> {
    let joined = Joined {
        node: D,
        name: "peers-3".into(),
        group: 0,
        peers: Peers::Bootstrap(vec![A]),
        args: Vec::new(),
        launch: Launch::default(),
        link: crate::check::story::Story::of(4).plan.network.nodes[3].clone(),
        guest,
    };
    scene.command(t, Command::Join(vec![joined]))
}

fn is_there(scene: &mut Scene, t: f64, result: Result<(), String>) -> Vec<String> {
    scene.at(t, Input::Joined { node: D, result })
}

fn is_removed(scene: &mut Scene, t: f64, node: NodeId) -> Vec<String> {
    let result = Ok(());
    scene.at(t, Input::Removed { node, result })
}

fn lost(scene: &mut Scene, t: f64, node: NodeId) -> Vec<String> {
    let reason = "its gate ended".to_owned();
    scene.at(t, Input::Lost { node, reason })
}

#[test]
fn a_node_joins_and_is_started_once_it_is_there() {
    let mut scene = scene_up(|_| {});
    assert_eq!(joins(&mut scene, 3.0), ["join 3", "3: 3 joined"]);
    assert_eq!(
        scene.command(3.1, Command::Act(vec![Work::Mine { node: D }])),
        [
            "3.1: 3 missed: the node is down",
            "request 2 done: 3: the node is down"
        ]
    );
    assert_eq!(
        scene.command(3.1, Command::Remove(vec![D])),
        ["request 3 done: 3: it is being added"]
    );
    assert_eq!(
        is_there(&mut scene, 3.2, Ok(())),
        ["apply 0", "3.2: line 0: start 3"]
    );
    assert_eq!(
        scene.applied(3.3, APPLY_TAG_MIN),
        ["follow 3 (1)", "3.3: line 0 done", "request 1 done: "]
    );
    assert_eq!(scene.up(3.4, D, 1), ["3.4: 3 up"]);
    // It is one like the others from then on.
    let kind = FaultKind::Down {
        nodes: vec![D],
        how: Down::Kill,
    };
    let told = scene.command(5.0, Command::Fault { kind, lasts: None });
    assert_eq!(told[1], "5: fault 0 by hand: kill of peers-3");
}

#[test]
fn a_node_that_cannot_join_is_told_and_has_left() {
    let mut scene = scene_up(|_| {});
    joins(&mut scene, 3.0);
    assert_eq!(
        is_there(&mut scene, 3.2, Err("no memory".into())),
        ["remove 3", "3.2: 3 left", "request 1 done: 3: no memory"]
    );
    assert_eq!(
        is_there(&mut scene, 9.0, Ok(())),
        [""; 0],
        "that is too late"
    );
    assert_eq!(
        scene.command(10.0, Command::Start(vec![D])),
        ["request 2 done: 3: it was removed"]
    );
}

#[test]
fn a_node_is_removed_once_its_program_has_stopped_and_its_end_is_no_loss() {
    let mut scene = scene_up(|_| {});
    assert_eq!(
        scene.command(3.0, Command::Remove(vec![B])),
        ["apply 0", "3: 1 left", "3: line 0: stop 1"]
    );
    assert_eq!(
        scene.command(3.1, Command::Remove(vec![B])),
        ["request 2 done: 1: it was removed"]
    );
    assert_eq!(
        scene.applied(3.2, APPLY_TAG_MIN),
        [
            "leave 1",
            "remove 1",
            "3.2: line 0 done",
            "3.2: 1 down by stop"
        ]
    );
    assert_eq!(lost(&mut scene, 3.3, B), [""; 0]);
    assert_eq!(is_removed(&mut scene, 3.4, B), ["request 1 done: "]);
    assert_eq!(lost(&mut scene, 3.5, B), [""; 0]);
    assert_eq!(
        scene.command(4.0, Command::Start(vec![B])),
        ["request 3 done: 1: it was removed"]
    );
    assert_eq!(scene.0.telling(), [NodeId(0); 0]);
}

#[test]
fn what_held_a_removed_node_down_does_not_bring_it_back() {
    let mut scene = scene_up(|_| {});
    let fault = |how, nodes: &[NodeId]| Command::Fault {
        kind: FaultKind::Down {
            nodes: nodes.to_vec(),
            how,
        },
        lasts: Some(secs(10.0)),
    };
    scene.command(2.0, fault(Down::Freeze, &[A, B]));
    scene.applied(2.0, APPLY_TAG_MIN);
    scene.applied(2.0, APPLY_TAG_MIN + 1);
    let slow = FaultKind::Slow {
        nodes: vec![B],
        cpu_millis: 100,
    };
    let lasts = None;
    scene.command(2.5, Command::Fault { kind: slow, lasts });
    scene.applied(2.5, APPLY_TAG_MIN + 2);
    assert_eq!(
        scene.command(3.0, Command::Remove(vec![B])),
        ["apply 3", "3: 1 left", "3: line 3: kill 1"],
        "it stands still, and cannot stop"
    );
    assert_eq!(
        scene.applied(3.1, APPLY_TAG_MIN + 3),
        ["remove 1", "3.1: line 3 done"]
    );
    is_removed(&mut scene, 3.2, B);
    assert_eq!(
        scene.command(4.0, Command::Heal { all: false }),
        ["4: fault 1 ended", "request 4 done: fault 1"]
    );
    assert_eq!(
        scene.time(12.0),
        ["apply 4", "12: line 4: thaw 0", "12: fault 0 ended"]
    );
}

#[test]
fn a_program_of_the_host_is_never_started_and_leaves_when_it_ends() {
    let mut scene = scene_up(|_| {});
    assert_eq!(comes(&mut scene, 3.0, true), ["join 3", "3: 3 joined"]);
    assert_eq!(is_there(&mut scene, 3.2, Ok(())), ["request 1 done: "]);
    assert_eq!(lost(&mut scene, 9.0, D), ["9: 3 left"]);
    assert_eq!(lost(&mut scene, 9.1, D), [""; 0]);
    assert_eq!(scene.0.telling(), [NodeId(0); 0]);
}

#[test]
fn nothing_is_done_to_a_node_that_is_not_there_yet_or_not_any_more_and_that_is_told() {
    let mut scene = scene_up(|_| {});
    joins(&mut scene, 3.0);
    let kill = |nodes: &[NodeId]| Command::Fault {
        kind: FaultKind::Down {
            nodes: nodes.to_vec(),
            how: Down::Kill,
        },
        lasts: None,
    };
    assert_eq!(
        scene.command(3.1, kill(&[D])),
        ["request 2 done: 3: it is being added"]
    );
    let told = scene.command(3.2, kill(&[A, D]));
    assert_eq!(told[1], "3.2: fault 0 by hand: kill of peers-0");
    is_there(&mut scene, 3.3, Err("no memory".into()));
    assert_eq!(
        scene.command(3.4, kill(&[D])),
        ["request 4 done: 3: it was removed"]
    );
}

#[test]
fn a_node_is_measured_once_it_is_there_and_a_program_of_the_host_never() {
    let measured_each_second = |setup: &mut Setup<'_>| {
        setup.measures_usage = true;
        setup.count_interval = secs(1.0);
    };
    let mut scene = scene_with(|_| {}, measured_each_second);
    joins(&mut scene, 0.5);
    let measured = |told: Vec<String>| told.into_iter().find(|it| it.starts_with("measure"));
    assert_eq!(measured(scene.time(1.0)).unwrap(), "measure 0+1+2");
    is_there(&mut scene, 1.1, Ok(()));
    assert_eq!(measured(scene.time(2.0)).unwrap(), "measure 3+0+1+2");

    let mut scene = scene_with(|_| {}, measured_each_second);
    comes(&mut scene, 0.5, true);
    is_there(&mut scene, 0.6, Ok(()));
    assert_eq!(measured(scene.time(1.0)).unwrap(), "measure 0+1+2");
}
