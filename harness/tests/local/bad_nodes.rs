//! Experiments with nodes that misbehave: nobody else's blocks and payments are held up by them, and
//! the verdict says what they did.

use std::path::Path;
use std::process::{Command, Output};

use peerlab::disk::EventReader;
use peerlab_core::event::What;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Work;
use peerlab_link::NodeId;

use crate::command::run;
use crate::foreign_image::{RUN_CONFIG, save_image};

/// An image with the program of a file beside this one.
pub fn save_program(source: &str, file: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/local");
    let source = beside.join(source);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(rustc)
        .args(["--edition=2024", "-Ctarget-feature=+crt-static"])
        .args([
            "-Crelocation-model=static",
            "-Cpanic=abort",
            "-Cstrip=symbols",
        ])
        .arg("-o")
        .args([&program, &source])
        .status()
        .unwrap();
    assert!(compiled.success());
    save_image(&std::fs::read(program).unwrap(), file, RUN_CONFIG);
}

/// Runs three miners and a group `bad`, of which all that the file says follows its count.
fn run_with(bad: &str, settle: u32, expect: &str) -> (tempfile::TempDir, Output) {
    let folder = tempfile::tempdir().unwrap();
    save_program("bad_node.rs", &folder.path().join("bad.tar"));
    let text = format!(
        "name: bad-nodes\nseed: 1\nphases: {{ warmup: 4s, settle: {settle}s }}\n\
         nodes:\n  ours: {{ count: 3, hashpower: 1 }}\n  \
         bad: {{ count: 1, image: 'oci:bad.tar', {bad} }}\n\
         network: {{ latency: 5ms, discovery: {{ graph: complete }} }}\n\
         ledger: {{ block_interval: 500ms, transactions: 2/s }}\n\
         expect: {expect}\n"
    );
    std::fs::write(folder.path().join("small.yaml"), text).unwrap();
    let output = run(folder.path()).output().unwrap();
    (folder, output)
}

/// The events of a run.
fn events(folder: &Path) -> Vec<What> {
    let reader = EventReader::open(&folder.join("run/events.jsonl")).unwrap();
    reader.map(|event| event.unwrap().what).collect()
}

/// What the plan has its nodes do.
fn planned(folder: &Path) -> Vec<Work> {
    let text = std::fs::read_to_string(folder.join("run/plan.json")).unwrap();
    let plan = Plan::parse("plan.json", &text).unwrap();
    plan.workload
        .into_iter()
        .map(|action| action.work)
        .collect()
}

/// The node of the group `bad`.
const BAD: NodeId = NodeId(3);

#[test]
fn a_node_that_invents_blocks_and_answers_nothing_keeps_nobody_from_mining() {
    let (folder, output) = run_with(
        "command: [invents], hashpower: 1",
        10,
        "[{ nodes_up: { min: 1 } }]",
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{errors}");
    let mut blocks = 0;
    let mut missed = 0;
    let mut payments = 0;
    for what in events(folder.path()) {
        match what {
            What::Block(block) => {
                assert!(block.miner.is_some_and(|miner| miner != BAD), "{block:?}");
                blocks += 1;
            }
            What::MineMissed { node, reason } => {
                assert_eq!(node, BAD, "{reason}");
                assert!(reason.to_string().starts_with("no answer"), "{reason}");
                missed += 1;
            }
            What::Transaction { node, refused, .. } => {
                assert_eq!(refused.is_some(), node == BAD, "{refused:?}");
                payments += 1;
            }
            _ => {}
        }
    }
    let planned = planned(folder.path());
    let mines = planned
        .iter()
        .filter(|work| matches!(work, Work::Mine { .. }));
    assert_eq!(blocks + missed, mines.clone().count());
    assert_eq!(payments, planned.len() - mines.count());
    assert!(blocks > 3 && missed > 3, "{blocks} mined, {missed} missed");
}

/// Fails unless the terminal, the page and JUnit's file say all of this.
fn reports_say(folder: &Path, output: &Output, words: &[&str]) {
    // Of the terminal with its lines joined.
    let terminal = String::from_utf8_lossy(&output.stdout);
    let terminal = terminal.split_whitespace().collect::<Vec<_>>().join(" ");
    let read = |name| std::fs::read_to_string(folder.join("run").join(name)).unwrap();
    let texts = [terminal, read("report.html"), read("junit.xml")];
    for word in words {
        for text in &texts {
            assert!(text.contains(word), "{word} is not in {text}");
        }
    }
    assert!(texts.iter().all(|text| !text.contains('\u{1b}')));
}

#[test]
fn what_a_node_refuses_is_told_in_its_own_words() {
    let expect = "[{ same_ledger: { at: end } }]";
    let (folder, output) = run_with("command: [foreign], hashpower: 9", 8, expect);
    let words = [
        "Invalid \\u{1b}[2J address (code -5)",
        "TX decode failed (code -22)",
        "bad-0 (muhash is not a valid hash_type (code -8)) did not tell the ledger state at the end",
    ];
    reports_say(folder.path(), &output, &words);
}

#[test]
fn why_a_node_does_not_answer_is_told() {
    let expect = "[{ nodes_up: { min: 4 } }]";
    let (folder, output) = run_with("command: [locked], hashpower: 9", 8, expect);
    let words = [
        "meant to be up but down: bad-0 (HTTP 401 Unauthorized)",
        "missed (the node has not answered yet: HTTP 401 Unauthorized)",
    ];
    reports_say(folder.path(), &output, &words);
}

/// A run that is far too long for the test to wait for its end.
const LONG: u32 = 3_600;

/// Fails unless a run with such a node ends with an error that says all of this.
fn ends_early(bad: &str, words: &[&str]) -> tempfile::TempDir {
    let (folder, output) = run_with(bad, LONG, "[{ nodes_up: { min: 1 } }]");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word} is not in {errors}");
    }
    folder
}

#[test]
fn a_program_that_ends_before_it_answers_ends_the_run_early() {
    let words = [
        "bad-0 never became ready",
        "its program exited with code 7 before it had ever answered",
        "the end of its log:\nreading \\u{1b}[31msettings\nno such option: -frobnicate\n",
    ];
    let folder = ends_early("command: [ends]", &words);
    let log = std::fs::read_to_string(folder.path().join("run/logs/bad-0.log")).unwrap();
    assert!(log.ends_with("no such option: -frobnicate\n"), "{log}");
    // It did not come to its end.
    let ended = |what: &What| matches!(what, What::Ended { .. });
    assert!(!events(folder.path()).iter().any(ended));
}

#[test]
fn a_node_that_never_becomes_ready_ends_the_run_early() {
    let words = [
        "bad-0 never became ready",
        "did not answer within 2 s of its start: HTTP 401 Unauthorized",
        "`ready: 5m`",
    ];
    ends_early("command: [locked], ready: 2s", &words);
}
