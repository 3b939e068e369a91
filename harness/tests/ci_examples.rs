//! The examples in `ci/examples/`: they are what such a system takes, say what the README says, and their
//! shell steps are run as they stand, in virtual time, with the archive that `ci/release` makes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_yaml::{Mapping, Value};

const EXPERIMENT: &str = "name: network
seed: 1
phases: { warmup: 8s, faults: 2s, settle: 8s }
nodes: { peers: { count: 4, hashpower: 1 } }
network: { latency: 2ms, discovery: { graph: complete } }
ledger: { block_interval: 1s }
expect:
  - nodes_up: { min: 100% }
  - converged: { within: 4s, of: settle, hold: 1s }
";
/// An expectation of the experiment, and what cannot be in its place.
const IMPOSSIBLE: (&str, &str) = ("nodes_up: { min: 100% }", "reorg_depth: { min: 9 }");

/// How a baseline is made, as a comment of the GitHub workflow says it.
const BASELINE: [&str; 2] = [
    "peerlab run network.yaml --engine sim --seeds 20 --out runs/baseline",
    "peerlab baseline save network.json runs/baseline",
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&text(&format!("ci/examples/{name}.yml"))).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let map = value.as_mapping().unwrap();
    map.keys().map(|key| key.as_str().unwrap()).collect()
}

fn only(value: &Value, known: &[&str]) {
    for key in keys(value) {
        assert!(known.contains(&key), "{key} is none of {known:?}");
    }
}

fn words(value: &Value) -> Vec<String> {
    let list = value.as_sequence().unwrap().iter();
    list.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// The variables that a map sets.
fn variables(map: &Value) -> BTreeMap<String, String> {
    let map: &Mapping = map.as_mapping().unwrap();
    let pair = |(key, value): (&Value, &Value)| {
        let [key, value] = [key, value].map(|it| it.as_str().unwrap().to_owned());
        (key, value)
    };
    map.iter().map(pair).collect()
}

/// The steps of the GitHub workflow.
fn github_steps() -> Vec<Value> {
    let workflow = yaml("github");
    workflow["jobs"]["network"]["steps"]
        .as_sequence()
        .unwrap()
        .clone()
}

/// The shell steps of each example.
fn shell_steps() -> Vec<String> {
    let github = github_steps().into_iter();
    let mut steps: Vec<String> = github
        .filter_map(|step| Some(step.get("run")?.as_str().unwrap().to_owned()))
        .collect();
    let job = &yaml("gitlab")["network"];
    steps.extend(words(&job["before_script"]));
    steps.extend(words(&job["script"]));
    steps
}

#[test]
fn the_workflow_is_what_github_takes() {
    let workflow = yaml("github");
    only(&workflow, &["name", "on", "env", "jobs"]);
    assert_eq!(words(&workflow["on"]), ["push", "pull_request"]);
    let job = &workflow["jobs"]["network"];
    only(job, &["runs-on", "timeout-minutes", "steps"]);
    assert!(job["runs-on"].as_str().unwrap().starts_with("ubuntu-"));
    assert!(job["timeout-minutes"].as_u64().is_some());
    for step in github_steps() {
        only(&step, &["name", "uses", "with", "if", "run"]);
        let (uses, run) = (step.get("uses"), step.get("run"));
        assert!(uses.is_some() != run.is_some(), "{step:?}");
        if let Some(uses) = uses {
            let (action, version) = uses.as_str().unwrap().split_once("@v").unwrap();
            assert_eq!(action.split('/').count(), 2, "{action}");
            assert!(version.parse::<u32>().is_ok(), "{version}");
        }
        if let Some(condition) = step.get("if") {
            assert_eq!(condition, "always()");
        }
        assert!(step.get("run").is_none() || step.get("with").is_none());
    }
}

#[test]
fn the_job_is_what_gitlab_takes() {
    let file = yaml("gitlab");
    only(&file, &["network"]);
    let job = &file["network"];
    let known = [
        "image",
        "variables",
        "before_script",
        "script",
        "allow_failure",
        "artifacts",
    ];
    only(job, &known);
    only(&job["allow_failure"], &["exit_codes"]);
    only(&job["artifacts"], &["when", "paths", "reports"]);
    assert_eq!(job["artifacts"]["when"], "always");
}

/// Exit code 4 is none of the network: on both systems it is a warning.
#[test]
fn a_host_that_is_too_slow_makes_nothing_red() {
    let steps = github_steps();
    let mut steps = steps.iter().filter_map(|step| step.get("run")?.as_str());
    let step = steps.find(|run| run.contains("--retry-inconclusive"));
    for (code, is_red) in [(0, false), (4, false), (1, true), (3, true)] {
        let script = format!("peerlab() {{ return {code}; }}\n{}", step.unwrap());
        let ended = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", &script])
            .status();
        assert_eq!(ended.unwrap().success(), !is_red, "exit code {code}");
    }
    let job = &yaml("gitlab")["network"];
    let codes = job["allow_failure"]["exit_codes"].as_sequence().unwrap();
    assert_eq!(codes, &[Value::from(4)]);
}

#[test]
fn they_say_what_the_readme_says() {
    let readme = text("README.md");
    for step in shell_steps() {
        for line in step.lines().map(str::trim) {
            // Where programs are found is each system's own affair.
            let own = line.contains("GITHUB_PATH") || line.starts_with("export PATH");
            let said = line.replace(" --format github", "");
            assert!(
                own || readme.contains(line) || readme.contains(&said),
                "{line}"
            );
        }
    }
    let example = text("ci/examples/github.yml");
    for command in BASELINE {
        assert!(example.contains(command), "{command}");
    }
}

/// A repository with the experiment, beside it a release, and what a job has.
struct Job {
    folder: tempfile::TempDir,
    path: String,
}

impl Job {
    fn new(experiment: &str) -> Job {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("repository")).unwrap();
        fs::write(folder.path().join("repository/network.yaml"), experiment).unwrap();
        for file in ["path", "summary"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let programs = Path::new(env!("CARGO_BIN_EXE_peerlab")).parent().unwrap();
        let made = Command::new(top().join("ci/release"))
            .arg("--archive")
            .args([&folder.path().join("release"), programs])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let path = std::env::var("PATH").unwrap();
        Job { folder, path }
    }

    /// A shell with the job's variables, in the repository; real nodes are not wanted here.
    fn shell(&mut self, variables: &BTreeMap<String, String>, script: &str) -> Output {
        let file = |name: &str| self.folder.path().join(name);
        let output = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", script])
            .current_dir(file("repository"))
            .stdin(Stdio::null())
            .envs(variables)
            .env("PATH", &self.path)
            .env(
                "PEERLAB_URL",
                format!("file://{}", file("release").display()),
            )
            .env("ENGINE", "sim")
            .env("GITHUB_PATH", file("path"))
            .env("GITHUB_STEP_SUMMARY", file("summary"))
            .env("GITHUB_WORKSPACE", file("repository"))
            .output()
            .unwrap();
        for line in fs::read_to_string(file("path")).unwrap().lines() {
            self.path = format!("{line}:{}", self.path);
        }
        fs::write(file("path"), "").unwrap();
        output
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join("repository").join(name).exists()
    }
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}\n{err}")
}

