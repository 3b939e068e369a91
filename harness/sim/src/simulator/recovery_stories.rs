//! Stories of two nodes and what is lost between them: when it comes nevertheless. Their programs
//! stand still; the story writes and reads in their place. A round trip takes 100 ms.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::Txid;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use peerlab_core::ledger::Premined;
use peerlab_core::{plan, topology};
use peerlab_link::proto::ProcessOp;
use peerlab_link::{Change, Loss, Nanos, NodeId, Shape};
use peerlab_node::io::{Input, Output, PeerId};
use peerlab_node::wire::Message;

use super::program::Programs;
use super::worker_pool::WorkerPool;

const PLACES: &str = "
name: line
phases: { warmup: 5s, settle: 5s }
nodes: { ends: { count: 2 } }
network: { latency: 50ms, discovery: { graph: ring } }
";
const LISTENER: NodeId = NodeId(0);
const DIALLER: NodeId = NodeId(1);

/// Two nodes; the dialler writes to the listener.
struct Line {
    pool: WorkerPool,
    listener: SocketAddr,
    now: u64,
}

impl Line {
    fn new() -> Line {
        let topology = topology::parse("line.yaml", PLACES).unwrap();
        let plan = plan::compile(&topology, 1).unwrap();
        let programs = Arc::new(Programs::new(&plan, Arc::new(Premined::mine(0))).unwrap());
        let mut pool = WorkerPool::new(&plan.network, &programs, 1).unwrap();
        for node in [LISTENER, DIALLER] {
            let shard = pool.shard_of(node);
            shard.control(node, ProcessOp::Freeze).unwrap();
            let disk = shard.new_disk.fork();
            let machine = programs.start(node, 0, disk, programs.time(Nanos::ZERO));
            shard.start_with(node, machine);
        }
        let listener = (plan.nodes[0].ip, 18_444).into();
        Line {
            pool,
            listener,
            now: 0,
        }
    }

    /// Lets so many milliseconds pass.
    fn wait(&mut self, millis: u64) {
        self.now += millis;
        self.pool.run_until(Nanos::from_millis(self.now));
    }

    /// From now on, all that a node sends is lost, or nothing.
    fn lose(&mut self, node: NodeId, all: bool) {
        let id = node.0;
        let change = match all {
            true => Change::Shape {
                id,
                nodes: vec![node],
                shape: Shape {
                    loss: Some(Loss::Bernoulli { chance: Loss::ONE }),
                    ..Shape::default()
                },
            },
            false => Change::Unshape { id },
        };
        self.pool.apply(&change).unwrap();
    }

    fn put_out(&mut self, output: Output) {
        self.pool.shard_of(DIALLER).put_out(DIALLER, output);
    }

    fn dial(&mut self) {
        let addr = self.listener;
        self.put_out(Output::Connect { addr });
    }

    /// Waits until the dialler is connected.
    fn connected(&mut self) -> PeerId {
        for _ in 0..20_000 {
            let inbox = self.pool.shard_of(DIALLER).unread(DIALLER);
            match inbox.pop_front() {
                Some(Input::Connected { peer, .. }) => return peer,
                Some(other) => panic!("{other:?}"),
                None => self.wait(1),
            }
        }
        panic!("never connected");
    }

    /// A connection that has been idle for a while.
    fn connect(&mut self) -> PeerId {
        self.dial();
        let peer = self.connected();
        self.wait(1_000);
        self.pool.shard_of(LISTENER).unread(LISTENER).clear();
        peer
    }

    fn send(&mut self, peer: PeerId) {
        let message = Message::Ping(self.now);
        self.put_out(Output::Send { peer, message });
    }

    /// Sends something whose first packets are lost.
    fn send_lost(&mut self, peer: PeerId) {
        self.lose(DIALLER, true);
        self.send(peer);
        self.lose(DIALLER, false);
    }

    /// How many milliseconds from `since` it takes until the listener has read so many more messages.
    fn read_after(&mut self, since: u64, messages: usize) -> u64 {
        for _ in 0..120_000 {
            let inbox = self.pool.shard_of(LISTENER).unread(LISTENER);
            let received = |input: &&Input| matches!(input, Input::Received { .. });
            if inbox.iter().filter(received).count() >= messages {
                inbox.clear();
                return self.now - since;
            }
            self.wait(1);
        }
        panic!("never read");
    }

