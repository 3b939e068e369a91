//! What the conductor does, told in the language of `story.rs`.

use peerlab_link::NodeId;
use peerlab_link::proto::{NodeCounters, NodeUsage, ProcessOp};

use super::story::{
    A, B, C, Scene, b_restarts, facts, mine, names, process, scene, scene_up, scene_with, tip,
};
use super::{Input, Observation, Said};
use crate::check::story::{Story, secs};
use crate::event::{LedgerState, What};
use crate::ledger::{Payment, Premined};
use crate::plan::spec::{Node, Work, WorkloadAction};

#[test]
fn a_block_is_mined_and_those_who_have_it_follow_it_in_the_record() {
    let mut scene = scene_up(|plan| plan.workload = vec![mine(3.0, A)]);
    assert_eq!(scene.time(2.9), [""; 0]);
    assert_eq!(scene.time(3.0), ["mine at 0"]);
    assert_eq!(scene.tip(3.1, B, 1, "new"), ["ask 1 about new"]);
    let blocks = vec![facts("new", "base")];
    let told = Observation::Blocks {
        node: B,
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
    let blocks = [1.0, 3.0, 4.0, 6.0].map(|t| mine(t, A)).to_vec();
    let mut scene = scene(|plan| plan.workload = blocks);
    let silent = "0 missed: the node has not answered yet";
    assert_eq!(scene.time(1.0), [format!("1: {silent}")]);
    scene.see(
        2.0,
        Observation::Unready {
            node: A,
            incarnation: 1,
            reason: "HTTP 401 Unauthorized".into(),
        },
    );
    assert_eq!(
        scene.time(3.0),
        [format!("3: {silent}: HTTP 401 Unauthorized")]
    );
    scene.up(3.5, A, 1);
    assert_eq!(scene.time(4.0), ["mine at 0"]);
    let mined = Observation::Mined {
        node: A,
        result: Err("no answer".into()),
    };
    assert_eq!(scene.see(5.0, mined), ["5: 0 missed: no answer"]);
    let exited = Input::Exited {
        node: A,
        status: 1,
        asked: false,
    };
    scene.at(5.5, exited);
    assert_eq!(
        scene.time(6.0),
        ["6: 0 missed: the node is down: exited with code 1"]
    );
}

#[test]
fn every_workload_action_that_did_not_happen_is_recorded_with_the_reason() {
    let pay = |at, node| WorkloadAction {
        at: secs(at),
        work: Work::Transaction {
            node,
            output: 0,
            variant: 0,
        },
    };
    let mut scene = scene_up(|plan| {
        plan.workload = vec![
            mine(3.0, A),
            mine(4.0, A),
            mine(5.0, B),
            pay(6.0, A),
            pay(7.0, A),
            pay(8.0, B),
        ];
    });
    assert_eq!(scene.time(8.0).len(), 6, "all of them are ordered");
    let mined = |node, result: Result<&str, &str>| Observation::Mined {
        node,
        result: result.map(str::to_owned).map_err(str::to_owned),
    };
    scene.see(8.1, mined(B, Ok("new")));
    assert_eq!(
        scene.see(8.2, mined(A, Err("no address"))),
        ["8.2: 0 missed: no address"]
    );
    let premined = Premined::mine(3);
    let txid = Payment::new(&premined, 0, 0).unwrap().id;
    let submitted = |node, result: Result<(), &str>| Observation::Submitted {
        node,
        txid: txid.clone(),
        double_spend: None,
        result: result.map_err(str::to_owned),
    };
    assert_eq!(
        scene.see(8.3, submitted(B, Ok(()))),
        ["8.3: transaction at 1"]
    );
    assert_eq!(
        scene.see(8.4, submitted(A, Err("too poor"))),
        ["8.4: transaction at 0 refused: too poor"]
    );
    scene.0.finish(secs(9.0), Some(false));
    let never = "no answer before the run ended";
    assert_eq!(
        scene.told(),
        [
            format!("9: 0 missed: {never}"),
            format!("9: transaction at 0 refused: {never}"),
            "9: ended".into(),
        ]
    );
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
            "3: transaction at 2 refused: the node has not answered yet"
        ]
    );
}

