//! What faults do to nodes in virtual time.

use peerlab_core::check::Outcome;
use peerlab_core::event::What;
use peerlab_core::plan::Plan;
use peerlab_link::Nanos;
use peerlab_link::proto::DropReason;

use crate::simulation::{Run, plan_of_text, shipped};

/// A network of eight nodes, with faults and expectations.
fn story(network: &str, faults: &str) -> Run {
    let text = format!(
        "name: story\nseed: 5\nphases: {{ warmup: 10s, faults: 30s, settle: 30s }}\n\
         nodes:\n  miners: {{ count: 2, hashpower: 1 }}\n  peers: {{ count: 6 }}\n\
         network: {{ latency: 30ms, {network} }}\n\
         ledger: {{ block_interval: 2s, transactions: 1/s }}\n\
         faults:\n{faults}\n\
         expect:\n  - converged: {{ within: 25s, of: settle }}\n  - same_ledger: {{ at: end }}\n  \
         - nodes_up: {{ min: 100% }}\n"
    );
    Run::of(plan_of_text(&text), 1)
}

fn heals(faults: &str) -> Run {
    let run = story("discovery: { mode: pure, bootstrap: 2 }", faults);
    let judgement = run.judged();
    assert_eq!(
        judgement.outcome,
        Outcome::Passed,
        "{faults}: {judgement:#?}"
    );
    run
}

#[test]
fn a_node_that_goes_in_any_way_comes_back_and_catches_up() {
    for how in ["kill", "stop", "vanish", "freeze", "replace"] {
        let run = heals(&format!("  - {{ at: 12s, for: 15s, {how}: peers-1 }}"));
        let gone = run.node("peers-1");
        let down = run.times(|what| matches!(what, What::NodeDown { node, .. } if *node == gone));
        assert_eq!(down, [12.0], "{how}");
        let up = run.times(|what| matches!(what, What::NodeUp { node } if *node == gone));
        assert_eq!(up.len(), 2, "{how}: {up:?}");
        assert!((27.0..27.2).contains(&up[1]), "{how}: {up:?}");
        let while_gone = run.times(|what| matches!(what, What::Tip { node, .. } if *node == gone));
        let quiet = while_gone.iter().all(|t| !(12.01..27.0).contains(t));
        assert!(quiet, "{how}: {while_gone:?}");
    }
}

#[test]
fn both_sides_of_a_partition_grow_until_it_heals() {
    let run = heals("  - { at: 12s, for: 20s, partition: [[miners-0, peers 0-2], [rest]] }");
    let judgement = run.judged();
    let story = &judgement.figures.partitions[0];
    assert_eq!(story.branches, 2);
    assert!(story.depth >= 1);
    assert!(story.agreed_after_ns.is_some());
    let dropped = judgement.figures.drops.get("partition").copied();
    assert!(dropped.is_some_and(|packets| packets > 0));
}

#[test]
fn a_miner_that_is_down_mines_nothing() {
    let run = heals("  - { at: 12s, for: 20s, kill: miners-0 }");
    let miner = run.node("miners-0");
    let missed = run.times(|what| matches!(what, What::MineMissed { node, .. } if *node == miner));
    assert!(!missed.is_empty());
    assert!(
        missed.iter().all(|t| (12.0..32.1).contains(t)),
        "{missed:?}"
    );
}

