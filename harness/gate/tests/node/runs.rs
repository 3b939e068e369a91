//! Programs that are run beside the node's own.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use peerlab_link::framing::Deframer;
use peerlab_link::proto::{FromGate, ProcessOp, RAN_BYTES_MAX, Ran, ToGate};

use crate::fabric::{Bench, Gate};

/// What comes of a command (`None` where it took too long), or why it was not run.
fn ran(gate: &Gate, command: &[&str]) -> Result<Option<Ran>, i32> {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    gate.send(&ToGate::Run { id: 7, command });
    match gate.receive().expect("the gate lives") {
        (FromGate::Dialed { id: 7, errno: 0 }, Some(socket)) => {
            let mut stream = UnixStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            let mut messages = Deframer::new();
            messages.push(&bytes);
            let ran = messages.next_message().unwrap();
            assert_eq!(messages.into_rest(), b"");
            Ok(ran)
        }
        (FromGate::Dialed { id: 7, errno }, None) => Err(errno),
        other => panic!("{other:?}"),
    }
}

/// What a command prints that succeeds.
fn run(gate: &Gate, command: &[&str]) -> Result<String, i32> {
    let ran = ran(gate, command)?.expect("it is quick");
    assert_eq!(ran.status, 0, "{ran:?}");
    Ok(String::from_utf8(ran.output).unwrap())
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
    gate.obeys(1, ProcessOp::Kill);
    assert_eq!(
        run(&gate, &["echo", "on"]),
        Err(libc::ECONNREFUSED),
        "the node is down"
    );
}

#[test]
fn how_a_program_failed_is_said() {
    let bench = Bench::new();
    let gate = bench.gate(&["--drop-all-caps"], "exec sleep 1000");
    let _tun = gate.run();
    let sh = |script: &str| ran(&gate, &["sh", "-c", script]).unwrap().unwrap();
    let failed = Ran {
        status: 3,
        output: b"part\n".to_vec(),
        errors: b"cannot connect\nnot at all\n".to_vec(),
    };
    let script = "echo part; echo cannot connect >&2; echo not at all >&2; exit 3";
    assert_eq!(sh(script), failed);
    assert_eq!(sh("kill -9 $$").status, -libc::SIGKILL);
    let long = sh("yes | head -c 100000; yes | head -c 100000 >&2");
    assert_eq!(long.output.len(), RAN_BYTES_MAX);
    assert_eq!(long.errors.len(), RAN_BYTES_MAX);
    assert_eq!(long.status, 0);
    let file = bench.path("no-program");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, executable).unwrap();
    let not_started = ran(&gate, &[file.to_str().unwrap()]).unwrap().unwrap();
    assert_eq!(not_started.status, 127);
    let reason = String::from_utf8(not_started.errors).unwrap();
    assert!(reason.starts_with("cannot start "), "{reason}");
}

#[test]
fn what_runs_for_too_long_is_ended_and_the_node_is_not() {
    let bench = Bench::new();
    let gate = bench.gate(&["--drop-all-caps"], "exec sleep 1000");
    let _tun = gate.run();
    let began = Instant::now();
    let ended = ran(&gate, &["sh", "-c", "echo begun; sleep 1000"]).unwrap();
    assert_eq!(ended, None);
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(run(&gate, &["echo", "on"]).unwrap(), "on\n");
}
