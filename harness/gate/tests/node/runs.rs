//! Programs that are run beside the node's own.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use peerlab_link::framing::Deframer;
use peerlab_link::proto::{Digested, FromGate, ProcessOp, RAN_BYTES_MAX, Ran, Terminal, ToGate};
use serde::de::DeserializeOwned;

use crate::fabric::{Bench, Gate};
use crate::processes::eventually;

/// What comes of a command (`None` where it took too long), or why it was not run.
fn ran(gate: &Gate, command: &[&str]) -> Result<Option<Ran>, i32> {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    answered(gate, &ToGate::Run { id: 7, command })
}

/// What comes out of the socket that the gate passes for this, or why it passes none.
fn answered<T: DeserializeOwned>(gate: &Gate, message: &ToGate) -> Result<Option<T>, i32> {
    gate.send(message);
    match gate.receive().expect("the gate lives") {
        (FromGate::Dialed { id: 7, errno: 0 }, Some(socket)) => {
            let mut stream = UnixStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            let mut messages = Deframer::new();
            messages.push(&bytes);
            let answer = messages.next_message().unwrap();
            assert_eq!(messages.into_rest(), b"");
            Ok(answer)
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
fn the_digest_of_a_file_is_made_with_the_programs_rights_while_it_runs() {
    let bench = Bench::new();
    let file = bench.path("written");
    let file = file.to_str().unwrap();
    let script = format!("printf abc > {file}; exec sleep 1000");
    let gate = bench.gate(&["--drop-all-caps"], &script);
    let _tun = gate.run();
    let digest = |path: &str| -> Result<Digested, i32> {
        let message = ToGate::Digest {
            id: 7,
            path: path.into(),
            unless: None,
        };
        Ok(answered(&gate, &message)?.expect("it is quick"))
    };
    let sha256 = eventually(|| match digest(file).unwrap() {
        Digested::Digest { sha256, .. } if sha256[0] == 0xba => Some(sha256),
        _ => None,
    });
    assert_eq!(sha256[31], 0xad);
    assert_eq!(digest("/no/such/file"), Ok(Digested::Absent));
    assert!(matches!(digest("/etc"), Ok(Digested::Refused(_))));
    gate.obeys(1, ProcessOp::Kill);
    assert_eq!(digest(file), Err(libc::ECONNREFUSED));
}

/// Whoever writes much takes no memory of this machine's.
#[test]
fn what_a_program_writes_is_not_kept_beyond_what_is_told() {
    let bench = Bench::new();
    let gate = bench.gate(&["--drop-all-caps"], "exec sleep 1000");
    let _tun = gate.run();
    // Its parent is who reads it.
    let script = "head -c 100000000 /dev/zero; grep VmHWM /proc/$PPID/status >&2";
    let ran = ran(&gate, &["sh", "-c", script]).unwrap().unwrap();
    assert_eq!(ran.output, [0; RAN_BYTES_MAX]);
    let said = String::from_utf8(ran.errors).unwrap();
    let kilobytes = said.split_ascii_whitespace().nth(1).unwrap();
    assert!(kilobytes.parse::<u32>().unwrap() < 50_000, "{said}");
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

/// A shell that somebody talks to, or why there is none.
fn talk(gate: &Gate, command: &[&str], terminal: Option<Terminal>) -> Result<UnixStream, i32> {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let id = 8;
    gate.send(&ToGate::Talk {
        id,
        command,
        terminal,
    });
    match gate.receive().expect("the gate lives") {
        (FromGate::Dialed { id: 8, errno: 0 }, Some(socket)) => {
            let stream = UnixStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            Ok(stream)
        }
        (FromGate::Dialed { id: 8, errno }, None) => Err(errno),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shell_reads_what_is_said_and_ends_with_it() {
    let bench = Bench::new();
    let gate = bench.gate(&[], "exec sleep 1000");
    let _tun = gate.run();
    let mut shell = talk(&gate, &["sh"], None).unwrap();
    shell
        .write_all(b"echo to you; echo and you >&2; test -t 0 || echo no terminal\n")
        .unwrap();
    shell.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    shell.read_to_string(&mut said).unwrap();
    assert_eq!(said, "to you\nand you\nno terminal\n");
    assert_eq!(
        talk(&gate, &["no-such-shell"], None).unwrap_err(),
        libc::ENOENT
    );
    // Whoever talked has gone: so has what the shell started.
    let mut shell = talk(&gate, &["sh"], None).unwrap();
    shell.write_all(b"echo begun; sleep 4321; echo\n").unwrap();
    let mut said = [0; 6];
    shell.read_exact(&mut said).unwrap();
    until_is_seen(&gate, "sleep 4321", true);
    drop(shell);
    until_is_seen(&gate, "sleep 4321", false);
}

/// Waits until a command line is that of a process of the node, or of none.
fn until_is_seen(gate: &Gate, line: &str, seen: bool) {
    let script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    crate::processes::eventually(|| {
        let all = run(gate, &["sh", "-c", script]).unwrap();
        (all.contains(line) == seen).then_some(())
    });
}

#[test]
fn a_shell_at_a_terminal_has_one_of_its_size_and_ends_with_it() {
    let bench = Bench::new();
    let gate = bench.gate(&[], "exec sleep 1000");
    let _tun = gate.run();
    let terminal = Terminal {
        rows: 33,
        columns: 101,
        name: "vt100".into(),
    };
    let mut shell = talk(&gate, &["sh"], Some(terminal)).unwrap();
    shell
        .write_all(b"stty size; echo $TERM $((6 * 7)); sleep 1001\n")
        .unwrap();
    let mut said = String::new();
    while !said.contains("vt100 42") {
        let mut bytes = [0; 256];
        let count = shell.read(&mut bytes).unwrap();
        assert!(count > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(said.contains("33 101"), "{said}");
    // An interrupt is typed, once it is for what the shell runs rather than for itself.
    until_is_seen(&gate, "sleep 1001", true);
    shell.write_all(b"\x03echo still $((1 + 1))\n").unwrap();
    while !said.contains("still 2") {
        let mut bytes = [0; 256];
        let count = shell.read(&mut bytes).unwrap();
        assert!(count > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    // Whoever talked has gone.
    shell.write_all(b"sleep 1234\n").unwrap();
    drop(shell);
    until_is_seen(&gate, "sleep 1234", false);
    until_is_seen(&gate, "stty", false);
}
