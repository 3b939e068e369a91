//! A program of the host in the network.

use std::process::{Command, Stdio};

use peerlab_link::proto::FromGate;
use peerlab_link::starter::{GUEST_COMMAND, GUEST_SECRET};

use crate::fabric::{Bench, Gate, SECRET};
use crate::processes::{all_gone, eventually, family, signal};

/// A guest that runs a command, connected.
fn guest(bench: &Bench, command: &[&str]) -> Gate {
    let secret = SECRET.iter().map(|byte| format!("{byte:02x}"));
    let process = Command::new(env!("CARGO_BIN_EXE_peerlab-gate"))
        .args([GUEST_COMMAND, "7"])
        .arg(bench.path("fabric.sock"))
        .args(command)
        .env(GUEST_SECRET, secret.collect::<String>())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    bench.met(process.unwrap())
}

#[test]
fn a_guest_that_is_not_expected_yet_comes_again() {
    let bench = Bench::new();
    let mut guest = guest(&bench, &["sh", "-c", "exit 5"]);
    assert!(matches!(guest.answer(), FromGate::Hello { .. }));
    bench.meet_again(&mut guest);
    let _tun = guest.run();
    assert_eq!(guest.ended().0.code(), Some(5));
}

#[test]
fn a_guest_that_is_never_expected_says_so() {
    let bench = Bench::new();
    let mut guest = guest(&bench, &["true"]);
    guest.answer();
    // Who it takes for the fabric is gone as well.
    drop(bench.listener);
    guest.hang_up();
    let (status, said) = guest.ended();
    assert_eq!(status.code(), Some(3));
    assert!(said.contains("does not expect this program"), "{said}");
}

#[test]
fn a_program_that_cannot_be_started_is_told_as_a_shell_tells_it() {
    for (file, code) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        let bench = Bench::new();
        let mut guest = guest(&bench, &[file]);
        let _tun = guest.run();
        let (status, said) = guest.ended();
        assert_eq!(status.code(), Some(code));
        assert!(said.contains(&format!("cannot start {file}")), "{said}");
    }
}

#[test]
fn whoever_ends_a_guest_ends_its_program_politely() {
    let bench = Bench::new();
    let script = format!(
        "trap 'exit 6' TERM; trap 'echo hup > {}' HUP; echo up > {}; while :; do sleep 0.01; done",
        bench.path("hup").display(),
        bench.path("up").display()
    );
    let mut guest = guest(&bench, &["sh", "-c", &script]);
    let _tun = guest.run();
    bench.findings("up");
    signal(guest.process.id(), "HUP");
    assert_eq!(bench.findings("hup"), "hup\n");
    signal(guest.process.id(), "INT");
    signal(guest.process.id(), "TERM");
    assert_eq!(guest.ended().0.code(), Some(6));
}

#[test]
fn the_end_of_the_network_is_the_end_of_all_that_a_guest_started() {
    let bench = Bench::new();
    let script = format!(
        "setsid sh -c 'sleep 1003 & sleep 1004; :' & (sleep 1005 &); trap '' TERM HUP; echo up > {}; sleep 1000; :",
        bench.path("up").display()
    );
    let mut guest = guest(&bench, &["sh", "-c", &script]);
    let _tun = guest.run();
    bench.findings("up");
    // Itself, two shells and four that sleep, one of which is an orphan.
    let id = guest.process.id();
    let all = eventually(|| Some(family(id)).filter(|all| all.len() == 7));
    guest.hang_up();
    assert_eq!(guest.ended().0.code(), Some(3));
    all_gone(&all);
}
