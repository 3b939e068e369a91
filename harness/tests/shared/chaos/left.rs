//! What a run has left on this machine: processes and files. What it has left on an engine is not
//! looked for here.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::processes::{family, state};

/// What goes away takes no longer, unless it stays: the guard and the fabric have their own limits.
const GONE_WITHIN: Duration = Duration::from_secs(100);
/// What was left on purpose does not go away.
const PLANTED_SEEN_AFTER: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// Files that a record has.
const RECORD: [&str; 6] = [
    "topology.yaml",
    "plan.json",
    "events.jsonl",
    "report.json",
    "report.html",
    "junit.xml",
];

/// Makes this process the parent of every descendant that loses its own.
pub fn adopt_orphans() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

/// Kills a process that this one has begun, directly or not.
pub fn end(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Waits until nothing comes from `look` any more.
pub fn nothing_left(mut look: impl FnMut() -> Vec<String>) {
    let is_planted = std::env::var_os(super::PLANTED).is_some();
    let limit = if is_planted {
        PLANTED_SEEN_AFTER
    } else {
        GONE_WITHIN
    };
    let deadline = Instant::now() + limit;
    loop {
        let left = look();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left: {}", left.join("\nleft: "));
        std::thread::sleep(LOOK);
    }
}

/// The descendants of this process that live: of one case.
pub fn processes() -> Vec<String> {
    let all = family(std::process::id());
    let alive = all[1..]
        .iter()
        .filter(|pid| !matches!(state(**pid), None | Some('Z')));
    alive
        .map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            format!("process {pid} {line}")
        })
        .collect()
}

/// What is in a case's folder beside the experiment and the record, which may be elsewhere.
pub fn files(folder: &Path, record: &Path) -> Vec<String> {
    let run = record.join("run");
    let mut left: Vec<PathBuf> = ["home", "tmp", "cache"]
        .iter()
        .flat_map(|name| below(&folder.join(name)))
        // Folders of the cache are no leftovers.
        .filter(|path| !(path.is_dir() && path.starts_with(folder.join("cache"))))
        .collect();
    let is_known = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        let is_log = path.extension().is_some_and(|kind| kind == "log");
        path.parent() == Some(&run) && RECORD.iter().any(|known| name == *known)
            || path.parent() == Some(&run.join("logs")) && is_log
            || name == "filler"
    };
    left.extend(
        below(record)
            .into_iter()
            .filter(|path| !path.is_dir() && !is_known(path)),
    );
    left.iter()
        .map(|path| format!("file {}", path.display()))
        .collect()
}

/// Everything below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| [vec![entry.path()], below(&entry.path())].concat())
        .collect()
}
