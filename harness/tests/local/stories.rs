//! Experiments that hold, and ways to end them early.

use std::process::Command;

use crate::command::{
    add_run, all_gone, experiment, held, programs_for_everybody, run, signal, wait_for_event,
    whole_family,
};

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
fn a_killed_harness_leaves_nothing() {
    let folder = experiment(60);
    let mut process = run(folder.path()).spawn().unwrap();
    let family = whole_family(&process);
    signal(&process, "KILL");
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
        signal(&process, name);
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
    let fabric = family[3].to_string();
    assert!(
        Command::new("kill")
            .args(["-9", &fabric])
            .status()
            .unwrap()
            .success()
    );
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the fabric ended by itself"), "{said}");
    all_gone(&family);
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
