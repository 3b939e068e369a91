//! `peerlab run --seeds` and `--runs`, by the command itself, in virtual time: the records, the summary,
//! the exit code, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../gate/tests/shared/processes.rs"]
mod processes;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use processes::signal;

/// Two sides mine by themselves for a while, and it depends on the seed which chain is longer, and by
/// how much: of seeds 1 to 6 only [`UNLUCKY`] has a reorganisation as deep as is expected of none.
const EXPERIMENT: &str = include_str!("experiments/sides.yaml");
const UNLUCKY: u64 = 2;

/// A folder with the experiment in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sides.yaml"), EXPERIMENT).unwrap();
    folder
}

fn peerlab(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerlab"));
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        // These tell how the reader called it.
        .env_remove("CARGO_PKG_NAME");
    command
}

/// A set in `folder/set`, of the simulator.
fn set(folder: &Path, arguments: &[&str]) -> Output {
    let always = ["run", "sides.yaml", "--engine", "sim", "--out", "set"];
    let mut command = peerlab(folder, &always);
    command.args(arguments).output().unwrap()
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("set").join(name)).unwrap()
}

fn summary(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&read(folder, "summary.json")).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn seeds_that_all_hold_are_one_passed_set_with_a_record_each() {
    let folder = folder();
    let first = (UNLUCKY + 1).to_string();
    let output = set(folder.path(), &["--seed", &first, "--seeds", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    for (number, seed) in (1..=3).zip(UNLUCKY + 1..) {
        let line = format!("{number} of 3: seed-");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
        assert!(said.contains(&format!("seed-{seed} PASSED")), "{said}");
        let run = folder.path().join(format!("set/seed-{seed}"));
        for file in [
            "topology.yaml",
            "plan.json",
            "events.jsonl",
            "report.json",
            "junit.xml",
        ] {
            assert!(run.join(file).is_file(), "{seed}: {file}");
        }
    }
    // Nothing else is said: no line of a phase, no table of one run.
    assert_eq!(said.lines().count(), 3, "{said}");
    let summary = summary(folder.path());
    assert_eq!(summary["outcome"], "passed");
    assert_eq!(summary["planned"], 3);
    assert_eq!(summary["runs"][0]["run"]["seed"], UNLUCKY + 1);
    // The same seeds by themselves give the same records.
    let alone = [
        "run",
        "sides.yaml",
        "--engine",
        "sim",
        "--seed",
        &first,
        "--out",
        "alone",
    ];
    assert!(peerlab(folder.path(), &alone).status().unwrap().success());
    let events = |run: PathBuf| fs::read(folder.path().join(run).join("events.jsonl")).unwrap();
    assert_eq!(
        events("alone".into()),
        events(format!("set/seed-{first}").into())
    );
}

#[test]
fn a_seed_that_fails_turns_the_set_red_and_is_named_with_the_command_that_shows_it() {
    let folder = folder();
    let output = set(folder.path(), &["--seeds", "6"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("\n FAILED  sides\n"), "{said}");
    assert!(
        said.contains("6 runs, seeds 1 to 6 | sim | 4 nodes | 5 passed, 1 failed, 0 inconclusive"),
        "{said}"
    );
    assert!(
        said.contains(&format!("\n  seed-{UNLUCKY} FAILED\n")),
        "{said}"
    );
    let alone = format!("peerlab run sides.yaml --seed {UNLUCKY} --engine sim\n");
    assert!(said.contains(&alone), "{said}");
    let junit = read(folder.path(), "junit.xml");
    assert!(junit.contains(r#"failures="1" errors="0""#), "{junit}");
    assert!(
        junit.contains(&format!(r#"name="seed-{UNLUCKY}: deepest reorganisation"#)),
        "{junit}"
    );
    // Six are enough for an interval.
    let figures = summary(folder.path())["figures"].clone();
    let blocks = &figures.as_array().unwrap()[0];
    assert_eq!(
        (&blocks["what"], &blocks["runs"]),
        (&"blocks mined".into(), &6.into())
    );
    assert_eq!(
        blocks["interval"],
        serde_json::json!([blocks["least"], blocks["greatest"]])
    );

    // And again from the records: the same, but for the command, which is the record's.
    fs::remove_file(folder.path().join("set/summary.html")).unwrap();
    let report = peerlab(folder.path(), &["report", "set"]).output().unwrap();
    assert_eq!(report.status.code(), Some(1));
    let replay = format!("peerlab replay set/seed-{UNLUCKY} --engine sim\n");
    assert_eq!(text(&report.stdout), said.replace(&alone, &replay));
    assert!(read(folder.path(), "summary.html").contains("seed-6/report.html"));
    let json = peerlab(folder.path(), &["report", "set", "--json", "--dry-run"])
        .output()
        .unwrap();
    assert_eq!(text(&json.stdout), read(folder.path(), "summary.json"));
}

#[test]
fn an_interrupt_ends_the_set_and_what_was_done_is_summed_up() {
    let folder = folder();
    let always = [
        "run",
        "sides.yaml",
        "--engine",
        "sim",
        "--out",
        "set",
        "--seeds",
        "1000",
    ];
    let mut command = peerlab(folder.path(), &always);
    let mut running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("1 of 1000: seed-1 "), "{first}");
    signal(running.id(), "INT");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let output = running.wait_with_output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    assert!(
        rest.contains(&"Error: interrupted; everything was removed".to_owned()),
        "{rest:?}"
    );
    let summary = summary(folder.path());
    let made = summary["runs"].as_array().unwrap().len();
    assert!((1..1000).contains(&made), "{made}");
    assert!(
        said.contains(&format!("{made} of 1,000 runs were made")),
        "{said}"
    );
    // Nor does the record pass for a whole set later.
    let report = peerlab(folder.path(), &["report", "set"]).output().unwrap();
    assert!(text(&report.stdout).contains("of 1,000 runs were made"));
    assert_ne!(report.status.code(), Some(0));
}

#[test]
fn what_makes_no_set_is_refused_before_anything_is_started() {
    let folder = folder();
    fs::write(
        folder.path().join("plain.yaml"),
        EXPERIMENT.replace("sides", "plain"),
    )
    .unwrap();
    let plan = peerlab(folder.path(), &["plan", "sides.yaml"])
        .output()
        .unwrap();
    fs::write(folder.path().join("plan.json"), plan.stdout).unwrap();
    let greatest = u64::MAX.to_string();
    let refused: [(&[&str], &str); 7] = [
        (&["sides.yaml", "--seeds", "0"], "1..=1000"),
        (&["sides.yaml", "--runs", "0"], "1..=1000"),
        (&["sides.yaml", "--seeds", "1001"], "1..=1000"),
        (
            &["sides.yaml", "--seeds", "2", "--runs", "2"],
            "cannot be used with",
        ),
        (
            &["sides.yaml", "--runs", "2"],
            "the simulator makes the same run of a seed every time",
        ),
        (
            &["plan.json", "--seeds", "2"],
            "a seed cannot change a plan",
        ),
        (
            &["sides.yaml", "--seeds", "2", "--seed", &greatest],
            "there are no 2 seeds from",
        ),
    ];
    for (arguments, said) in refused {
        let mut command = peerlab(folder.path(), &["run", "--engine", "sim"]);
        let output = command.args(arguments).output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    assert!(!folder.path().join("runs").exists());

    // Nor do runs of several experiments, or none, come to anything together.
    for (name, out) in [("sides", "mixed/a"), ("plain", "mixed/b")] {
        let file = format!("{name}.yaml");
        let arguments = ["run", &file, "--engine", "sim", "--out", out];
        peerlab(folder.path(), &arguments).status().unwrap();
    }
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (set, said) in [
        ("mixed", "the runs in mixed are of several experiments"),
        ("empty", "no run in empty"),
        ("nowhere", "nowhere"),
    ] {
        let report = peerlab(folder.path(), &["report", set]).output().unwrap();
        assert_eq!(report.status.code(), Some(2), "{set}");
        assert!(
            text(&report.stderr).contains(said),
            "{}",
            text(&report.stderr)
        );
    }
}
