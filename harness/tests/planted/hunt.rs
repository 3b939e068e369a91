//! The hunt for a planted bug by the `peerlab` command: what `explore` finds and leaves behind, and
//! what becomes of that in a run.

use peerlab::disk::load_topology;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use peerlab_node::PlantedBug;
use peerlab_sim::explore::Scenario;

/// Seeds that a hunt may take.
const SEEDS: u32 = 60;
/// Seeds that hold without the bug, as the negative control of a hunt.
const SEEDS_SOUND: u32 = 60;
/// What an expectation's failure, and its absence, make the command exit with.
pub const FAILED: i32 = 1;
pub const HELD: i32 = 0;

/// What a hunt left: the shrunk experiment.
pub struct Quarry {
    bug: PlantedBug,
    folder: tempfile::TempDir,
}

/// Explores the experiment of a bug, which is to be found and shrunk.
pub fn hunt(bug: PlantedBug) -> Quarry {
    let folder = tempfile::tempdir().unwrap();
    let output = explore(&base(bug), folder.path(), SEEDS);
    assert_eq!(output.status.code(), Some(FAILED), "{}", said(&output));
    Quarry { bug, folder }
}

/// Explores the same experiment with sound nodes, in which nothing is to be found.
pub fn hunt_in_vain(bug: PlantedBug) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sound.yaml");
    std::fs::write(
        &file,
        without(&std::fs::read_to_string(base(bug)).unwrap(), bug),
    )
    .unwrap();
    let output = explore(&file, folder.path(), SEEDS_SOUND);
    assert_eq!(output.status.code(), Some(HELD), "{}", said(&output));
}

impl Quarry {
    /// The shrunk experiment.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("found/shrunk.yaml")
    }

    /// The shrunk experiment as it is written.
    pub fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// The same with sound nodes.
    pub fn sound_file(&self) -> PathBuf {
        let file = self.folder.path().join("sound.yaml");
        std::fs::write(&file, without(&self.text(), self.bug)).unwrap();
        file
    }

    /// What is in it.
    pub fn scenario(&self) -> Scenario {
        let (topology, _) = load_topology(&self.file()).unwrap();
        Scenario::of(&topology, topology.seed).unwrap()
    }

    /// The check that fails, by the head of the shrunk file.
    pub fn check(&self) -> String {
        let text = self.text();
        let line = text.lines().find_map(|line| line.strip_prefix("# Fails: "));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    }
}

/// Runs an experiment; returns the exit code and the checks that fail.
pub fn run(file: &Path, engine: &str) -> (i32, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let mut command = peerlab(folder.path());
    // The nodes are those of this build, with the bugs in them.
    let programs = assert_cmd::cargo::cargo_bin("peerlab-node");
    command
        .args(["run", "--engine", engine, "--out"])
        .arg(&record)
        .arg(file)
        .env("PEERLAB_PROGRAMS", programs.parent().unwrap());
    let output = command.output().unwrap();
    let report = std::fs::read(record.join("report.json"));
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let verdicts = report["verdicts"].as_array().unwrap();
    let failed = verdicts
        .iter()
        .filter(|verdict| verdict["status"] == "failed")
        .map(|verdict| verdict["check"].as_str().unwrap().to_owned());
    let code = output.status.code();
    (
        code.unwrap_or_else(|| panic!("{}", said(&output))),
        failed.collect(),
    )
}

fn base(bug: PlantedBug) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted");
    folder.join(format!("{}.yaml", bug.name()))
}

/// An experiment without the argument that plants the bug.
fn without(text: &str, bug: PlantedBug) -> String {
    let argument = format!("\"-plantedbug={}\"", bug.name());
    assert!(text.contains(&argument), "{text}");
    text.replace(&argument, "")
}

fn explore(file: &Path, folder: &Path, seeds: u32) -> Output {
    let mut command = peerlab(folder);
    command
        .args(["explore", "--out", "found", "--seeds", &seeds.to_string()])
        .arg(file);
    command.output().unwrap()
}

fn peerlab(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerlab"));
    command.env_remove("RUST_LOG").current_dir(folder);
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
