//! A real fabric between real namespaces: what nodes send arrives unharmed, as fast, as late and
//! as counted as the network says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use peerlab_link::proto::{
    Action, DropReason, FromFabric, NodeCounters, SOCKET_NAME, Timed, ToFabric,
};
use peerlab_link::{Change, Loss, Nanos, Network, NodeId, Shape};
use support::harness::{Fabric, Pipe};
use support::namespace::may_run;
use support::node::Node;
use support::{delayed_network, plain_network, secret};

/// Guards against hanging: nothing here takes so long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a datagram is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// A running network. Field order is the order of dropping.
struct Lab {
    fabric: Fabric,
    nodes: Vec<Node>,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn start(network: Network, schedule: Vec<Timed>) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_peerlab-fabric"));
        let mut fabric = Fabric::start(program, dir.path(), &Pipe::Pipes);
        let count = network.nodes.len() as u32;
        fabric.set_up(network);
        let open = |id| Node::open(dir.path(), NodeId(id));
        let nodes = (0..count).map(open).collect();
        fabric.go(count, schedule);
        Lab {
            fabric,
            nodes,
            _dir: dir,
        }
    }

    /// Counters, once nothing is under way any more.
    fn settled(&mut self) -> Vec<NodeCounters> {
        let mut before = self.fabric.count().0;
        loop {
            std::thread::sleep(SILENCE);
            let now = self.fabric.count().0;
            if now == before {
                return now;
            }
            before = now;
        }
    }

    fn link(&mut self, change: Change) {
        self.fabric.apply(Action::Link(change)).unwrap();
    }
}

/// Bytes that differ everywhere.
fn pattern(length: usize) -> Vec<u8> {
    let mut word = 1u32;
    let mut next = || {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (word >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Sends `length` bytes from one node to another over TCP; tells whether they arrived as sent.
fn tcp_transfer(from: &Node, to: &Node, length: usize) -> JoinHandle<bool> {
    let ip = to.ip;
    let listener = to.run(move || TcpListener::bind((ip, 0)).unwrap());
    let address = listener.local_addr().unwrap();
    let receiver = to.spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes == pattern(length)
    });
    from.spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&pattern(length)).unwrap();
    });
    receiver
}

fn tcp_passes(from: &Node, to: &Node, length: usize) -> bool {
    tcp_transfer(from, to, length).join().unwrap()
}

fn udp(node: &Node) -> UdpSocket {
    let ip = node.ip;
    node.run(move || {
        let socket = UdpSocket::bind((ip, 7_000)).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket
    })
}

fn sum(counters: &[NodeCounters], field: impl Fn(&NodeCounters) -> u64) -> u64 {
    counters.iter().map(field).sum()
}

/// Everything sent was delivered or dropped for a reason.
fn assert_conserved(counters: &[NodeCounters]) {
    let dropped = sum(counters, |c| c.drops.iter().sum());
    assert_eq!(
        sum(counters, |c| c.tx_packets),
        sum(counters, |c| c.rx_packets) + dropped
    );
}

fn assert_as_the_kernel_counts(lab: &Lab, counters: &[NodeCounters]) {
    for (node, counters) in lab.nodes.iter().zip(counters) {
        let device = (counters.device_rx_bytes, counters.device_tx_bytes);
        assert_eq!(node.device_bytes(), device);
    }
}

#[test]
fn tcp_and_udp_pass_unharmed_and_are_counted_as_the_kernel_does() {
    if !may_run("tcp_and_udp_pass_unharmed_and_are_counted_as_the_kernel_does") {
        return;
    }
    let mut lab = Lab::start(plain_network(3), Vec::new());
    assert!(tcp_passes(&lab.nodes[0], &lab.nodes[1], 20 << 20));
    assert!(tcp_passes(&lab.nodes[1], &lab.nodes[2], 1 << 20));
    let (sender, receiver) = (udp(&lab.nodes[2]), udp(&lab.nodes[0]));
    let mut buffer = [0; 1 << 16];
    // Longer ones are fragments on the wire.
    for length in [0, 1, 2, 999, 1_472, 1_473, 20_000, 65_507] {
        sender
            .send_to(&pattern(length), receiver.local_addr().unwrap())
            .unwrap();
        let got = receiver.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..got], pattern(length));
    }
    let counters = lab.settled();
    assert_conserved(&counters);
    assert_as_the_kernel_counts(&lab, &counters);
    assert!(
        counters[0].tx_bytes > counters[0].device_tx_bytes,
        "headers of the segments of a train are counted on the wire"
    );
    assert_eq!(sum(&counters, |c| c.drops.iter().sum()), 0);
}

