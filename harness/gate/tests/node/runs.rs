//! Programs that are run beside the node's own.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use peerlab_link::proto::{FromGate, ProcessOp, ToGate};

use crate::fabric::{Bench, Gate};

/// What a command prints, or why it was not run.
fn run(gate: &Gate, command: &[&str]) -> Result<String, i32> {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    gate.send(&ToGate::Run { id: 7, command });
    match gate.receive().expect("the gate lives") {
        (FromGate::Dialed { id: 7, errno: 0 }, Some(socket)) => {
            let mut stream = UnixStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            let mut output = String::new();
            stream.read_to_string(&mut output).unwrap();
            Ok(output)
        }
        (FromGate::Dialed { id: 7, errno }, None) => Err(errno),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_beside_the_nodes_may_no_more_than_it() {
    let bench = Bench::new();
    let gate = bench.gate(&["--drop-all-caps", "--workdir", "/usr"], "exec sleep 1000");
    let _tun = gate.run();
    assert_eq!(run(&gate, &["pwd"]).unwrap(), "/usr\n");
    let status = run(&gate, &["cat", "/proc/self/status"]).unwrap();
    for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{set}:\t0000000000000000")),
            "{status}"
        );
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let links = run(&gate, &["ls", "-l", "/proc/self/fd"]).unwrap();
    // `ls` itself holds the folder open.
    assert_eq!(
        links.lines().filter(|line| line.contains(" -> ")).count(),
        4,
        "{links}"
    );
}

#[test]
fn what_cannot_be_run_is_said() {
    let bench = Bench::new();
    let gate = bench.gate(&["--drop-all-caps"], "exec sleep 1000");
    let _tun = gate.run();
    assert_eq!(run(&gate, &["no-such-program"]), Err(libc::ENOENT));
    assert_eq!(run(&gate, &[]), Err(libc::EINVAL));
    assert_eq!(run(&gate, &["echo", "on"]).unwrap(), "on\n");
    gate.order(1, ProcessOp::Kill);
    assert_eq!(
        run(&gate, &["echo", "on"]),
        Err(libc::ECONNREFUSED),
        "the node is down"
    );
}

#[test]
fn what_runs_for_too_long_is_ended_and_the_node_is_not() {
    let bench = Bench::new();
    let gate = bench.gate(&["--drop-all-caps"], "exec sleep 1000");
    let _tun = gate.run();
    let began = Instant::now();
    let output = run(&gate, &["sh", "-c", "echo begun; sleep 1000"]).unwrap();
    assert_eq!(output, "begun\n");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(run(&gate, &["echo", "on"]).unwrap(), "on\n");
}
