//! `--format github`, by the command itself, in virtual time: what a job of GitHub Actions is told, and
//! that neither verdict nor exit code change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Of seeds 1 to 6 only the second has a reorganisation as deep as is expected of none (see `run_sets`).
/// The line of that expectation is the eleventh.
const EXPERIMENT: &str = include_str!("experiments/sides.yaml");
const UNLUCKY: &str = "2";

/// A repository with the experiment in a folder of it.
fn repository() -> tempfile::TempDir {
    let repository = tempfile::tempdir().unwrap();
    fs::create_dir(repository.path().join("tests")).unwrap();
    fs::write(repository.path().join("tests/sides.yaml"), EXPERIMENT).unwrap();
    repository
}

/// A step of a job that works in the repository's folder `tests`.
fn peerlab(repository: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peerlab"))
        .current_dir(repository.join("tests"))
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("CARGO_PKG_NAME")
        .env("GITHUB_WORKSPACE", repository)
        .env("GITHUB_STEP_SUMMARY", repository.join("summary.md"))
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines that speak to the job.
fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter(|line| line.trim_start().starts_with("::"))
        .collect()
}

fn summary(repository: &Path) -> String {
    fs::read_to_string(repository.join("summary.md")).unwrap_or_default()
}

#[test]
fn a_failed_expectation_is_annotated_at_its_line() {
    let repository = repository();
    let run = ["run", "sides.yaml", "--engine", "sim", "--seed", UNLUCKY];
    let plain = peerlab(repository.path(), &[&run[..], &["--out", "a"]].concat());
    assert_eq!(summary(repository.path()), "", "nobody asked for it");
    assert!(commands(&stdout(&plain)).is_empty());
    let github = ["--out", "b", "--format", "github"];
    let output = peerlab(repository.path(), &[&run[..], &github].concat());
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let commands = commands(&said);
    assert_eq!(commands.len(), 1, "{said}");
    assert!(
        commands[0].starts_with(
            "::error file=tests/sides.yaml,line=11,col=5,endColumn=16,title=Peerlab%3A deepest \
             reorganisation%2C blocks (<= 2)::deepest reorganisation, blocks: "
        ),
        "{said}"
    );
    // For people it is the same but for the folder.
    let people = said.replace(commands[0], "").replace("b/", "a/");
    let people = people.trim_end().replace("replay b", "replay a");
    assert_eq!(people, stdout(&plain).trim_end());
    let page = summary(repository.path());
    assert!(page.starts_with("## Peerlab: FAILED sides\n"), "{page}");
    assert!(page.contains("| FAILED | deepest"), "{page}");
    assert!(page.contains("    peerlab replay b\n"), "{page}");
}

#[test]
fn what_holds_has_a_page_and_no_annotation() {
    let repository = repository();
    let output = peerlab(
        repository.path(),
        &["run", "sides.yaml", "--engine", "sim", "--format", "github"],
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(commands(&stdout(&output)).is_empty());
    let page = summary(repository.path());
    assert!(page.starts_with("## Peerlab: PASSED sides\n"), "{page}");
}

#[test]
fn a_set_is_annotated_once_for_each_expectation_and_pages_follow_each_other() {
    let repository = repository();
    let run = ["run", "sides.yaml", "--engine", "sim", "--seeds", "3"];
    let output = peerlab(
        repository.path(),
        &[&run[..], &["--format", "github", "--out", "set"]].concat(),
    );
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let commands = commands(&said);
    assert_eq!(commands.len(), 1, "{said}");
    assert!(commands[0].contains("line=11,"), "{said}");
    assert!(
        commands[0].contains("::in 1 of 3 runs: seed-2%0A"),
        "{said}"
    );

    let compare = ["compare", "set/seed-1", "set/seed-2", "--within", "0"];
    let output = peerlab(
        repository.path(),
        &[&compare[..], &["--format", "github"]].concat(),
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("::error title=Peerlab%3A block propagation p50 further"));
    let page = summary(repository.path());
    let titles: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("## "))
        .collect();
    assert_eq!(
        titles,
        ["## Peerlab: FAILED sides", "## Peerlab: comparison"],
        "{page}"
    );
}

#[test]
fn what_exploring_finds_is_annotated() {
    let repository = repository();
    // A ledger without a block after the partition heals never agrees.
    let text = EXPERIMENT
        .replace(
            "reorg_depth: { max: 2 }",
            "converged: { within: 1s, of: settle }",
        )
        .replace("for: 6s, partition", "until: never, partition");
    fs::write(repository.path().join("tests/sides.yaml"), text).unwrap();
    let explore = ["explore", "sides.yaml", "--seeds", "2", "--no-shrink"];
    let output = peerlab(
        repository.path(),
        &[&explore[..], &["--format", "github", "--out", "found"]].concat(),
    );
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let commands = commands(&said);
    assert_eq!(commands.len(), 1, "{said}");
    assert!(
        commands[0].starts_with("::error file=tests/sides.yaml,line=11,"),
        "{said}"
    );
    assert!(
        commands[0].contains("::in 2 of 2 seeds, as in seed 1: "),
        "{said}"
    );
    let page = summary(repository.path());
    assert!(page.starts_with("## Peerlab: explore sides\n"), "{page}");
}

#[test]
fn a_mistake_in_the_file_is_annotated_where_it_is() {
    let repository = repository();
    let text = EXPERIMENT.replace("reorg_depth", "reorg_dept");
    fs::write(repository.path().join("tests/sides.yaml"), text).unwrap();
    let output = peerlab(
        repository.path(),
        &["run", "sides.yaml", "--format", "github"],
    );
    assert_eq!(output.status.code(), Some(2));
    let said = stdout(&output);
    assert!(
        said.starts_with("::error file=tests/sides.yaml,line=11,"),
        "{said}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("Error: unknown key"));
    assert!(summary(repository.path()).starts_with("## Peerlab: unknown key"));
}

#[test]
fn a_summary_that_cannot_be_written_changes_no_verdict() {
    let repository = repository();
    fs::create_dir(repository.path().join("summary.md")).unwrap();
    let output = peerlab(
        repository.path(),
        &["run", "sides.yaml", "--engine", "sim", "--format", "github"],
    );
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("the summary of the job cannot be written"),
        "{errors}"
    );
}