#[test]
fn a_slow_node_hears_of_blocks_later_and_misses_none() {
    let run = heals("  - { at: 12s, for: 20s, slow: { nodes: peers-1, cpu: 2% } }");
    let slow = run.node("peers-1");
    // From a block's birth to the node's tip, mean over those that were born while it was slow.
    let blocks: Vec<(String, f64)> = run
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Block(block) => Some((block.tip.hash.clone(), event.t.as_secs_f64())),
            _ => None,
        })
        .filter(|(_, born)| (12.0..31.0).contains(born))
        .collect();
    assert!(blocks.len() >= 3, "{blocks:?}");
    let delay = |wanted| {
        let delays: Vec<f64> = blocks
            .iter()
            .filter_map(|(hash, born)| {
                let tips = |what: &What| matches!(what, What::Tip { node, tip } if *node == wanted && tip.hash == *hash);
                run.times(tips).first().map(|at| at - born)
            })
            .collect();
        delays.iter().sum::<f64>() / delays.len() as f64
    };
    let (slow, other) = (delay(slow), delay(run.node("peers-2")));
    assert!(slow > other + 0.04, "{slow} against {other}");
    assert!(
        run.times(|what| matches!(what, What::FaultBegan { .. } | What::FaultEnded { .. }))
            == [12.0, 32.0]
    );
}

#[test]
fn lossy_and_thin_links_slow_a_network_down_and_do_not_stop_it() {
    let run =
        heals("  - { at: 12s, for: 20s, shape: { nodes: all, loss: 10%, rate: 200 kbit/s } }");
    let judgement = run.judged();
    let lost = judgement.figures.drops.get("loss").copied().unwrap_or(0);
    assert!(lost > 50, "{lost}");
    let last = run.events.iter().rev().find_map(|event| match &event.what {
        What::Traffic { nodes } => Some(nodes.clone()),
        _ => None,
    });
    for node in last.unwrap() {
        assert!(node.drops[DropReason::Loss as usize] > 0);
        assert!(node.tx_bytes > 0 && node.rx_bytes > 0);
    }
}

#[test]
fn a_healed_thin_link_is_not_clogged_by_what_it_could_not_carry() {
    // Some sixty times what the thin node can receive is sent to it.
    let text = "name: thin\nseed: 3\nphases: { warmup: 10s, faults: 20s, settle: 40s }\n\
         nodes:\n  peers: { count: 8, hashpower: 1 }\n  thin: { count: 1 }\n\
         network: { latency: 20ms, discovery: { graph: complete } }\n\
         ledger: { block_interval: 2s, transactions: 40/s }\n\
         faults:\n  - { at: 10s, for: 20s, shape: { nodes: [thin-0], rate: 20 kbit/s } }\n\
         expect:\n  - converged: { within: 10s, of: settle }\n  - same_ledger: { at: end }\n";
    let judgement = Run::of(plan_of_text(text), 1).judged();
    assert_eq!(judgement.outcome, Outcome::Passed, "{judgement:#?}");
}

#[test]
fn what_is_sent_and_not_dropped_is_delivered() {
    let run = heals("  - { at: 12s, for: 10s, kill: peers-3 }");
    let last = run.events.iter().rev().find_map(|event| match &event.what {
        What::Traffic { nodes } => Some(nodes.clone()),
        _ => None,
    });
    let nodes = last.unwrap();
    let sent: u64 = nodes.iter().map(|n| n.tx_packets).sum();
    let came: u64 = nodes.iter().map(|n| n.rx_packets).sum();
    let dropped: u64 = nodes.iter().flat_map(|n| n.drops).sum();
    let under_way = sent - came - dropped;
    assert!(
        under_way < 50,
        "{under_way} of {sent} packets are under way at the end"
    );
}

#[test]
fn what_is_not_simulated_is_refused() {
    let cases = [
        ("image: 'other:1'", "the simulator runs our own node only"),
        (
            "probe: exec(/bin/cat /data/value)",
            "the simulator runs none",
        ),
    ];
    for (key, refusal) in cases {
        let text = format!(
            "name: story\nphases: {{ warmup: 5s, settle: 10s }}\n\
             nodes: {{ peers: {{ count: 2, {key} }} }}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("other.yaml");
        std::fs::write(&file, text).unwrap();
        let output = assert_cmd::Command::cargo_bin("peerlab")
            .unwrap()
            .args(["run", "--engine", "sim"])
            .arg(&file)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(refusal), "{said}");
        assert!(said.contains("--engine docker"), "{said}");
    }
}

