//! Whole runs on a real engine: what their records say, and that they do not disturb each other.

use std::collections::BTreeMap;
use std::process::Command;

use crate::running::Running;
use crate::support::{Engine, UNDISTURBED, every_expectation_held, small};
use peerlab::disk::EventReader;
use peerlab_core::event::What;
use peerlab_link::NodeId;
use peerlab_link::proto::{NodeCounters, NodeUsage};

#[test]
fn shipped_experiments_give_their_verdicts() {
    crate::shipped::each_gives_its_verdict("docker");
}

#[test]
fn two_runs_side_by_side_do_not_disturb_each_other() {
    let engine = Engine::new();
    let mut runs = [Running::start(&small()), Running::start(&small())];
    for run in &mut runs {
        let status = run.wait();
        assert!(UNDISTURBED.contains(&status.code()), "{}", run.said);
        assert_eq!(engine.containers(&run.run), Vec::<String>::new());
        every_expectation_held(run);
    }
    assert_ne!(runs[0].run, runs[1].run);
}

#[test]
fn bytes_reported_agree_with_the_kernels_own_counters() {
    let mut run = Running::start(&small());
    let status = run.wait();
    assert!(UNDISTURBED.contains(&status.code()), "{}", run.said);
    let mut usages: BTreeMap<NodeId, NodeUsage> = BTreeMap::new();
    let mut last: Vec<NodeCounters> = Vec::new();
    for event in EventReader::open(&run.record("events.jsonl")).unwrap() {
        match event.unwrap().what {
            What::Usage { node, usage } => drop(usages.insert(node, usage)),
            What::Traffic { nodes } => last = nodes,
            _ => {}
        }
    }
    assert_eq!(usages.len(), 4, "every node is up at the end");
    for (node, kernel) in usages {
        let ours = &last[node.index()];
        for (what, ours, kernel) in [
            ("sent", ours.device_tx_bytes, kernel.tx_bytes),
            ("received", ours.device_rx_bytes, kernel.rx_bytes),
        ] {
            assert!(kernel > 10_000, "node {node} {what} only {kernel} bytes");
            let difference = ours.abs_diff(kernel) as f64 / kernel as f64;
            assert!(
                difference <= 0.01,
                "node {node} {what}: {ours} by the fabric, {kernel} by the kernel"
            );
        }
    }
}

#[test]
fn a_node_that_never_becomes_ready_ends_the_run_early() {
    let small = std::fs::read_to_string(small()).unwrap();
    // Far too long for the test to wait for its end.
    let long = small.replace("settle: 7s", "settle: 1h");
    let folder = tempfile::tempdir().unwrap();
    for (peers, words) in [
        (
            "command: ['-frobnicate=1']",
            [
                "its program exited with code",
                "the end of its log:",
                "frobnicate",
            ],
        ),
        (
            "probe: bitcoin-rpc(port 9), ready: 2s",
            ["peers-0 and peers-1", "within 2 s", "Connection refused"],
        ),
    ] {
        let peers = format!("peers: {{ count: 2, {peers} }}");
        let file = folder.path().join("unready.yaml");
        std::fs::write(&file, long.replace("peers: { count: 2 }", &peers)).unwrap();
        let mut run = Running::start(&file);
        assert_eq!(run.wait().code(), Some(3), "{}", run.said);
        assert!(run.said.contains("never became ready"), "{}", run.said);
        for word in words {
            assert!(run.said.contains(word), "{word} is not in {}", run.said);
        }
        assert_eq!(Engine::new().containers(&run.run), Vec::<String>::new());
    }
}

#[test]
fn without_an_engine_the_error_says_what_to_do() {
    let peerlab = |host: &str| {
        Command::new(assert_cmd::cargo::cargo_bin("peerlab"))
            .args(["run", "--engine", "docker"])
            .arg(small())
            .env("DOCKER_HOST", host)
            .current_dir(std::env::temp_dir())
            .output()
            .unwrap()
    };
    for host in ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"] {
        let output = peerlab(host);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(
            text.starts_with("Error: no Docker Engine answers at"),
            "{text}"
        );
        assert!(text.contains(host) && text.contains("Hint: "), "{text}");
    }
}
