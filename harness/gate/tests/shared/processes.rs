//! Processes as tests see them: whose child one is, whether it lives, and waiting for what is to come.
//! For the tests of the gate, of its starter, and of whole runs on the local engine.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

use std::process::Command;
use std::time::{Duration, Instant};

/// Nothing takes so long unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process' state letter and parent, if it exists.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// A process' state letter, if it exists.
pub fn state(pid: u32) -> Option<char> {
    stat(pid).map(|(state, _)| state)
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?.1))).collect()
}

/// The children of a process.
pub fn children(of: u32) -> Vec<u32> {
    let all = parents().into_iter();
    all.filter_map(|(pid, parent)| (parent == of).then_some(pid))
        .collect()
}

/// A process and all under it, parents before children.
pub fn family(of: u32) -> Vec<u32> {
    let parents = parents();
    let mut family = vec![of];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        let below = parents.iter().filter(|(_, parent)| *parent == member);
        family.extend(below.map(|(pid, _)| *pid));
        next += 1;
    }
    family
}

/// Waits until no process of a family is left; one that only waits to be reaped is gone.
pub fn all_gone(family: &[u32]) {
    let gone = |pid: &u32| matches!(state(*pid), None | Some('Z'));
    eventually(|| family.iter().all(gone).then_some(()));
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-s", name, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}
