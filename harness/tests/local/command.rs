//! The `peerlab` command, and looking after what it leaves.

use crate::processes::{eventually, family};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

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
    // The harness, outer and inner starter, nursery, fabric, and six times gate and program.
    const MEMBERS: usize = 5 + 2 * 6;
    eventually(|| Some(family(of.id())).filter(|family| family.len() == MEMBERS))
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
