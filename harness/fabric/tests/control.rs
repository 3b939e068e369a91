//! The control side of a real fabric: gates, process control, proxied connections, shared files,
//! and its end.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsFd;
use std::path::Path;

use peerlab_link::proto::{
    APPLY_TAG_MIN, Action, FromFabric, FromGate, ProcessOp, SOCKET_NAME, Seen, Timed, ToFabric,
    ToGate,
};
use peerlab_link::{Nanos, NodeId};
use support::harness::{Fabric, Pipe};
use support::namespace::may_run;
use support::node::{GateSocket, Node};
use support::{plain_network, secret};

fn start(dir: &Path, pipe: &Pipe) -> Fabric {
    Fabric::start(Path::new(env!("CARGO_BIN_EXE_peerlab-fabric")), dir, pipe)
}

fn lost(event: &FromFabric) -> Option<(NodeId, String)> {
    match event {
        FromFabric::GateLost { node, reason, .. } => Some((*node, reason.clone())),
        _ => None,
    }
}

#[test]
fn a_proxied_connection_carries_every_byte_both_ways() {
    if !may_run("a_proxied_connection_carries_every_byte_both_ways") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut fabric = start(dir.path(), &Pipe::Socket);
    fabric.set_up(plain_network(1));
    let node = Node::open(dir.path(), NodeId(0));
    fabric.go(1, Vec::new());
    let listener = node.run(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let server = node.spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes.reverse();
        stream.write_all(&bytes).unwrap();
        drop(listener);
    });
    let mut stream = fabric.dial(NodeId(0), port).unwrap();
    let sent: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    back.reverse();
    assert!(back == sent);
    server.join().unwrap();

    let refused = fabric.dial(NodeId(0), port).unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
    assert!(fabric.dial(NodeId(7), port).is_err());
    node.close();
    fabric.wait(lost);
    assert!(fabric.dial(NodeId(0), port).is_err());
}

#[test]
fn process_control_reaches_the_gate_and_its_answer_the_harness() {
    if !may_run("process_control_reaches_the_gate_and_its_answer_the_harness") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut fabric = start(dir.path(), &Pipe::Pipes);
    fabric.set_up(plain_network(2));
    let nodes = [0, 1].map(|id| Node::open(dir.path(), NodeId(id)));
    let kill = |node| Action::Process {
        node: NodeId(node),
        op: ProcessOp::Kill,
    };
    fabric.go(
        2,
        vec![Timed {
            at: Nanos::from_millis(5),
            action: kill(1),
        }],
    );
    let told: Vec<ToGate> = nodes[1].told.iter().take(2).collect();
    let expected = ToGate::Process {
        tag: 0,
        op: ProcessOp::Kill,
    };
    assert_eq!(told, [ToGate::Go { run: true }, expected]);
    let applied = fabric.wait(|e| match e {
        FromFabric::Applied { tag: 0, result, t } => Some((result.clone(), *t)),
        _ => None,
    });
    assert_eq!(applied.0, Ok(Seen::NotRunning), "as its gate says");
    assert!(applied.1 >= Nanos::from_millis(5));
    nodes[1].say(&FromGate::Exited {
        status: -9,
        asked: true,
    });
    let exited = fabric.wait(|e| match e {
        FromFabric::Exited {
            node,
            status,
            asked,
            ..
        } => Some((*node, *status, *asked)),
        _ => None,
    });
    assert_eq!(exited, (NodeId(1), -9, true));
    fabric.send(ToFabric::Usage {
        node: NodeId(0),
        memory: false,
    });
    fabric.wait(|e| {
        matches!(
            e,
            FromFabric::Usage {
                node: NodeId(0),
                ..
            }
        )
        .then_some(())
    });

    let [first, second] = nodes;
    second.close();
    fabric.wait(lost);
    assert!(fabric.apply(kill(1)).is_err(), "its gate is gone");
    assert!(fabric.apply(kill(9)).is_err(), "no such node");
    assert_eq!(fabric.apply(kill(0)), Ok(Seen::NotRunning));
    drop(first);
}

#[test]
fn a_node_has_one_gate_and_what_is_no_gate_is_turned_away() {
    if !may_run("a_node_has_one_gate_and_what_is_no_gate_is_turned_away") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut fabric = start(dir.path(), &Pipe::Pipes);
    fabric.set_up(plain_network(4));
    let impostor = GateSocket::connect(dir.path());
    let node = NodeId(0);
    let hello = FromGate::Hello {
        node,
        // It has another node's, at best.
        secret: secret(NodeId(1)),
    };
    impostor.send(&hello, None);
    assert_eq!(impostor.receive(), None, "a claim without the secret");
    // Which leaves the node to its gate.
    let node = Node::open(dir.path(), node);

    let second = GateSocket::connect(dir.path());
    second.claim(NodeId(0));
    assert_eq!(second.receive(), None, "a second claim");
    let unknown = GateSocket::connect(dir.path());
    unknown.claim(NodeId(4));
    assert_eq!(unknown.receive(), None, "no such node");
    let garbage = GateSocket::connect(dir.path());
    garbage.send_bytes(&[0xff; 50], None).unwrap();
    assert_eq!(garbage.receive(), None, "not a message");

    let wrong_device = GateSocket::connect(dir.path());
    wrong_device.claim(NodeId(1));
    assert!(wrong_device.receive().is_some());
    let null = std::fs::File::open("/dev/null").unwrap();
    wrong_device.send(&FromGate::Tun, Some(null.as_fd()));
    assert_eq!(fabric.wait(lost).0, NodeId(1));

    let hasty = GateSocket::connect(dir.path());
    hasty.claim(NodeId(2));
    hasty.send(
        &FromGate::Done {
            tag: 0,
            result: Ok(Seen::NotRunning),
        },
        None,
    );
    assert_eq!(
        fabric.wait(lost),
        (NodeId(2), "it spoke out of turn".into())
    );

    let failed = GateSocket::connect(dir.path());
    failed.claim(NodeId(3));
    let reason = "no /dev/net/tun".to_string();
    failed.send(
        &FromGate::Failed {
            reason: reason.clone(),
        },
        None,
    );
    assert_eq!(fabric.wait(lost), (NodeId(3), reason));

    // Every node has had its gate: nobody can come any more.
    while dir.path().join(SOCKET_NAME).exists() {
        std::thread::yield_now();
    }
    fabric.go(1, Vec::new());
    drop(node);
}

