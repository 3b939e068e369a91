//! `peerlab baseline save` and `check`, by the command itself, in virtual time: the file, the exit codes,
//! and what is refused. How well it tells worse from chance is `ci/baseline-bars`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const EXPERIMENT: &str = "
name: clique
seed: 1
phases: { warmup: 8s, settle: 6s }
nodes: { peers: { count: 4, hashpower: 1 } }
network: { latency: 2ms, discovery: { graph: complete } }
ledger: { block_interval: 1s, transactions: 5/s }
expect: [{ nodes_up: { min: 100% } }]
";

/// A folder with the experiment, and sets of runs in it: before, an equal one after, and a slow one.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("clique.yaml"), EXPERIMENT).unwrap();
    for (set, seed, count, more) in [
        ("before", "1", "12", &[][..]),
        ("equal", "101", "8", &[]),
        ("slow", "201", "8", &["--block-work", "400"]),
    ] {
        let run = ["run", "clique.yaml", "--engine", "sim", "--seed", seed];
        let set = ["--seeds", count, "--out", set];
        let output = peerlab(folder.path(), &[&run[..], &set, more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    folder
}

fn peerlab(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peerlab"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .env("GITHUB_STEP_SUMMARY", folder.join("summary.md"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_is_worse_fails_with_its_name_and_an_equal_network_passes() {
    let folder = folder();
    let peerlab = |arguments: &[&str]| peerlab(folder.path(), arguments);
    let saved = peerlab(&["baseline", "save", "main", "before"]);
    assert_eq!(
        text(&saved.stdout),
        "baselines/main.json: 12 runs of clique\n"
    );
    let again = peerlab(&["baseline", "save", "main", "equal"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--replace"));
    // A set may be named by its runs as well, and what is named twice counts once.
    let by_runs = ["baseline", "save", "twice.json", "before", "before/seed-1"];
    assert!(text(&peerlab(&by_runs).stdout).starts_with("twice.json: 12 runs"));
    let file = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(file("twice.json"), file("baselines/main.json"));

    let equal = peerlab(&["baseline", "check", "main", "equal"]);
    let said = text(&equal.stdout);
    assert_eq!(equal.status.code(), Some(0), "{said}");
    assert!(said.starts_with("\n PASSED  clique\n"), "{said}");
    assert!(said.contains("8 runs against 12 | sim | 4 nodes"), "{said}");

    let check = ["baseline", "check", "main", "slow", "--format", "github"];
    let slow = peerlab(&check);
    let said = text(&slow.stdout);
    assert_eq!(slow.status.code(), Some(1), "{said}");
    assert!(said.starts_with("\n FAILED  clique\n"), "{said}");
    assert!(
        said.contains("\n  WORSE   block propagation p50 "),
        "{said}"
    );
    assert!(
        said.contains(
            "::error title=Peerlab%3A block propagation p50 is worse than the baseline::"
        ),
        "{said}"
    );
    let page = fs::read_to_string(folder.path().join("summary.md")).unwrap();
    assert!(
        page.starts_with("## Peerlab: FAILED clique against"),
        "{page}"
    );

    let json = peerlab(&["baseline", "check", "main", "slow", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["outcome"], "failed");
    assert_eq!(json["figures"][0]["is_worse"], true);

    // Getting better is no alarm.
    peerlab(&["baseline", "save", "slow.json", "slow"]);
    let better = peerlab(&["baseline", "check", "slow.json", "before"]);
    assert_eq!(better.status.code(), Some(0), "{}", text(&better.stdout));
}

#[test]
fn what_says_nothing_is_refused() {
    let folder = folder();
    let peerlab = |arguments: &[&str]| peerlab(folder.path(), arguments);
    peerlab(&["baseline", "save", "main", "before"]);
    fs::write(folder.path().join("broken.json"), "{}").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let other = EXPERIMENT.replace("count: 4", "count: 5");
    fs::write(folder.path().join("other.yaml"), other).unwrap();
    let run = ["run", "other.yaml", "--engine", "sim", "--out", "other"];
    assert!(peerlab(&run).status.success());
    let refused: [(&[&str], &str); 6] = [
        (&["main", "equal/seed-101"], "too few runs"),
        (&["main", "other"], "nodes: one has 4, the other 5"),
        (&["main", "empty"], "no run in empty"),
        (&["none", "equal"], "cannot read baselines/none.json"),
        (&["broken.json", "equal"], "broken.json is not a baseline"),
        (&["main", "equal", "--false-alarms", "0"], "above 0"),
    ];
    for (arguments, said) in refused {
        let output = peerlab(&[&["baseline", "check"], arguments].concat());
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
}
