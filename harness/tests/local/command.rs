//! The `peerlab` command, and looking after what it leaves.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Guard against hanging: an experiment here takes a quarter of a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with an experiment of `seconds` seconds: six nodes, a partition, a kill.
pub fn experiment(seconds: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "name: small\n\
         seed: 3\n\
         phases: {{ warmup: 4s, faults: 4s, settle: {settle}s }}\n\
         nodes:\n  miners: {{ count: 2, hashpower: 1 }}\n  peers: {{ count: 4 }}\n\
         network: {{ latency: 5ms, discovery: {{ mode: pure, bootstrap: 2 }} }}\n\
         ledger: {{ block_interval: 1s, transactions: 1/s }}\n\
         faults:\n  - {{ at: 4s, for: 2s, partition: [[miners-0, peers 0-1], [rest]] }}\n  \
         - {{ at: 5s, for: 2s, kill: peers-3 }}\n\
         expect:\n  - converged: {{ within: 6s, of: settle }}\n  - same_ledger: {{ at: end }}\n  \
         - nodes_up: {{ min: 100% }}\n",
        settle = seconds - 8
    );
    std::fs::write(folder.path().join("small.yaml"), text).unwrap();
    folder
}

/// `peerlab run` on the local engine, recorded in the experiment's folder.
pub fn run(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerlab"));
    add_run(&mut command, folder);
    command
}

/// Adds what [`run`] runs to a command that runs peerlab.
pub fn add_run(command: &mut Command, folder: &Path) {
    command
        .args(["run", "--engine", "local", "--out"])
        .arg(folder.join("run"))
        .arg(folder.join("small.yaml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// What a run that holds prints; a host that is too busy for its figures makes it inconclusive,
/// though every expectation held.
pub fn held(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 4)),
        "{said}\n{errors}"
    );
    assert_eq!(said.matches("\n  ok ").count(), 3, "{said}\n{errors}");
}

/// Waits for an event in a run's log.
pub fn wait_for_event(folder: &Path, text: &str) {
    let log = folder.join("run/events.jsonl");
    eventually(|| {
        std::fs::read_to_string(&log)
            .ok()
            .filter(|log| log.contains(text))
            .map(drop)
    });
}

/// A run of [`experiment`] and all under it, once all of it is there: the log says that the nodes
/// were let go, not that each gate has started its program already.
pub fn whole_family(of: &Child) -> Vec<u32> {
    // The harness, outer and inner starter, fabric, and six times gate and program.
    const MEMBERS: usize = 4 + 2 * 6;
    eventually(|| Some(family(of)).filter(|family| family.len() == MEMBERS))
}

/// The member of a family that runs this program.
pub fn member(family: &[u32], program: &str) -> u32 {
    let runs = |pid: &&u32| {
        // The kernel keeps the first fifteen characters of a program's name.
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim_end() == &program[..program.len().min(15)])
    };
    *family.iter().find(runs).unwrap()
}

/// A process and all under it.
fn family(of: &Child) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|e| {
            let pid = e.ok()?.file_name().to_str()?.parse().ok()?;
            let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = text
                .rsplit_once(')')?
                .1
                .split_ascii_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut family = vec![of.id()];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    family
}

/// Waits until no process of a family is left.
pub fn all_gone(family: &[u32]) {
    eventually(|| {
        let lives = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
        };
        (!family.iter().any(lives)).then_some(())
    });
}

/// Asks until there is an answer.
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never happened");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    let pid = process.to_string();
    assert!(
        Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

/// Copies the four programs to where every user may run them.
pub fn programs_for_everybody() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let everybody = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody()).unwrap();
    let peerlab = Path::new(env!("CARGO_BIN_EXE_peerlab"));
    for name in ["peerlab", "peerlab-node", "peerlab-fabric", "peerlab-gate"] {
        let place = folder.path().join(name);
        std::fs::copy(peerlab.with_file_name(name), &place).unwrap();
        std::fs::set_permissions(&place, everybody()).unwrap();
    }
    let peerlab = folder.path().join("peerlab");
    (folder, peerlab)
}