#[test]
fn a_gate_that_comes_late_is_started_at_once() {
    if !may_run("a_gate_that_comes_late_is_started_at_once") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut fabric = start(dir.path(), &Pipe::Pipes);
    fabric.set_up(plain_network(2));
    let early = Node::open(dir.path(), NodeId(0));
    fabric.go(1, Vec::new());
    let late = Node::open(dir.path(), NodeId(1));
    assert_eq!(early.told.recv(), Ok(ToGate::Go { run: true }));
    assert_eq!(late.told.recv(), Ok(ToGate::Go { run: false }));
}

/// A node more, as the harness tells of it.
fn join(node: u32) -> ToFabric {
    let link = plain_network(node + 1).nodes.remove(node as usize);
    let secret = secret(NodeId(node));
    ToFabric::Join { link, secret }
}

#[test]
fn a_gate_may_come_before_the_word_of_it_and_one_that_is_forgotten_may_not() {
    if !may_run("a_gate_may_come_before_the_word_of_it_and_one_that_is_forgotten_may_not") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut fabric = start(dir.path(), &Pipe::Pipes);
    fabric.set_up(plain_network(1));
    let early = GateSocket::connect(dir.path());
    early.claim(NodeId(1));
    let garbage = GateSocket::connect(dir.path());
    garbage.send_bytes(&[0xff; 50], None).unwrap();
    assert_eq!(garbage.receive(), None, "what was said before it is read");
    fabric.send(join(1));
    let configure = early.receive();
    assert!(
        matches!(configure, Some(ToGate::Configure { .. })),
        "{configure:?}"
    );

    fabric.send(join(2));
    let late = GateSocket::connect(dir.path());
    let node = Node::open(dir.path(), NodeId(0));
    fabric.send(ToFabric::Forget { node: NodeId(2) });
    // Nobody else is to come.
    while dir.path().join(SOCKET_NAME).exists() {
        std::thread::yield_now();
    }
    late.claim(NodeId(2));
    assert_eq!(late.receive(), None);
    drop(node);
}

#[test]
fn of_those_who_do_not_say_who_they_are_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut fabric = start(dir.path(), &Pipe::Pipes);
    fabric.set_up(plain_network(1));
    let began = std::time::Instant::now();
    let mut strangers: Vec<GateSocket> = Vec::new();
    strangers.resize_with(66, || GateSocket::connect(dir.path()));
    assert_eq!(strangers[0].receive(), None);
    // In less time than each of them has.
    assert!(began.elapsed() < std::time::Duration::from_secs(4));
    strangers[1].claim(NodeId(0));
    assert!(strangers[1].receive().is_some());
}

#[test]
fn senseless_demands_end_it_with_the_reason() {
    let mut unsorted = plain_network(1);
    unsorted.paths.clear();
    let demands = [
        (ToFabric::Count, "there was no setup"),
        (
            ToFabric::Setup {
                network: Box::new(unsorted),
                secrets: vec![secret(NodeId(0))],
            },
            "the network cannot be",
        ),
        (
            ToFabric::Setup {
                network: Box::new(plain_network(2)),
                secrets: vec![secret(NodeId(0))],
            },
            "there is not a secret for each node",
        ),
        (
            ToFabric::File {
                name: "../x".into(),
                bytes: Vec::new(),
            },
            "not a plain file name",
        ),
    ];
    for (demand, expected) in demands {
        let dir = tempfile::tempdir().unwrap();
        let mut fabric = start(dir.path(), &Pipe::Pipes);
        fabric.send(demand);
        let said = fabric.wait(|e| match e {
            FromFabric::Failed { reason } => Some(reason.clone()),
            _ => None,
        });
        assert!(said.contains(expected), "{said}");
        fabric.hang_up();
    }
}

#[test]
fn it_ends_when_its_input_does_and_leaves_nothing() {
    if !may_run("it_ends_when_its_input_does_and_leaves_nothing") {
        return;
    }
    for pipe in [Pipe::Pipes, Pipe::Socket] {
        let dir = tempfile::tempdir().unwrap();
        let mut fabric = start(dir.path(), &pipe);
        fabric.send(ToFabric::File {
            name: "chain".into(),
            bytes: vec![7; 1_000],
        });
        fabric.set_up(plain_network(2));
        assert_eq!(std::fs::read(dir.path().join("chain")).unwrap(), [7; 1_000]);
        let node = Node::open(dir.path(), NodeId(0));
        fabric.send(ToFabric::Apply {
            tag: APPLY_TAG_MIN,
            action: Action::Link(peerlab_link::Change::HealAll),
        });
        let status = fabric.hang_up();
        assert!(status.success(), "{status}");
        assert_eq!(node.told.recv().ok(), None, "the gate's socket has closed");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
