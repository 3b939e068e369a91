//! The shipped experiments of a size for tests, and what each must come to: the same on every
//! engine.

use std::path::Path;
use std::process::{Command, Stdio};

/// Experiments by their names in `topologies/`, with the checks that must fail.
const SHIPPED: [(&str, &[&str]); 5] = [
    ("quickstart", &[]),
    ("p2p-graph", &[]),
    ("client-server", &["converged", "same_ledger"]),
    ("negative/bandwidth-budget", &["bandwidth"]),
    (
        "negative/partition-never-heals",
        &["converged", "same_ledger"],
    ),
];

/// Likewise those that the simulator refuses: their nodes are asked in other ways than by RPC.
const SHIPPED_FOR_REAL_NODES: [(&str, &[&str]); 3] = [
    ("any-program", &[]),
    ("exec-probe", &[]),
    ("negative/values-never-agree", &["agree"]),
];

/// Runs all of them at once on an engine, and fails unless each gives its verdict.
pub fn each_gives_its_verdict(engine: &str) {
    let for_real_nodes = if engine == "sim" {
        &[][..]
    } else {
        &SHIPPED_FOR_REAL_NODES
    };
    let shipped = || SHIPPED.iter().chain(for_real_nodes);
    let topologies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies");
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<_> = shipped()
        .map(|(name, _)| {
            Command::new(env!("CARGO_BIN_EXE_peerlab"))
                .args(["run", "--engine", engine, "--out", &name.replace('/', "-")])
                .arg(topologies.join(format!("{name}.yaml")))
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (run, (name, failing)) in runs.into_iter().zip(shipped()) {
        let output = run.wait_with_output().unwrap();
        let said = format!(
            "{name} on {engine}:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let report = folder
            .path()
            .join(name.replace('/', "-"))
            .join("report.json");
        let report = std::fs::read(report).unwrap_or_else(|error| panic!("{error}: {said}"));
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let verdicts = report["verdicts"].as_array().unwrap();
        assert!(!verdicts.is_empty(), "{said}");
        let failed: Vec<&str> = verdicts
            .iter()
            .filter(|verdict| verdict["status"] != "held")
            .filter_map(|verdict| verdict["check"].as_str())
            .collect();
        assert_eq!(failed, *failing, "{said}");
        // A host that is too busy makes it inconclusive, though the checks say the same.
        let code = i32::from(!failing.is_empty());
        assert!(
            [Some(code), Some(4)].contains(&output.status.code()),
            "{said}"
        );
    }
}
