//! Whatever ends the harness, in whatever phase, nothing of the run is left.

use crate::running::Running;
use crate::support::{Engine, GONE_WITHIN, processes_of, small};

/// Says that containers are being created.
const BRING_UP: &str = "starting 4 nodes";
/// Says that the plan is being carried out.
const RUNNING: &str = "phase faults";
/// Says that the plan is over.
const COLLECTING: &str = "asking the nodes";

/// Sends a signal that the harness can answer, when it says `when`: it removes everything before
/// it ends. Gives how it ended, and what it said.
fn is_ended(signal: &str, when: &str) -> (Option<i32>, String) {
    let engine = Engine::new();
    let mut run = Running::start(&small());
    run.wait_for(when);
    let volumes = engine.volumes(&run.run);
    run.signal(signal);
    let status = run.wait();
    assert_eq!(engine.containers(&run.run), Vec::<String>::new());
    assert!(volumes.iter().all(|volume| !engine.has_volume(volume)));
    assert_eq!(processes_of(&run.run), Vec::<String>::new());
    (status.code(), run.said.clone())
}

/// As [`is_ended`], before the plan is over.
fn is_interrupted(signal: &str, when: &str) {
    let (code, said) = is_ended(signal, when);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("everything was removed"), "{said}");
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
    // The signal may come when all is collected: then the run is whole, and judged.
    let (code, said) = is_ended("TERM", COLLECTING);
    assert!(matches!(code, Some(0 | 4 | 130)), "{code:?}\n{said}");
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
