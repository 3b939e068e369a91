//! Connections into the node, and its usage.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use peerlab_link::Nanos;
use peerlab_link::proto::{FromGate, ProcessOp, ToGate};
use rustix::thread::CpuSet;

use crate::fabric::{Bench, Gate, NODE_IP, spawn};
use crate::processes::{eventually, state};

/// The port that [`inside_the_node`] listens on.
const PORT: u16 = 7007;
/// Set for the program inside the node.
const INSIDE: &str = "PEERLAB_TEST_INSIDE";
/// Likewise, for one that sends as much as it is set to.
const FLOOD: &str = "PEERLAB_TEST_FLOOD";

/// Not a test but the program of the node in the tests below, which run this very binary there:
/// echoes what it is told. Does nothing anywhere else.
#[test]
fn inside_the_node() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    for stream in listener.incoming() {
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                stream.write_all(&bytes[..count]).unwrap();
            }
        });
    }
}

/// Likewise: sends so many datagrams to a neighbour.
#[test]
fn flood_from_the_node() {
    let Some(count) = std::env::var(FLOOD).ok().and_then(|n| n.parse().ok()) else {
        return;
    };
    let socket = UdpSocket::bind((NODE_IP, 0)).unwrap();
    for _ in 0..count {
        socket.send_to(&[0; 8], ("10.1.2.4", PORT)).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_secs(1_000));
}

/// A node with one of these programs, let go.
fn node_with(bench: &Bench, variable: &str, test: &str) -> (Gate, OwnedFd) {
    let own = std::env::current_exe().unwrap();
    let gate = bench.gate_of(
        &["--drop-all-caps"],
        &[
            "/usr/bin/env",
            variable,
            own.to_str().unwrap(),
            "--exact",
            test,
            "--nocapture",
        ],
    );
    let tun = gate.run();
    (gate, tun)
}

/// A node with the echo program, let go.
fn echo_node(bench: &Bench) -> (Gate, OwnedFd) {
    node_with(bench, &format!("{INSIDE}=1"), "measure::inside_the_node")
}