    /// Of the dialler: what was sent, with all retransmissions.
    fn packets_sent(&mut self) -> u64 {
        let mut sums = vec![Default::default(); 2];
        self.pool.shard_of(DIALLER).counters.add_to(&mut sums);
        let sum: &peerlab_link::proto::NodeCounters = &sums[DIALLER.index()];
        sum.tx_packets
    }
}

#[test]
fn a_message_comes_after_half_a_round_trip() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    line.send(peer);
    assert_eq!(line.read_after(since, 1), 51);
}

#[test]
fn a_lone_message_that_is_lost_waits_for_a_time_out() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    line.send_lost(peer);
    assert_eq!(line.read_after(since, 1), 351);
}

#[test]
fn the_second_time_out_is_as_long_as_the_first_and_the_third_twice_as_long() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    line.lose(DIALLER, true);
    line.send(peer);
    line.wait(301);
    line.lose(DIALLER, false);
    assert_eq!(line.read_after(since, 1), 651);
    let since = line.now;
    line.lose(DIALLER, true);
    line.send(peer);
    line.wait(601);
    line.lose(DIALLER, false);
    assert_eq!(line.read_after(since, 1), 1_251);
}

#[test]
fn what_is_sent_later_tells_of_a_hole_when_it_is_acknowledged() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    line.send_lost(peer);
    line.wait(80);
    line.send(peer);
    // Acknowledged after another 100 ms; both are read then, in order.
    assert_eq!(line.read_after(since, 1), 231);
    assert_eq!(line.packets_sent(), 5, "SYN, ACK, two messages, one again");
}

#[test]
fn a_hole_is_given_a_quarter_of_a_round_trip() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    line.send_lost(peer);
    line.wait(10);
    line.send(peer);
    assert_eq!(line.read_after(since, 2), 100 + 25 + 6 + 51);
}

#[test]
fn a_lost_acknowledgement_tells_nothing() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    line.send_lost(peer);
    line.lose(LISTENER, true);
    line.wait(80);
    line.send(peer);
    assert_eq!(line.read_after(since, 2), 351);
}

#[test]
fn an_acknowledgement_of_what_came_before_sets_the_timer_anew() {
    let mut line = Line::new();
    let peer = line.connect();
    line.send(peer);
    line.wait(70);
    let since = line.now;
    line.send_lost(peer);
    assert_eq!(line.read_after(since, 2), 30 + 300 + 51);
}

#[test]
fn a_long_message_does_not_stand_still_when_acknowledgements_are_lost() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    let entry = Inventory::Transaction(Txid::from_byte_array([7; 32]));
    let message = Message::Inv(vec![entry; 2_000]);
    line.put_out(Output::Send { peer, message });
    line.lose(LISTENER, true);
    line.wait(60);
    line.lose(LISTENER, false);
    let took = line.read_after(since, 1);
    assert!((500..1_000).contains(&took), "{took}");
}

#[test]
fn a_lost_handshake_is_forgotten_by_the_round_trip() {
    let mut line = Line::new();
    line.lose(DIALLER, true);
    line.dial();
    line.wait(1);
    line.lose(DIALLER, false);
    let peer = line.connected();
    assert_eq!(line.now, 1_101);
    line.wait(1_000);
    line.pool.shard_of(LISTENER).unread(LISTENER).clear();
    let since = line.now;
    line.send_lost(peer);
    assert_eq!(line.read_after(since, 1), 351);
}

#[test]
fn a_syn_is_sent_again_each_second() {
    let mut line = Line::new();
    line.lose(DIALLER, true);
    line.dial();
    line.wait(1_500);
    line.lose(DIALLER, false);
    line.connected();
    // Doubled, the second wait would be over after 3 s.
    assert_eq!(line.now, 2_101);
}

#[test]
fn what_was_written_before_closing_is_sent_again_after_it() {
    let mut line = Line::new();
    let peer = line.connect();
    let since = line.now;
    line.lose(DIALLER, true);
    line.send(peer);
    let reason = "story".into();
    line.put_out(Output::Disconnect { peer, reason });
    line.lose(DIALLER, false);
    for _ in 0..2_000 {
        line.wait(1);
        let inbox = line.pool.shard_of(LISTENER).unread(LISTENER);
        if let [Input::Received { .. }, Input::Disconnected { .. }] = inbox.make_contiguous() {
            let took = line.now - since;
            assert!((250..=360).contains(&took), "{took}");
            let ends = line.pool.shard_of(DIALLER).node(DIALLER).end_ids();
            assert!(ends.is_empty(), "nothing is left of it: {ends:?}");
            return;
        }
    }
    panic!("never closed");
}
