//! Whatever ends the harness, in whatever phase, nothing of the run is left.

use crate::support::{Engine, GONE_WITHIN, Running, processes_of, small};

/// Says that containers are being created.
const BRING_UP: &str = "starting 4 nodes";
/// Says that the plan is being carried out.
const RUNNING: &str = "phase faults";
/// Says that the plan is over.
const COLLECTING: &str = "asking the nodes";

/// Sends a signal that the harness can answer, when it says `when`.
fn is_interrupted(signal: &str, when: &str) {
    let engine = Engine::new();
    let mut run = Running::start(&small());
    run.wait_for(when);
    let volumes = engine.volumes(&run.run);
    run.signal(signal);
    let status = run.wait();
    assert_eq!(status.code(), Some(130), "{status}\n{}", run.said);
    assert!(run.said.contains("everything was removed"), "{}", run.said);
    // It has removed everything before it ended.
    assert_eq!(engine.containers(&run.run), Vec::<String>::new());
    assert!(volumes.iter().all(|volume| !engine.has_volume(volume)));
    assert_eq!(processes_of(&run.run), Vec::<String>::new());
}

/// Kills the harness when it says `when`.
fn is_killed(when: &str) {
    let engine = Engine::new();
    let mut run = Running::start(&small());
    run.wait_for(when);
    let volumes = engine.volumes(&run.run);
    run.signal("KILL");
    engine.wait_until_gone(&run.run, &volumes, GONE_WITHIN);
    assert_eq!(run.wait().code(), None);
}

#[test]
fn interrupted_during_bring_up() {
    is_interrupted("INT", BRING_UP);
}

#[test]
fn interrupted_while_running() {
    is_interrupted("INT", RUNNING);
}

#[test]
fn terminated_while_running() {
    is_interrupted("TERM", RUNNING);
}

#[test]
fn terminated_at_the_end() {
    is_interrupted("TERM", COLLECTING);
}

#[test]
fn killed_during_bring_up() {
    is_killed(BRING_UP);
}

#[test]
fn killed_while_running() {
    is_killed(RUNNING);
}

#[test]
fn killed_while_removing() {
    is_killed("removing everything");
}
