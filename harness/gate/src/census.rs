//! Which of the node's processes stand still, as the kernel says.

use std::fs;

use crate::supervisor::{Census, Pid};

/// Counts every process of this PID namespace but PID 1, which is the gate, and those of these
/// process groups, which are the gate's helpers. One stands still when all its threads do.
pub fn count(helpers: &[Pid]) -> Census {
    let mut census = Census::default();
    for pid in numbers("/proc").filter(|&pid| pid != 1) {
        let threads = format!("/proc/{pid}/task");
        let states: Vec<(char, Pid)> = numbers(&threads)
            .filter_map(|thread| state(&format!("{threads}/{thread}/stat")))
            .collect();
        let own = states.iter().any(|(_, group)| helpers.contains(group));
        let mut living = states
            .iter()
            .filter(|(state, _)| !matches!(state, 'Z' | 'X'));
        if own || living.clone().count() == 0 {
            continue;
        }
        if living.all(|(state, _)| matches!(state, 'T' | 't')) {
            census.still += 1;
        } else {
            census.moving += 1;
        }
    }
    census
}

/// The entries of a folder that are numbers.
fn numbers(folder: &str) -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// State and process group of a thread, from `stat`'s third and fifth field. The second is a name in
/// parentheses that may hold anything.
fn state(file: &str) -> Option<(char, Pid)> {
    let text = fs::read_to_string(file).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_that_is_stopped_stands_still() {
        let mut sleep = Command::new("sleep");
        let mut child = sleep.arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let pid = child.id().cast_signed();
        let of = || state(&format!("/proc/{pid}/stat")).unwrap();
        // SAFETY: signals a child of this test.
        unsafe { libc::kill(pid, libc::SIGSTOP) };
        while of().0 != 'T' {
            std::thread::yield_now();
        }
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        assert_eq!(of().1, group);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