/// Blocks that reach sixty nodes of one place at the same time.
const NEIGHBOURS: &str = "name: neighbours
phases: { warmup: 60s, settle: 20s }
nodes: { peers: { count: 60 } }
network: { latency: 10ms, discovery: { graph: random-regular(degree 8) } }
ledger: { blocks: [{ at: 30s, by: peers-0 }, { at: 40s, by: peers-0 }, { at: 50s, by: peers-0 }] }
expect: [{ converged: { within: 5s, of: settle } }]
";

fn last_to_hear(plan: Plan, threads: usize) -> f64 {
    let judged = Run::of(plan, threads).judged();
    assert_eq!(judged.outcome, Outcome::Passed);
    let reached = judged.figures.propagation[0].p99_ns;
    reached.expect("blocks spread").as_secs_f64()
}

#[test]
fn programs_that_share_cpus_pass_a_block_on_later() {
    let own = plan_of_text(NEIGHBOURS);
    let shared = |cpus| Plan {
        cpus: Some(cpus),
        ..own.clone()
    };
    let alone = last_to_hear(own.clone(), 1);
    let two = last_to_hear(shared(2), 1);
    let one = last_to_hear(shared(1), 1);
    assert!(alone < two && two < one, "{alone} {two} {one}");
    let fast = Plan {
        message_work: Some(Nanos::from_millis(0)),
        ..shared(1)
    };
    let fast = last_to_hear(fast, 1);
    assert!(fast < one, "{fast} {one}");
    // Who shares a CPU cannot be told apart by threads either.
    assert_eq!(Run::of(shared(2), 1).trace(), Run::of(shared(2), 4).trace());
}

#[test]
fn real_nodes_have_the_cpus_of_their_machine() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_peerlab"))
        .args(["run", "--engine", "local", "--cpus", "2"])
        .arg(shipped("quickstart"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--engine sim"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_dial_whose_answer_was_lost_is_given_up_when_the_other_program_ends() {
    let text = "name: story\nseed: 5\nphases: { warmup: 10s, faults: 10s, settle: 30s }\n\
         nodes:\n  dialler: { count: 1, hashpower: 1 }\n  listener: { count: 1, hashpower: 1 }\n\
         network: { latency: 30ms, discovery: { edges: [[dialler-0, listener-0]] } }\n\
         ledger: { block_interval: 2s }\n\
         faults:\n  - { at: 12s, for: 2s, kill: dialler-0 }\n  \
         - { at: 13s, for: 2500ms, partition: [[listener-0], [dialler-0]], one_way: true }\n  \
         - { at: 16s, for: 1s, stop: listener-0 }\n\
         expect:\n  - converged: { within: 15s, of: settle }\n";
    let judgement = Run::of(plan_of_text(text), 1).judged();
    assert_eq!(judgement.outcome, Outcome::Passed, "{judgement:#?}");
}

#[test]
fn a_node_that_is_not_ready_in_time_ends_the_run_as_with_real_nodes() {
    let mut plan = plan_of_text(&QUIET.replace("TIME", "1s"));
    assert!(Run::try_of(plan.clone(), 1).is_ok());
    // A program takes longer to load.
    plan.groups[0].ready = Some(Nanos::from_millis(10));
    let Err(error) = Run::try_of(plan, 1) else {
        panic!("the run went on");
    };
    assert_eq!(error.kind.exit_code(), 3);
    let said = error.render();
    assert!(
        said.contains("peers-0 and peers-1 never became ready"),
        "{said}"
    );
    assert!(said.contains("within 10 ms"), "{said}");
}

/// Two nodes that do nothing.
const QUIET: &str = "name: quiet
phases: { warmup: 10s, settle: 10s }
nodes: { peers: { count: 2, ready: TIME } }
network: { latency: 30ms, discovery: { graph: complete } }
";