#[test]
fn a_shaped_link_cuts_trains_into_packets_and_every_byte_arrives() {
    if !may_run("a_shaped_link_cuts_trains_into_packets_and_every_byte_arrives") {
        return;
    }
    let mut network = delayed_network(2, Nanos::from_millis(2));
    network.framing_bytes = 38;
    network.nodes[0].up_bps = Some(200_000_000);
    network.nodes[1].down_bps = Some(150_000_000);
    network.nodes[0].loss = Loss::Bernoulli {
        chance: Loss::ONE / 500,
    };
    network.paths[0][0].jitter = Nanos::from_millis(1);
    let mut lab = Lab::start(network, Vec::new());
    assert!(tcp_passes(&lab.nodes[0], &lab.nodes[1], 10 << 20));
    let counters = lab.settled();
    assert_conserved(&counters);
    assert_as_the_kernel_counts(&lab, &counters);
    assert!(counters[0].drops[DropReason::Loss as usize] > 0);
    assert_eq!(counters[0].drops[DropReason::Device as usize], 0);
    let received = counters[1];
    assert_eq!(
        received.rx_bytes,
        received.device_rx_bytes + 38 * received.rx_packets
    );
}

#[test]
fn a_delay_is_never_shorter_than_configured() {
    if !may_run("a_delay_is_never_shorter_than_configured") {
        return;
    }
    let delay = Nanos::from_millis(20);
    let mut lab = Lab::start(delayed_network(2, delay), Vec::new());
    let (near, far) = (udp(&lab.nodes[0]), udp(&lab.nodes[1]));
    let far_address = far.local_addr().unwrap();
    let mut buffer = [0; 100];
    for _ in 0..10 {
        let sent = Instant::now();
        near.send_to(b"ping", far_address).unwrap();
        let (length, from) = far.recv_from(&mut buffer).unwrap();
        far.send_to(&buffer[..length], from).unwrap();
        near.recv(&mut buffer).unwrap();
        assert!(sent.elapsed() >= Duration::from_nanos(2 * delay.0));
    }
    let (_, lateness) = lab.fabric.count();
    // And perhaps some that waited to be read, on a busy machine.
    assert!(lateness.packets >= 20, "{lateness:?}");
}

#[test]
fn a_partition_stops_everything_and_healing_resumes_it() {
    if !may_run("a_partition_stops_everything_and_healing_resumes_it") {
        return;
    }
    let mut lab = Lab::start(plain_network(3), Vec::new());
    let sockets: Vec<UdpSocket> = lab.nodes.iter().map(udp).collect();
    let passes = |from: usize, to: usize, timeout| {
        sockets[to].set_read_timeout(Some(timeout)).unwrap();
        let address: SocketAddr = sockets[to].local_addr().unwrap();
        sockets[from].send_to(b"hello", address).unwrap();
        sockets[to].recv(&mut [0; 100]).is_ok()
    };
    assert!(passes(0, 1, TIMEOUT) && passes(2, 0, TIMEOUT));
    lab.link(Change::Partition {
        id: 1,
        groups: vec![vec![NodeId(0)], vec![NodeId(1), NodeId(2)]],
        one_way: false,
    });
    assert!(!passes(0, 1, SILENCE) && !passes(2, 0, SILENCE));
    assert!(passes(1, 2, TIMEOUT));
    lab.link(Change::Silence { node: NodeId(2) });
    assert!(!passes(1, 2, SILENCE));
    lab.link(Change::HealAll);
    assert!(passes(0, 1, TIMEOUT) && passes(2, 0, TIMEOUT) && passes(1, 2, TIMEOUT));
    let counters = lab.settled();
    assert_conserved(&counters);
    assert_eq!(
        sum(&counters, |c| c.drops[DropReason::Partition as usize]),
        2
    );
    assert_eq!(counters[1].drops[DropReason::Silence as usize], 1);
}