fn dial(gate: &Gate, id: u32, port: u16) -> Result<TcpStream, i32> {
    gate.send(&ToGate::Dial { id, port });
    match gate.receive().expect("the gate lives") {
        (
            FromGate::Dialed {
                id: answered,
                errno: 0,
            },
            Some(socket),
        ) => {
            assert_eq!(answered, id);
            let stream = TcpStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            Ok(stream)
        }
        (
            FromGate::Dialed {
                id: answered,
                errno,
            },
            None,
        ) => {
            assert_eq!(answered, id);
            Err(errno)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_listener_in_the_node_is_reached_from_outside_it() {
    let bench = Bench::new();
    let (gate, _tun) = echo_node(&bench);
    assert_eq!(dial(&gate, 1, PORT + 1).unwrap_err(), libc::ECONNREFUSED);
    let mut streams = eventually(|| {
        (0..8)
            .map(|id| dial(&gate, id, PORT).ok())
            .collect::<Option<Vec<_>>>()
    });
    for (i, stream) in streams.iter_mut().enumerate() {
        let word = format!("hello {i}");
        stream.write_all(word.as_bytes()).unwrap();
        let mut back = vec![0; word.len()];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, word.as_bytes());
    }
    // The program's death closes them, and the gate still serves.
    gate.obeys(1, ProcessOp::Kill);
    for mut stream in streams {
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    assert_eq!(dial(&gate, 9, PORT).unwrap_err(), libc::ECONNREFUSED);
}

fn usage(gate: &Gate) -> peerlab_link::proto::NodeUsage {
    gate.send(&ToGate::Usage { memory: true });
    match gate.answer() {
        FromGate::Usage(usage) => usage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn usage_is_that_of_the_nodes_processes_alone() {
    let bench = Bench::new();
    let gate = bench.gate(
        &["--drop-all-caps"],
        &format!(
            "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo up > {}; sleep 1000",
            bench.path("up").display()
        ),
    );
    let tun = gate.open();
    let before = usage(&gate);
    assert_eq!(
        (before.memory_bytes, before.cpu.0),
        (Some(0), 0),
        "the gate itself does not count"
    );
    gate.send(&ToGate::Go { run: true });
    bench.findings("up");
    let busy = usage(&gate);
    let memory = busy.memory_bytes.unwrap();
    assert!((50_000..50_000_000).contains(&memory), "{busy:?}");
    assert!(busy.cpu.0 > 1_000_000, "{busy:?}");
    gate.obeys(1, ProcessOp::Kill);
    let after = usage(&gate);
    assert_eq!(after.memory_bytes, Some(0));
    assert!(
        after.cpu.0 > busy.cpu.0 / 2,
        "what ended still counts: {after:?}"
    );
    // The device's counters are the kernel's: one packet of 33 bytes goes in.
    let mut packet = vec![0; 10 + 33];
    packet[10] = 0x45;
    rustix::io::write(&tun, &packet).unwrap();
    let counted = usage(&gate);
    assert_eq!(counted.rx_bytes - after.rx_bytes, 33);
    assert_eq!(counted.tx_bytes, after.tx_bytes);
}

#[test]
fn what_the_gate_itself_takes_is_told_apart_since_it_was_let_go() {
    let bench = Bench::new();
    let gate = bench.gate(
        &["--drop-all-caps"],
        &format!("echo up > {}; exec sleep 1000", bench.path("up").display()),
    );
    let _tun = gate.open();
    for _ in 0..50 {
        assert_eq!(usage(&gate).gate_cpu, Nanos::ZERO);
    }
    gate.send(&ToGate::Go { run: true });
    bench.findings("up");
    let asleep = || eventually(|| (state(gate.program_pid()) == Some('S')).then(|| usage(&gate)));
    let first = asleep();
    // Measuring is what it is busy with.
    let busy = eventually(|| {
        let usage = usage(&gate);
        (usage.gate_cpu.0 > first.gate_cpu.0 + 20_000_000).then_some(usage)
    });
    assert_eq!(busy.cpu, first.cpu);
}

#[test]
fn threads_that_share_a_cpu_wait_for_it() {
    let bench = Bench::new();
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let cpu = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu));
    let forever = "while :; do :; done";
    let gate = bench.gate(
        &["--drop-all-caps"],
        &format!(
            "taskset -c -p {} $$ >/dev/null; {forever} & {forever}",
            cpu.unwrap()
        ),
    );
    let _tun = gate.open();
    assert_eq!(usage(&gate).waited, Some(Nanos::ZERO));
    gate.send(&ToGate::Go { run: true });
    let waited = |more_than: u64| {
        let waited = || Some(usage(&gate).waited?.0);
        eventually(|| waited().filter(|waited| *waited > more_than))
    };
    let first = waited(100_000_000);
    let then = waited(first + 100_000_000);
    // Neither loop runs any more, and what they waited stays.
    assert!(gate.order(1, ProcessOp::Freeze).1.is_ok());
    assert!(gate.order(2, ProcessOp::Kill).1.is_ok());
    assert!(waited(0) >= then);
}

#[test]
fn what_the_device_drops_since_nobody_reads_it_is_counted() {
    let bench = Bench::new();
    let sent = 5_000;
    let program = "measure::flood_from_the_node";
    let (gate, tun) = node_with(&bench, &format!("{FLOOD}={sent}"), program);
    let flags = rustix::fs::fcntl_getfl(&tun).unwrap() | rustix::fs::OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(&tun, flags).unwrap();
    // All that were sent and do not wait in the device's queue.
    let waiting = 1_000;
    let counted = eventually(|| {
        let counted = usage(&gate);
        (counted.tx_dropped >= sent - waiting).then_some(counted)
    });
    let mut read = 0;
    while rustix::io::read(&tun, &mut [0; 2_000]).is_ok() {
        read += 1;
    }
    assert_eq!((read, counted.tx_dropped), (waiting, sent - waiting));
    assert_eq!(counted.rx_dropped, 0);
}

#[test]
fn memory_of_another_users_program_is_its_proportional_set() {
    if !rustix::process::geteuid().is_root() {
        return; // a user namespace of one user has no other
    }
    let bench = Bench::new();
    for options in [
        &["--user", "4321"][..],
        &["--user", "4321", "--drop-all-caps"],
        &[],
    ] {
        // Without this capability, as in a container: the program's user may look at itself.
        let before = ["setpriv", "--bounding-set", "-sys_ptrace", "--"];
        let command = ["/bin/sleep", "1000"];
        let process = spawn(&bench.path("fabric.sock"), &before, options, &command);
        let gate = bench.met(process);
        let _tun = gate.run();
        let program = gate.program_pid();
        // Nearly all of `sleep` is library pages that it shares with much else, once it is up.
        eventually(|| {
            let rollup = std::fs::read_to_string(format!("/proc/{program}/smaps_rollup")).ok()?;
            let resident = rollup.lines().find_map(|l| l.strip_prefix("Rss:"))?;
            let resident: u64 = resident.trim().trim_end_matches(" kB").parse().ok()?;
            let measured = usage(&gate).memory_bytes.unwrap() / 1024;
            (0 < measured && measured < resident * 2 / 3).then_some(())
        });
    }
}
