//! Whole runs on a real engine: what their records say, and that they do not disturb each other.

use std::process::Command;

use crate::support::{Engine, Running, small};
use peerlab::disk::EventReader;
use peerlab_core::event::What;
use peerlab_link::NodeId;
use peerlab_link::proto::{NodeCounters, NodeUsage};

/// Exit codes of a run that nothing disturbed: all held, or the host was too busy to tell.
const UNDISTURBED: [Option<i32>; 2] = [Some(0), Some(4)];

/// Fails unless every expectation of the run's report held.
fn every_expectation_held(run: &Running) {
    let text = std::fs::read(run.record("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let verdicts = report["verdicts"].as_array().unwrap();
    assert!(!verdicts.is_empty());
    for verdict in verdicts {
        assert_eq!(verdict["status"], "held", "{verdict:#}");
    }
}

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
    let mut usages: Vec<(NodeId, NodeUsage)> = Vec::new();
    let mut last: Vec<NodeCounters> = Vec::new();
    for event in EventReader::open(&run.record("events.jsonl")).unwrap() {
        match event.unwrap().what {
            What::Usage { node, usage } => usages.push((node, usage)),
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