#[test]
fn what_is_seen_of_a_former_incarnation_counts_for_nothing() {
    let mut scene = scene_up(b_restarts);
    assert_eq!(
        scene.applied(5.0, 0),
        ["leave 1", "5: line 0 done", "5: 1 down by replace"]
    );
    assert_eq!(scene.tip(5.1, B, 1, "new"), [""; 0]);
    assert_eq!(scene.applied(8.0, 1), ["follow 1 (2)", "8: line 1 done"]);
    assert_eq!(scene.up(8.0, B, 1), [""; 0]);
    assert_eq!(scene.up(8.3, B, 2), ["8.3: 1 up"]);
    assert_eq!(scene.up(8.4, B, 2), [""; 0]);
    assert_eq!(scene.tip(8.5, B, 2, "new"), ["ask 1 about new"]);
    let says = |incarnation| Observation::Said {
        node: B,
        incarnation,
        said: Said::Value("new".into()),
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
    assert_eq!(scene.applied(5.0, 0), ["5: line 0 done"]);
    scene.applied(8.0, 1);
    scene.up(8.3, B, 2);
    assert_eq!(
        scene.at(9.0, exited(false)),
        ["leave 1", "9: 1 down by itself"]
    );
    assert_eq!(scene.0.telling(), [B]);
}

#[test]
fn a_line_that_had_no_effect_changes_nothing_and_is_recorded() {
    let mut scene = scene_up(b_restarts);
    let failed = Input::Applied {
        tag: 0,
        result: Err("no such process".into()),
    };
    assert_eq!(
        scene.at(5.0, failed),
        ["5: line 0 without effect: no such process"]
    );
}

#[test]
fn of_a_new_node_it_is_recorded_how_much_it_had_received_when_it_answered() {
    let mut scene = scene_up(|plan| {
        b_restarts(plan);
        plan.fault_schedule
            .insert(1, process(8.0, B, ProcessOp::Wipe));
    });
    let counted = |received| {
        let mut nodes = vec![NodeCounters::default(); 3];
        nodes[1].rx_bytes = received;
        Observation::Counters { nodes }
    };
    // The reading at the start comes first.
    assert_eq!(scene.see(0.6, counted(900)), ["0.6: traffic"]);
    let down = ["leave 1", "count", "5: line 0 done", "5: 1 down by replace"];
    assert_eq!(scene.applied(5.0, 0), down);
    assert_eq!(
        scene.see(5.1, counted(1_000)),
        [""; 0],
        "no line of its own"
    );
    assert_eq!(scene.applied(8.0, 1), ["8: line 1 done"]);
    assert_eq!(scene.applied(8.0, 2), ["follow 1 (2)", "8: line 2 done"]);
    assert_eq!(scene.up(8.3, B, 2), ["count", "8.3: 1 up"]);
    assert_eq!(
        scene.see(8.4, counted(1_700)),
        ["8.3: 1 is new, with 700 bytes"]
    );
}

#[test]
fn a_restart_with_its_disk_is_no_new_node() {
    let mut scene = scene_up(|plan| {
        b_restarts(plan);
        plan.fault_schedule.push(process(9.0, B, ProcessOp::Wipe));
    });
    scene.applied(5.0, 0);
    scene.applied(8.0, 1);
    assert_eq!(scene.up(8.3, B, 2), ["8.3: 1 up"]);
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
    assert_eq!(scene.applied(8.0, 1), ["8: line 1 done"]);
}

/// The error that a run is given up with, in one line.
fn given_up(scene: &mut Scene) -> Option<String> {
    let (node, error) = scene.0.never_ready()?;
    let report = &error.reports[0];
    Some(format!(
        "{node}: {}: {}",
        report.what,
        report.causes.join(", ")
    ))
}

#[test]
fn a_program_that_ends_before_it_ever_answered_ends_the_run() {
    let exited = |node, asked| Input::Exited {
        node,
        status: 1,
        asked,
    };
    let mut scene = scene(b_restarts);
    scene.up(0.5, A, 1);
    // Later it is the network's own doing, and so is what somebody asked for.
    scene.at(1.0, exited(A, false));
    scene.at(5.0, exited(B, true));
    scene.applied(8.0, 1);
    scene.at(8.1, exited(B, false));
    assert_eq!(given_up(&mut scene), None);
    scene.at(8.2, exited(C, false));
    assert_eq!(
        given_up(&mut scene).unwrap(),
        "2: peers-2 never became ready: its program exited with code 1 before it had ever answered"
    );
    assert_eq!(given_up(&mut scene), None, "told once");
}

#[test]
fn a_node_that_does_not_answer_in_time_ends_the_run() {
    let mut scene = scene(|plan| {
        b_restarts(plan);
        plan.groups[0].ready = Some(secs(10.0));
    });
    scene.see(
        1.0,
        Observation::Unready {
            node: A,
            incarnation: 1,
            reason: "HTTP 401 Unauthorized".into(),
        },
    );
    // In its second incarnation B may take its time.
    scene.applied(5.0, 0);
    scene.applied(8.0, 1);
    scene.time(9.9);
    assert_eq!(given_up(&mut scene), None);
    scene.time(10.0);
    assert_eq!(
        given_up(&mut scene).unwrap(),
        "0: peers-0 and peers-2 never became ready: peers-0 did not answer within 10 s of its start: \
         HTTP 401 Unauthorized"
    );
}

#[test]
fn who_has_answered_in_time_may_fall_silent_later() {
    let mut scene = scene_up(|plan| plan.groups[0].ready = Some(secs(10.0)));
    scene.time(50.0);
    assert_eq!(given_up(&mut scene), None);
}

#[test]
fn many_nodes_may_take_longer_than_few() {
    let plan = |nodes| Story::of(nodes).plan;
    let bound = |nodes| super::readiness::bound(&plan(nodes), A);
    assert_eq!(bound(10), Some(secs(61.0)));
    assert_eq!(bound(1_000), Some(secs(160.0)));
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
        let missed = format!("{second}: 0 missed: the node has not answered yet");
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
    // Those that were asked for at the start, and those of the end.
    for node in [A, B, C, A, B, C] {
        assert!(!scene.0.is_over());
        let usage = NodeUsage::default();
        scene.see(90.1, Observation::Usage { node, usage });
    }
    for node in [A, C] {
        let state = LedgerState {
            tip: tip("new"),
            digest: None,
        };
        assert!(!scene.0.is_over());
        let ledger = Observation::Recorded(What::Ledger { node, state });
        assert_eq!(scene.see(90.2, ledger), ["90.2: ledger"]);
        scene.see(90.2, Observation::Accounted);
    }
    assert!(scene.0.is_over());
    scene.0.finish(secs(90.3), Some(true));
    assert_eq!(
        scene.told(),
        ["90.3: unanswered", "90.3: interrupted"],
        "B has never answered"
    );
}

#[test]
fn nodes_are_measured_in_their_turn() {
    let mut scene = scene_with(
        |plan| {
            let node = plan.nodes[0].clone();
            let id = |id| Node {
                id: NodeId(id),
                ..node.clone()
            };
            plan.nodes = (0..30).map(id).collect();
        },
        |setup| {
            setup.measures_usage = true;
            setup.count_interval = secs(1.0);
        },
    );
    // At the start the first 20 were.
    let reason = "its container died".to_owned();
    let node = NodeId(25);
    scene.at(0.5, Input::Lost { node, reason });
    let measure = |nodes: &mut dyn Iterator<Item = u32>| {
        format!("measure {}", names(&nodes.map(NodeId).collect::<Vec<_>>()))
    };
    let second = measure(&mut (20..25).chain(26..30).chain(0..11));
    assert_eq!(scene.time(1.0), ["count".to_owned(), second]);
    let third = measure(&mut (11..25).chain(26..30).chain(0..2));
    assert_eq!(scene.time(2.0), ["count".to_owned(), third]);
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
