//! Chaos where no container engine is needed: the local engine, whose processes are killed, stopped or
//! short of something, and the simulator.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[path = "../shared/chaos/mod.rs"]
mod chaos;
#[path = "../../gate/tests/shared/processes.rs"]
mod processes;
#[path = "../shared/running.rs"]
mod running;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use chaos::left;
use chaos::table::{Blow, Case, Engine, Fault, Victim};
use processes::{children, eventually};
use running::Running;

/// Ways to make a case fail on any engine.
const PLANTS: [(&str, &str); 4] = [
    ("process", "left: process"),
    ("file", "left: file"),
    ("hang", "does not end"),
    ("exit-code", "not the exit code that says it"),
];

fn main() -> ExitCode {
    chaos::main(&[Engine::Local, Engine::Sim], &PLANTS, || {}, carry_out)
}

fn carry_out(case: &Case) {
    let folder = chaos::experiment();
    let mut run = Running::spawn(chaos::command(case, folder.path()), folder);
    let mut disk = None;
    if let Fault::Stage(stage, victim, blow) = case.fault {
        run.wait_for(stage.words());
        if blow == Blow::DiskFull {
            disk = Disk::of(&run);
            // None where the run has ended just now.
            disk.iter().for_each(Disk::fill);
        } else if let Some(pid) = find(&mut run, victim) {
            chaos::strike(pid, blow);
        }
    }
    if chaos::planted("hang") {
        run.signal("STOP");
    }
    let code = run.wait().code();
    plant(run.folder.path());
    chaos::judge(case, code, &run.said);
    let record = disk.map_or(run.folder.path().join("record"), |disk| disk.path());
    left::nothing_left(|| [left::processes(), left::files(run.folder.path(), &record)].concat());
}

/// Leaves something behind where the case must fail by it.
fn plant(folder: &Path) {
    if chaos::planted("process") {
        let orphan = Command::new("sh").args(["-c", "sleep 30 &"]).status();
        assert!(orphan.unwrap().success());
    }
    if chaos::planted("file") {
        std::fs::write(folder.join("tmp/left"), "").unwrap();
    }
}

/// A process of a run, once it is there; none where the run ends before.
fn find(run: &mut Running, victim: Victim) -> Option<u32> {
    eventually(|| match (member(run.pid(), victim), run.has_ended()) {
        (None, false) => None,
        (found, _) => Some(found),
    })
}

/// Who of the harness' family it is.
fn member(harness: u32, victim: Victim) -> Option<u32> {
    let child = |of: u32, program: &str| {
        children(of).into_iter().find(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim_end() == program)
        })
    };
    let starter = || child(child(harness, "peerlab-gate")?, "peerlab-gate");
    match victim {
        Victim::Harness => Some(harness),
        Victim::OuterStarter => child(harness, "peerlab-gate"),
        Victim::Starter => starter(),
        Victim::Fabric => child(starter()?, "peerlab-fabric"),
        Victim::Gate => child(starter()?, "peerlab-gate"),
        Victim::Program => child(child(starter()?, "peerlab-gate")?, "peerlab-node"),
        Victim::Stream | Victim::Engine => None,
    }
}

/// A record on a disk of its own, which stays as long as this is kept, although the namespace ends.
struct Disk(File);

impl Disk {
    /// The disk of a run whose harness is there.
    fn of(run: &Running) -> Option<Disk> {
        let folder = run.folder.path().join("record");
        let inside = format!("/proc/{}/root{}", run.pid(), folder.display());
        Some(Disk(File::open(inside).ok()?))
    }

    /// A path to it.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Leaves no room on it.
    fn fill(&self) {
        let mut filler = File::create(self.path().join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }
}
