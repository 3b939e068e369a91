//! How many nodes one process holds, and how many inputs a second it handles: machines on a random
//! graph (8 outbound connections each) over a network in memory that knows latency and nothing else,
//! with a common past, and blocks mined at random nodes. A benchmark of the library, not the
//! simulator, and no test.
//!
//! ```sh
//! cargo run --release -p peerlab-node --example scale -- 10000 100   # nodes, blocks
//! ```

#![expect(clippy::print_stdout, reason = "what it measured is its output")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench reads the clock, its arguments and its own memory"
)]

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::ScriptBuf;
use peerlab_node::chain::{CachedChain, SharedChainCache, template};
use peerlab_node::io::{Event, Input, Output, PeerId};
use peerlab_node::mempool::Mempool;
use peerlab_node::peers::Peer;
use peerlab_node::time::Time;
use peerlab_node::wire::Message;
use peerlab_node::{Config, Machine};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// When the network starts, later than the blocks of the past.
const START: Time = Time(1_700_100_000_000_000_000);
const MILLI: u64 = 1_000_000;
/// Outbound connections of each node.
const OUTBOUND: usize = 8;
/// Blocks that all know from the start.
const PAST_BLOCKS: u32 = 120;
/// One-way delays lie between these, milliseconds.
const DELAY_MS: std::ops::Range<u64> = 10..160;
/// Time between blocks.
const BLOCK_EVERY: u64 = 10_000 * MILLI;
/// Nodes begin to dial within this.
const DIAL_WITHIN: u64 = 2_000 * MILLI;
const PORT: u16 = 18_444;

/// A connection: its ends, by node. It has the same name at both.
struct Link {
    ends: [u32; 2],
    delay_ms: u32,
}

/// Something that arrives at a node over a connection.
struct Delivery {
    link: u32,
    at: u32,
    message: Message,
}

/// Deliveries by millisecond: a ring that is longer than the longest delay.
struct Wire {
    ring: Vec<VecDeque<Delivery>>,
    now_ms: u64,
    waiting: usize,
}

struct Network {
    machines: Vec<Machine>,
    links: Vec<Link>,
    wire: Wire,
    timers: BinaryHeap<Reverse<(Time, u32)>>,
    now: Time,
    randomness: ChaCha8Rng,
    inputs: u64,
    by_kind: [u64; 4],
    tips: u64,
    bytes: u64,
    /// Connections that a machine asked for in the input at hand.
    dials: Vec<(u32, SocketAddr)>,
}

fn addr_of(node: u32) -> SocketAddr {
    let [_, a, b, c] = node.to_be_bytes();
    SocketAddr::from(([10, a, b, c], PORT))
}

fn node_at(addr: &SocketAddr) -> u32 {
    match addr.ip() {
        std::net::IpAddr::V4(ip) => u32::from(ip) & 0xff_ffff,
        std::net::IpAddr::V6(_) => unreachable!("all nodes have IPv4"),
    }
}

fn payout() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

fn mine(chain: &CachedChain, unix_secs: u32, extra_nonce: u64) -> Arc<bitcoin::Block> {
    let mut block =
        template::BlockTemplate::empty(payout(), extra_nonce).assemble(chain, unix_secs);
    assert!(template::mine(&mut block));
    Arc::new(block)
}

fn past(cache: &SharedChainCache) -> CachedChain {
    let mut chain = CachedChain::new(cache);
    let begin = START.unix_secs() - 100_000;
    for n in 0..PAST_BLOCKS {
        let block = mine(&chain, begin + n, u64::from(n));
        chain
            .accept_block(begin + n, block)
            .expect("the block is sound");
    }
    chain
}

impl Network {
    fn new(nodes: u32) -> Network {
        let mut network = Network {
            machines: Vec::with_capacity(nodes as usize),
            links: Vec::new(),
            wire: Wire {
                ring: (0..DELAY_MS.end + 1).map(|_| VecDeque::new()).collect(),
                now_ms: 0,
                waiting: 0,
            },
            timers: BinaryHeap::new(),
            now: START,
            randomness: ChaCha8Rng::seed_from_u64(1),
            inputs: 0,
            by_kind: [0; 4],
            tips: 0,
            bytes: 0,
            dials: Vec::new(),
        };
        let past = past(&SharedChainCache::new());
        let mut joined = BTreeSet::new();
        for node in 0..nodes {
            let mut connect: Vec<u32> = Vec::new();
            while connect.len() < OUTBOUND.min((nodes as usize - 1) / 2) {
                let other = network.draw(u64::from(nodes)) as u32;
                if other != node && joined.insert((node.min(other), node.max(other))) {
                    connect.push(other);
                }
            }
            let config = Config {
                connect_only: true,
                listen_port: Some(PORT),
                connect: connect.into_iter().map(addr_of).collect(),
                ..Config::default()
            };
            let seed = u64::from(node) + 1;
            let machine = Machine::new(config, past.fork(), Mempool::new(), seed, START);
            network.machines.push(machine);
        }
        network
    }