/// Whether a step is the one that makes the programs available.
fn installs(step: &str) -> bool {
    step.contains("curl")
}

/// Carries the shell steps of the workflow out, up to the first that fails, as GitHub does; gives its
/// output.
fn carry_out_github(job: &mut Job, makes_baseline: bool) -> Option<(String, Output)> {
    let variables = variables(&yaml("github")["env"]);
    for step in github_steps() {
        let Some(run) = step.get("run") else {
            continue;
        };
        let run = run.as_str().unwrap();
        let output = job.shell(&variables, run);
        if !output.status.success() {
            return Some((run.to_owned(), output));
        }
        if installs(run) && makes_baseline {
            for command in BASELINE {
                let output = job.shell(&variables, command);
                assert!(output.status.success(), "{}", said(&output));
            }
        }
    }
    None
}

#[test]
fn the_steps_for_github_run_as_they_stand() {
    let mut job = Job::new(EXPERIMENT);
    let failed = carry_out_github(&mut job, true);
    assert!(failed.is_none(), "{}", said(&failed.unwrap().1));
    for file in ["runs/real/junit.xml", "runs/now/junit.xml", "network.json"] {
        assert!(job.has(file), "{file}");
    }
    let summary = fs::read_to_string(job.folder.path().join("summary")).unwrap();
    let titles: Vec<&str> = summary
        .lines()
        .filter_map(|line| line.strip_prefix("## Peerlab: "))
        .collect();
    assert_eq!(
        titles,
        [
            "PASSED network",
            "explore network",
            "PASSED network against its baseline"
        ]
    );
}

#[test]
fn a_network_that_fails_ends_them_with_an_annotation_at_its_line() {
    let (held, impossible) = IMPOSSIBLE;
    let mut job = Job::new(&EXPERIMENT.replace(held, impossible));
    let (step, output) = carry_out_github(&mut job, false).unwrap();
    assert!(step.starts_with("peerlab run "), "{step}");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("\n::error file=network.yaml,line=8,"),
        "{}",
        said(&output)
    );
}

#[test]
fn an_archive_that_was_changed_is_not_installed() {
    let mut job = Job::new(EXPERIMENT);
    let archive = job
        .folder
        .path()
        .join("release/peerlab-x86_64-linux.tar.gz");
    fs::write(archive, "something else").unwrap();
    let (step, output) = carry_out_github(&mut job, false).unwrap();
    assert!(installs(&step), "{step}");
    assert!(said(&output).contains("FAILED"), "{}", said(&output));
}

#[test]
fn the_scripts_for_gitlab_run_as_they_stand() {
    let mut job = Job::new(EXPERIMENT);
    let of_file = &yaml("gitlab")["network"];
    let variables = variables(&of_file["variables"]);
    let before = words(&of_file["before_script"]);
    // One shell carries both out.
    let make = [before.clone(), BASELINE.map(str::to_owned).to_vec()].concat();
    let output = job.shell(&variables, &make.join("\n"));
    assert!(output.status.success(), "{}", said(&output));
    let script = [before, words(&of_file["script"])].concat();
    let output = job.shell(&variables, &script.join("\n"));
    assert!(output.status.success(), "{}", said(&output));
    for report in words(&of_file["artifacts"]["reports"]["junit"]) {
        assert!(job.has(&report), "{report}");
    }
}
