//! Experiments that hold, and ways to end them early.

use std::process::Command;
use std::time::Duration;

use crate::command::{
    add_run, experiment, held, member, programs_for_everybody, run, wait_for_event, whole_family,
};
use crate::foreign_image::{COMMAND, saved_image};
use crate::processes::{all_gone, signal};

/// A line of the log that is written once all nodes are started.
const STARTED: &str = "\"started\"";

#[test]
fn a_small_network_lives_through_a_partition_and_a_kill() {
    let folder = experiment(16);
    held(&run(folder.path()).output().unwrap());
    let log = std::fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    assert!(log.contains("\"local\""));
}

#[test]
fn shipped_experiments_give_their_verdicts() {
    crate::shipped::each_gives_its_verdict("local");
}

#[test]
fn a_killed_harness_leaves_nothing() {
    let folder = experiment(60);
    let mut process = run(folder.path()).spawn().unwrap();
    let family = whole_family(&process);
    signal(process.id(), "KILL");
    process.wait().unwrap();
    all_gone(&family);
}

#[test]
fn an_interrupted_harness_removes_everything_and_says_so() {
    for name in ["INT", "TERM"] {
        let folder = experiment(60);
        let process = run(folder.path()).spawn().unwrap();
        wait_for_event(folder.path(), STARTED);
        let family = whole_family(&process);
        signal(process.id(), name);
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("interrupted; everything was removed"),
            "{said}"
        );
        all_gone(&family);
    }
}

#[test]
fn a_killed_fabric_ends_the_run_and_is_named() {
    let folder = experiment(60);
    let process = run(folder.path()).spawn().unwrap();
    wait_for_event(folder.path(), STARTED);
    let family = whole_family(&process);
    signal(member(&family, "peerlab-fabric"), "KILL");
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the fabric ended by itself"), "{said}");
    all_gone(&family);
}

#[test]
fn a_killed_gate_is_a_node_that_is_down_and_the_report_says_so() {
    let folder = experiment(16);
    let process = run(folder.path()).spawn().unwrap();
    wait_for_event(folder.path(), STARTED);
    // After harness, both starters and fabric come the gates.
    let gate = whole_family(&process)[4];
    signal(gate, "KILL");
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // All nodes were to be up; of a host that is too busy that proves nothing.
    assert!(matches!(output.status.code(), Some(1 | 4)), "{said}");
    assert!(
        said.contains("went down unasked and stayed down: "),
        "{said}"
    );
    let report = std::fs::read_to_string(folder.path().join("run/report.json")).unwrap();
    assert!(report.contains("its gate ended"), "{report}");
}

#[test]
fn a_host_that_cannot_keep_up_proves_nothing() {
    let folder = experiment(16);
    let process = run(folder.path()).spawn().unwrap();
    wait_for_event(folder.path(), STARTED);
    let fabric = member(&whole_family(&process), "peerlab-fabric");
    // A fabric that gets no CPU half of the time, as on a host with too much to do.
    for _ in 0..10 {
        signal(fabric, "STOP");
        std::thread::sleep(Duration::from_millis(300));
        signal(fabric, "CONT");
        std::thread::sleep(Duration::from_millis(300));
    }
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("no CPU in"), "{said}");
    assert!(said.contains("doctor"), "{said}");
}

#[test]
fn more_nodes_than_fit_are_refused_before_anything_starts() {
    let folder = experiment(16);
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -n 80; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_peerlab"));
    add_run(&mut command, folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot carry 6 nodes here"), "{said}");
    assert!(said.contains("open files of a process: 80"), "{said}");
    assert!(said.contains("--nofile="), "{said}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn an_ordinary_user_needs_nothing_but_the_device() {
    if !rustix::process::geteuid().is_root() {
        return; // then all the other tests show it
    }
    // Builds the programs where they are missing.
    let folder = experiment(16);
    held(&run(folder.path()).output().unwrap());

    let (programs, peerlab) = programs_for_everybody();
    let folder = experiment(16);
    std::os::unix::fs::chown(folder.path(), Some(USER), Some(USER)).unwrap();
    // The device as distributions ship it, for this test alone.
    let device = programs.path().join("tun");
    let script = format!(
        "set -e; mknod -m 0666 {device} c 10 200; mount --bind {device} /dev/net/tun; \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\"",
        device = device.display()
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "/bin/sh", "-c", &script, "sh"])
        .arg(peerlab);
    command
        .env("PEERLAB_PROGRAMS", programs.path())
        .current_dir("/");
    add_run(&mut command, folder.path());
    held(&command.output().unwrap());
}

/// An account that has none.
const USER: u32 = 54_321;

#[test]
fn a_machine_that_forbids_namespaces_is_told_how_to_allow_them() {
    let folder = experiment(16);
    let mut command = Command::new("unshare");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
    command
        .args(["--user", "--map-root-user", "/bin/sh", "-c", script, "sh"])
        .arg(env!("CARGO_BIN_EXE_peerlab"));
    add_run(&mut command, folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("cannot start nodes on this machine"),
        "{said}"
    );
    assert!(
        said.contains("sudo sysctl user.max_user_namespaces=65536"),
        "{said}"
    );
}

#[test]
fn somebody_elses_image_runs_beside_our_node() {
    let folder = experiment(16);
    saved_image(&folder.path().join("ledger.tar"));
    // Its path counts from the experiment's folder.
    let file = folder.path().join("small.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let peers = format!("peers: {{ count: 4, image: 'oci:ledger.tar', command: {COMMAND} }}");
    std::fs::write(&file, text.replace("peers: { count: 4 }", &peers)).unwrap();
    let cache = folder.path().join("cache");
    for _ in 0..2 {
        let output = run(folder.path())
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .unwrap();
        held(&output);
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    }
    // Unpacked once, under its digest.
    let unpacked = std::fs::read_dir(cache.join("peerlab/images")).unwrap();
    assert_eq!(unpacked.count(), 1);
}

#[test]
fn an_image_that_is_not_there_is_told_with_what_to_do() {
    let folder = experiment(16);
    let file = folder.path().join("small.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (image, said) in [
        ("oci:none.tar", "cannot read the image archive"),
        ("somebody/else:1", "somebody/else:1"),
    ] {
        let peers = format!("peers: {{ count: 4, image: '{image}' }}");
        std::fs::write(&file, text.replace("peers: { count: 4 }", &peers)).unwrap();
        let mut command = run(folder.path());
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains(said), "{errors}");
        if image.starts_with("somebody") {
            assert!(errors.contains("image: oci:FILE"), "{errors}");
        }
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    }
}