    fn draw(&mut self, bound: u64) -> u64 {
        ((u128::from(self.randomness.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    fn boot(&mut self) {
        let nodes = self.machines.len() as u32;
        for node in 0..nodes {
            self.now = START
                + std::time::Duration::from_nanos(DIAL_WITHIN * u64::from(node) / u64::from(nodes));
            self.run_until(self.now);
            self.drain(node);
            self.connect_dialled();
        }
    }

    fn connect_dialled(&mut self) {
        for (from, addr) in std::mem::take(&mut self.dials) {
            let to = node_at(&addr);
            let link = self.links.len() as u32;
            let delay_ms = (DELAY_MS.start + self.draw(DELAY_MS.end - DELAY_MS.start)) as u32;
            self.links.push(Link {
                ends: [from, to],
                delay_ms,
            });
            let peer = PeerId(u64::from(link));
            let own = SocketAddr::new(addr_of(from).ip(), 50_000);
            let ends = [(to, own, true), (from, addr, false)];
            for (node, addr, inbound) in ends {
                self.input(
                    node,
                    Input::Connected {
                        peer,
                        addr,
                        inbound,
                    },
                );
            }
        }
    }

    fn input(&mut self, node: u32, input: Input) {
        self.inputs += 1;
        let kind = match &input {
            Input::Received { message, .. } => match message {
                Message::Headers(_) => 0,
                Message::Block(_) => 1,
                _ => 2,
            },
            _ => 3,
        };
        self.by_kind[kind] += 1;
        self.machines[node as usize].handle(self.now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: u32) {
        while let Some(output) = self.machines[node as usize].poll_output() {
            match output {
                Output::Send { peer, message } => {
                    let link = &self.links[peer.0 as usize];
                    let at = if link.ends[0] == node {
                        link.ends[1]
                    } else {
                        link.ends[0]
                    };
                    let slots = self.wire.ring.len() as u64;
                    let slot = (self.wire.now_ms + u64::from(link.delay_ms)) % slots;
                    self.wire.waiting += 1;
                    self.wire.ring[slot as usize].push_back(Delivery {
                        link: peer.0 as u32,
                        at,
                        message,
                    });
                }
                Output::Connect { addr } => self.dials.push((node, addr)),
                Output::SetTimer(at) => self.timers.push(Reverse((at, node))),
                Output::Event(Event::Tip { .. }) => self.tips += 1,
                Output::Event(_) => {}
                Output::Disconnect { reason, .. } => panic!("node {node} disconnects: {reason}"),
            }
        }
    }

    /// Lets time pass, millisecond by millisecond.
    fn run_until(&mut self, end: Time) {
        let end_ms = (end.0 - START.0) / MILLI;
        while self.wire.now_ms < end_ms {
            self.wire.now_ms += 1;
            self.now = Time(START.0 + self.wire.now_ms * MILLI);
            while let Some(Reverse((at, node))) = self.timers.peek().copied()
                && at <= self.now
            {
                self.timers.pop();
                self.input(node, Input::Timer);
                self.connect_dialled();
            }
            let slot = (self.wire.now_ms % self.wire.ring.len() as u64) as usize;
            let mut deliveries = std::mem::take(&mut self.wire.ring[slot]);
            self.wire.waiting -= deliveries.len();
            for delivery in deliveries.drain(..) {
                let wire_bytes = delivery.message.wire_size();
                self.bytes += u64::from(wire_bytes);
                let peer = PeerId(u64::from(delivery.link));
                self.input(
                    delivery.at,
                    Input::Received {
                        peer,
                        message: delivery.message,
                        wire_bytes,
                    },
                );
            }
            if deliveries.capacity() < 1_024 {
                self.wire.ring[slot] = deliveries;
            }
        }
    }

    fn mine(&mut self, extra_nonce: u64) {
        let node = self.draw(self.machines.len() as u64) as u32;
        let machine = &mut self.machines[node as usize];
        let block = mine(machine.chain(), self.now.unix_secs(), extra_nonce);
        machine
            .submit_block(self.now, block)
            .expect("the block is sound");
        self.drain(node);
    }
}

/// Memory that this process holds, bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|p| p.parse().ok());
    pages.unwrap_or(0u64) * 4_096
}

fn report(what: &str, network: &Network, since: &mut (Instant, u64)) {
    let secs = since.0.elapsed().as_secs_f64();
    let inputs = network.inputs - since.1;
    let resident = resident_bytes();
    println!(
        "{what:<8} {secs:>7.2} s {inputs:>10} inputs {:>6.2} M/s {:>6} MB {:>7.1} kB a node  {:>9} links  wire {}",
        inputs as f64 / secs / 1e6,
        resident / 1_000_000,
        resident as f64 / 1e3 / network.machines.len() as f64,
        network.links.len(),
        network.wire.waiting,
    );
    *since = (Instant::now(), network.inputs);
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u32>());
    let nodes = arguments.next().and_then(Result::ok).unwrap_or(1_000);
    let blocks = arguments.next().and_then(Result::ok).unwrap_or(20);
    println!(
        "sizes, bytes: Machine {}, Peer {}, Message {}",
        size_of::<Machine>(),
        size_of::<Peer>(),
        size_of::<Message>()
    );
    let mut since = (Instant::now(), 0);
    let mut network = Network::new(nodes);
    report("made", &network, &mut since);
    network.boot();
    network.run_until(Time(network.now.0 + 5_000 * MILLI));
    report("joined", &network, &mut since);
    network.by_kind = [0; 4];
    for n in 0..blocks {
        network.mine(1 << 32 | u64::from(n));
        network.run_until(Time(network.now.0 + BLOCK_EVERY));
    }
    report("mined", &network, &mut since);
    let [headers, bodies, others, rest] = network.by_kind;
    println!(
        "inputs of the last: {headers} headers, {bodies} blocks, {others} other messages, {rest} else"
    );
    let tip = network.machines[0].chain().tip().hash;
    let agree = network.machines.iter().all(|m| m.chain().tip().hash == tip);
    let height = network.machines[0].chain().tip().height;
    let cache = network.machines[0].chain().cache();
    println!(
        "height {height}, all agree: {agree}, tips {}, {} MB on the wire, {} moves computed",
        network.tips,
        network.bytes / 1_000_000,
        cache.map_or(0, SharedChainCache::computed_count),
    );
}
