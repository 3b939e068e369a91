//! How a gate ends: with its fabric, when asked, or over nonsense; and that nothing stays.

use std::process::Command;

use peerlab_link::proto::{FromGate, GATE_MESSAGE_BYTES_MAX, ProcessOp, ToGate};

use crate::fabric::{Bench, NODE_IP, listen, spawn, spawn_without_secret};
use crate::processes::{children, eventually, state};

#[test]
fn the_end_of_the_fabric_is_the_end_of_the_node() {
    let bench = Bench::new();
    let script = format!(
        "trap '' TERM HUP; setsid sleep 1000 & echo up > {}; sleep 1000",
        bench.path("up").display()
    );
    let mut gate = bench.gate(&["--drop-all-caps"], &script);
    let _tun = gate.run();
    bench.findings("up");
    gate.obeys(1, ProcessOp::Freeze);
    let program = gate.program_pid();
    gate.hang_up();
    let (status, said) = gate.ended();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    eventually(|| state(program).is_none().then_some(()));
}

#[test]
fn a_refused_claim_ends_the_gate() {
    let bench = Bench::new();
    let mut gate = bench.gate(&[], "echo ran");
    assert!(matches!(gate.answer(), FromGate::Hello { .. }));
    gate.hang_up();
    let (status, said) = gate.ended();
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("the fabric closed the connection before the start"),
        "{said}"
    );
}

#[test]
fn sigterm_reaches_the_program_and_its_exit_code_is_the_gates() {
    let bench = Bench::new();
    let script = format!(
        "trap 'exit 5' TERM; trap 'echo hup > {}' HUP; echo up > {}; while :; do sleep 0.01; done",
        bench.path("hup").display(),
        bench.path("up").display()
    );
    let mut gate = bench.gate(&["--drop-all-caps"], &script);
    let _tun = gate.run();
    bench.findings("up");
    let signal = |name: &str| crate::processes::signal(gate.pid(), name);
    signal("HUP");
    assert_eq!(bench.findings("hup"), "hup\n");
    signal("TERM");
    assert_eq!(
        gate.answer(),
        FromGate::Exited {
            status: 5,
            asked: false
        }
    );
    assert!(gate.receive().is_none());
    assert_eq!(gate.ended().0.code(), Some(5));
}

#[test]
fn sigterm_before_the_start_ends_the_gate_at_once() {
    let bench = Bench::new();
    let mut gate = bench.gate(&[], "echo ran");
    let _tun = gate.open();
    let pid = gate.pid().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(gate.receive().is_none());
    assert_eq!(gate.ended().0.code(), Some(0));
}

/// Sends bytes that are no good at some point, and gives what the gate says of them.
fn nonsense(after_go: bool, bytes: &[u8]) -> String {
    let bench = Bench::new();
    let mut gate = bench.gate(&[], "sleep 1000");
    let _tun = if after_go { gate.run() } else { gate.open() };
    gate.send_bytes(bytes);
    let FromGate::Failed { reason } = gate.answer() else {
        panic!("no failure")
    };
    assert!(gate.receive().is_none());
    assert_eq!(gate.ended().0.code(), Some(1));
    reason
}

#[test]
fn nonsense_from_the_fabric_ends_the_gate_and_is_named() {
    assert!(nonsense(false, &[0xff; 3]).contains("from the fabric: malformed message"));
    assert!(nonsense(true, &[0xff; 3]).contains("from the fabric: malformed message"));
    assert!(nonsense(true, &[0x03; 1]).contains("from the fabric: malformed message"));
    let long = vec![0; GATE_MESSAGE_BYTES_MAX + 1];
    assert!(nonsense(true, &long).contains("a packet of more than 65536 bytes"));
    let encode = peerlab_link::proto::encode;
    let configure = ToGate::Configure {
        ip: NODE_IP,
        prefix: 8,
        mtu: 1500,
    };
    assert!(nonsense(true, &encode(&configure)).contains("out of turn (Going)"));
    assert!(nonsense(true, &encode(&ToGate::Go { run: true })).contains("out of turn (Going)"));
    assert!(nonsense(false, &encode(&configure)).contains("out of turn (Open)"));
}

#[test]
fn a_fabric_that_is_late_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("late.sock");
    let mut process = spawn(&socket, &[], &[], &["/bin/true"]);
    eventually(|| children(process.id()).pop());
    let listener = listen(&socket);
    crate::fabric::ready(&listener);
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn a_gate_that_is_given_no_secret_ends() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("fabric.sock");
    let process = spawn_without_secret(&socket, &[], &[], &["/bin/true"]);
    // Closes its standard input.
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no secret came on standard input"), "{said}");
}

#[test]
fn a_gate_that_is_not_pid_1_refuses() {
    let output = Command::new(env!("CARGO_BIN_EXE_peerlab-gate"))
        .args(["--node", "1", "--socket", "/nowhere", "--", "/bin/true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "peerlab-gate: the gate must be PID 1 of a PID namespace of its own\n"
    );
}

#[test]
fn a_bad_command_line_is_explained() {
    let output = Command::new(env!("CARGO_BIN_EXE_peerlab-gate"))
        .arg("--noed")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("unexpected argument '--noed'"), "{said}");
}