#[test]
fn a_connection_survives_a_partition_in_its_middle() {
    if !may_run("a_connection_survives_a_partition_in_its_middle") {
        return;
    }
    let mut network = plain_network(2);
    network.nodes[0].up_bps = Some(50_000_000);
    let mut lab = Lab::start(network, Vec::new());
    let passed = tcp_transfer(&lab.nodes[0], &lab.nodes[1], 4 << 20);
    while lab.fabric.count().0[1].rx_packets < 100 {}
    lab.link(Change::Partition {
        id: 3,
        groups: vec![vec![NodeId(0)]],
        one_way: false,
    });
    let dropped = |c: &[NodeCounters]| sum(c, |c| c.drops[DropReason::Partition as usize]);
    while dropped(&lab.fabric.count().0) < 5 {}
    assert!(!passed.is_finished());
    lab.link(Change::Shape {
        id: 4,
        nodes: vec![NodeId(0), NodeId(1)],
        shape: Shape {
            loss: Some(Loss::Bernoulli {
                chance: Loss::ONE / 200,
            }),
            delay: Some(Nanos::from_millis(3)),
            ..Shape::default()
        },
    });
    lab.link(Change::Heal { id: 3 });
    assert!(passed.join().unwrap());
    assert_conserved(&lab.settled());
}

#[test]
fn the_fault_schedule_is_carried_out_in_order_and_never_early() {
    if !may_run("the_fault_schedule_is_carried_out_in_order_and_never_early") {
        return;
    }
    let at = |millis, change| Timed {
        at: Nanos::from_millis(millis),
        action: Action::Link(change),
    };
    let schedule = vec![
        at(0, Change::Silence { node: NodeId(0) }),
        at(30, Change::Silence { node: NodeId(9) }),
        at(30, Change::HealAll),
    ];
    let mut lab = Lab::start(plain_network(1), schedule.clone());
    for (index, timed) in (0..).zip(&schedule) {
        let (t, tag, result) = lab.fabric.wait(|e| match e {
            FromFabric::Applied { t, tag, result } => Some((*t, *tag, result.clone())),
            _ => None,
        });
        assert_eq!(tag, index);
        assert!(t >= timed.at, "{t:?} is before {timed:?}");
        assert_eq!(result.is_err(), index == 1, "there is no node 9");
    }
}

#[test]
fn packets_to_nowhere_are_counted_as_such() {
    if !may_run("packets_to_nowhere_are_counted_as_such") {
        return;
    }
    let mut lab = Lab::start(plain_network(2), Vec::new());
    let socket = udp(&lab.nodes[0]);
    let nobody = Ipv4Addr::new(10, 9, 9, 9);
    for _ in 0..5 {
        socket.send_to(b"anybody?", (nobody, 9)).unwrap();
    }
    let counters = lab.settled();
    assert_eq!(counters[0].drops[DropReason::Unroutable as usize], 5);
    let address = lab.nodes[1].ip;
    socket.send_to(b"you", (address, 9)).unwrap();
    let counters = lab.settled();
    // The datagram; the other end answers that nobody listens at the port, and quotes it.
    let received = |node: usize| (counters[node].rx_packets, counters[node].rx_bytes);
    assert_eq!([received(1), received(0)], [(1, 31), (1, 59)]);
}

#[test]
fn nodes_join_while_the_network_runs() {
    if !may_run("nodes_join_while_the_network_runs") {
        return;
    }
    let mut lab = Lab::start(plain_network(2), Vec::new());
    let socket = lab._dir.path().join(SOCKET_NAME);
    let wait_for_socket = |wanted: bool| {
        let deadline = Instant::now() + TIMEOUT;
        while socket.exists() != wanted {
            assert!(Instant::now() < deadline, "the socket: {wanted}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    for id in [2, 3] {
        // Nobody is expected.
        wait_for_socket(false);
        let link = plain_network(id + 1).nodes[id as usize].clone();
        let secret = secret(NodeId(id));
        lab.fabric.send(ToFabric::Join { link, secret });
        wait_for_socket(true);
        let node = Node::open(lab._dir.path(), NodeId(id));
        lab.fabric.wait(|event| {
            let is_open = matches!(event, FromFabric::GateOpen { node } if node.0 == id);
            is_open.then_some(())
        });
        assert!(tcp_transfer(&lab.nodes[0], &node, 100_000).join().unwrap());
        assert!(tcp_transfer(&node, &lab.nodes[1], 100_000).join().unwrap());
        lab.nodes.push(node);
    }
    let counters = lab.settled();
    assert_eq!(counters.len(), 4);
    assert!(
        counters.iter().all(|node| node.rx_bytes > 0),
        "{counters:?}"
    );
}
