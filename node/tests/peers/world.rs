//! The stage: machines joined by a network in memory, in virtual time. Everything that happens
//! follows from the seed and from what the story does. Connections behave as TCP does: in order,
//! nothing lost while open; across a cut their bytes wait; one that is closed across a cut is only
//! noticed as such after healing.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{BlockHash, Transaction};
use peerlab_node::chain::{CachedChain, SharedChainCache};
use peerlab_node::io::{Event, Input, KEEPALIVE_AFTER, Output, PeerId};
use peerlab_node::mempool::Mempool;
use peerlab_node::peers::{ConnectionKind, Peer};
use peerlab_node::time::Time;
use peerlab_node::wire::{Decoder, Message};
use peerlab_node::{Config, Machine};

use crate::ledger::{chain_with_past, fresh_chain, import_past, mine_on};

/// When every story begins: later than the blocks of the common past.
pub const START: Time = Time(1_700_100_000_000_000_000);
/// Regtest's usual port.
pub const PORT: u16 = 18_444;
/// How long TCP takes to find out that a cut has healed.
const RETRANSMISSION: Duration = Duration::from_millis(700);
/// A stream breaks when something stays unacknowledged for so long: the node's `peer_timeout`.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);
/// Inputs that one story may take, so that a loop without end is a failure and not a hang.
const INPUTS_MAX: u64 = 20_000_000;

/// Seconds.
pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A node of the story: its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(pub usize);

impl Node {
    pub fn addr(self) -> SocketAddr {
        SocketAddr::from(([10, 0, (self.0 >> 8) as u8, (self.0 & 255) as u8 + 1], PORT))
    }
}

/// What a node is: a machine, or a puppet whose messages the story writes itself.
pub enum Role {
    Machine(Box<Machine>),
    Puppet(Vec<(PeerId, Message)>),
    Down,
}

pub struct Host {
    pub role: Role,
    config: Config,
    /// Bytes to and from it are lost: the link is gone without a word.
    silent: bool,
    side: u32,
    timer: Time,
    next_peer: u64,
    /// Reasons for which it closed connections, with the other end.
    closed: Vec<(SocketAddr, String)>,
    tips: Vec<u32>,
}

/// One end of a connection.
type End = (Node, PeerId);

struct Link {
    other: End,
    addr: SocketAddr,
    /// The last thing sent through it arrives then.
    busy_until: Time,
}

enum Happening {
    Arrive {
        at: End,
        from: End,
        what: Piece,
        sent: Time,
    },
    Dialled {
        from: Node,
        addr: SocketAddr,
        gives_up: Time,
    },
    DialFailed {
        from: Node,
        addr: SocketAddr,
    },
    Wake(Node),
    Break(End),
    KeepAlive(End),
}

pub enum Piece {
    Message(Message),
    Bytes(Vec<u8>),
    Close,
}

/// The whole network.
pub struct World {
    pub now: Time,
    pub hosts: Vec<Host>,
    links: BTreeMap<End, Link>,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    inputs: u64,
    seed: u64,
    /// One-way delay of everything; a spread of as much again depends on the pair.
    pub delay: Duration,
    extra_nonce: u64,
    /// The common past, where all nodes share what they have in common.
    shared_past: Option<CachedChain>,
    /// Everything that machines put out, where a story asks for it.
    trace: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            now: START,
            hosts: Vec::new(),
            links: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            inputs: 0,
            seed,
            delay: Duration::from_millis(20),
            extra_nonce: 1 << 32,
            shared_past: None,
            trace: None,
        }
    }

    /// From now on, nodes share their chains' states.
    pub fn share_chains(&mut self) {
        let mut past = CachedChain::new(&SharedChainCache::new());
        import_past(&mut past);
        self.shared_past = Some(past);
    }

    /// From now on, what machines put out is noted.
    pub fn trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    fn chain_with_past(&self) -> CachedChain {
        let shared = self.shared_past.as_ref().map(CachedChain::fork);
        shared.unwrap_or_else(chain_with_past)
    }

    /// Adds a node with the common past.
    pub fn add(&mut self, config: Config) -> Node {
        let chain = self.chain_with_past();
        self.add_with(config, chain)
    }

    /// Adds a node that knows nothing but the genesis block.
    pub fn add_fresh(&mut self, config: Config) -> Node {
        self.add_with(config, fresh_chain())
    }

    fn add_with(&mut self, config: Config, chain: CachedChain) -> Node {
        let node = self.host(Role::Down, config);
        self.boot(node, chain);
        node
    }

    /// Adds a peer whose every message the story writes.
    pub fn add_puppet(&mut self) -> Node {
        self.host(Role::Puppet(Vec::new()), Config::default())
    }

    fn host(&mut self, role: Role, config: Config) -> Node {
        self.hosts.push(Host {
            role,
            config,
            silent: false,
            side: 0,
            timer: Time::NEVER,
            next_peer: 0,
            closed: Vec::new(),
            tips: Vec::new(),
        });
        Node(self.hosts.len() - 1)
    }

    fn boot(&mut self, node: Node, chain: CachedChain) {
        let host = &mut self.hosts[node.0];
        let mut config = host.config.clone();
        config.listen_port = Some(PORT);
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(node.0 as u64);
        let machine = Machine::new(config, chain, Mempool::new(), seed, self.now);
        host.role = Role::Machine(Box::new(machine));
        self.drain(node);
    }

    /// Kills a node's process: its connections are closed, its mempool is gone.
    pub fn kill(&mut self, node: Node) {
        let ends: Vec<_> = self
            .links
            .keys()
            .filter(|end| end.0 == node)
            .copied()
            .collect();
        for end in ends {
            self.close(end);
        }
        self.hosts[node.0].role = Role::Down;
        self.hosts[node.0].timer = Time::NEVER;
    }

    /// Starts a killed node again, with the common past only.
    pub fn restart(&mut self, node: Node) {
        self.hosts[node.0].silent = false;
        let chain = self.chain_with_past();
        self.boot(node, chain);
    }

    /// The link of a node goes silent, or comes back.
    pub fn set_silent(&mut self, node: Node, silent: bool) {
        self.hosts[node.0].silent = silent;
    }

    /// Parts the network: nodes on different sides do not reach each other.
    pub fn partition(&mut self, side: impl Fn(Node) -> u32) {
        for n in 0..self.hosts.len() {
            self.hosts[n].side = side(Node(n));
        }
    }

    /// Joins all sides.
    pub fn heal(&mut self) {
        self.partition(|_| 0);
    }

    pub fn nodes(&self) -> Vec<Node> {
        let running = |n: &usize| matches!(self.hosts[*n].role, Role::Machine(_));
        (0..self.hosts.len()).filter(running).map(Node).collect()
    }

    pub fn machine(&self, node: Node) -> &Machine {
        match &self.hosts[node.0].role {
            Role::Machine(machine) => machine,
            _ => panic!("{node:?} is no running machine"),
        }
    }

    pub fn tip(&self, node: Node) -> BlockHash {
        self.machine(node).chain().tip().hash
    }

    pub fn height(&self, node: Node) -> u32 {
        self.machine(node).chain().tip().height
    }

    /// How many blocks each change of the tip took off.
    pub fn reorgs(&self, node: Node) -> Vec<u32> {
        self.hosts[node.0]
            .tips
            .iter()
            .copied()
            .filter(|n| *n > 0)
            .collect()
    }

    /// Whether all running machines have the same tip.
    pub fn agree(&self) -> bool {
        let nodes = self.nodes();
        nodes
            .windows(2)
            .all(|pair| self.tip(pair[0]) == self.tip(pair[1]))
    }

    /// Peers of a node with which the handshake is done.
    pub fn peers_of(&self, node: Node) -> Vec<&Peer> {
        self.machine(node)
            .peers()
            .filter(|p| p.is_ready())
            .collect()
    }

    pub fn count_of(&self, node: Node, kind: ConnectionKind) -> usize {
        self.peers_of(node)
            .iter()
            .filter(|p| p.kind == kind)
            .count()
    }

    /// Reasons for which a node closed connections with another.
    pub fn reasons(&self, node: Node, other: Node) -> Vec<&str> {
        let closed = self.hosts[node.0].closed.iter();
        closed
            .filter(|(a, _)| a.ip() == other.addr().ip())
            .map(|(_, r)| r.as_str())
            .collect()
    }

    pub fn all_reasons(&self, node: Node) -> Vec<&str> {
        self.hosts[node.0]
            .closed
            .iter()
            .map(|(_, r)| r.as_str())
            .collect()
    }

    /// A node mines a block now.
    pub fn mine(&mut self, node: Node) -> BlockHash {
        self.extra_nonce += 1;
        let machine = self.machine(node);
        let (now, nonce) = (self.now, self.extra_nonce);
        let block = mine_on(machine.chain(), machine.mempool(), now.unix_secs(), nonce);
        let hash = block.block_hash();
        self.command(node, |m| m.submit_block(now, block).unwrap());
        hash
    }

    /// A node's user does something.
    pub fn command<T>(&mut self, node: Node, act: impl FnOnce(&mut Machine) -> T) -> T {
        let Role::Machine(machine) = &mut self.hosts[node.0].role else {
            panic!("{node:?} is no running machine");
        };
        let result = act(machine);
        self.drain(node);
        result
    }

    pub fn submit(&mut self, node: Node, tx: &Arc<Transaction>) {
        let (now, tx) = (self.now, Arc::clone(tx));
        self.command(node, |m| m.submit_transaction(now, tx))
            .unwrap();
    }

    pub fn has_tx(&self, node: Node, tx: &Transaction) -> bool {
        self.machine(node).mempool().contains(&tx.compute_txid())
    }

    /// Lets time pass.
    pub fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some((&(at, sequence), _)) = self.queue.first_key_value()
            && at <= end
        {
            let happening = self.queue.remove(&(at, sequence)).unwrap();
            self.now = at;
            self.happen(happening);
        }
        self.now = end;
    }

    /// Lets time pass until something holds. Panics if it does not in time.
    pub fn run_until(&mut self, at_most: Duration, what: &str, holds: impl Fn(&World) -> bool) {
        let end = self.now + at_most;
        while !holds(self) {
            assert!(self.now < end, "within {at_most:?}: {what}");
            self.run(Duration::from_millis(50));
        }
    }

    fn schedule(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    fn delay_between(&self, a: Node, b: Node) -> Duration {
        let pair = (a.0.min(b.0) * 31 + a.0.max(b.0) * 17 + self.seed as usize) % 100;
        self.delay + self.delay * pair as u32 / 100
    }

    fn is_cut(&self, a: Node, b: Node) -> bool {
        let (a, b) = (&self.hosts[a.0], &self.hosts[b.0]);
        a.silent || b.silent || a.side != b.side
    }

    fn happen(&mut self, happening: Happening) {
        self.inputs += 1;
        assert!(self.inputs < INPUTS_MAX, "this story does not end");
        match happening {
            Happening::Wake(node) => {
                if self.hosts[node.0].timer <= self.now {
                    self.hosts[node.0].timer = Time::NEVER;
                    self.input(node, Input::Timer);
                }
            }
            Happening::DialFailed { from, addr } => self.input(from, Input::ConnectFailed { addr }),
            Happening::Break(end) => self.lose(end),
            Happening::KeepAlive(end) => self.keep_alive(end),
            Happening::Dialled {
                from,
                addr,
                gives_up,
            } => self.dialled(from, addr, gives_up),
            Happening::Arrive {
                at,
                from,
                what,
                sent,
            } => self.arrive(at, from, what, sent),
        }
    }

    fn dialled(&mut self, from: Node, addr: SocketAddr, gives_up: Time) {
        let target = (0..self.hosts.len()).map(Node).find(|n| n.addr() == addr);
        let reachable = target.filter(|t| !self.is_cut(from, *t));
        let Some(target) = reachable else {
            self.schedule(gives_up, Happening::DialFailed { from, addr });
            return;
        };
        if matches!(self.hosts[target.0].role, Role::Down) {
            self.schedule(self.now, Happening::DialFailed { from, addr });
            return;
        }
        self.join(from, target);
    }

    /// Opens a connection now.
    pub fn join(&mut self, from: Node, to: Node) -> PeerId {
        let (outer, inner) = (self.new_end(from), self.new_end(to));
        // The port of an outbound connection is any.
        let from_addr = SocketAddr::new(from.addr().ip(), 50_000 + (outer.1.0 % 10_000) as u16);
        let now = self.now;
        self.links.insert(
            outer,
            Link {
                other: inner,
                addr: to.addr(),
                busy_until: now,
            },
        );
        self.links.insert(
            inner,
            Link {
                other: outer,
                addr: from_addr,
                busy_until: now,
            },
        );
        self.schedule(now + KEEPALIVE_AFTER, Happening::KeepAlive(outer));
        self.input(
            to,
            Input::Connected {
                peer: inner.1,
                addr: from_addr,
                inbound: true,
            },
        );
        self.input(
            from,
            Input::Connected {
                peer: outer.1,
                addr: to.addr(),
                inbound: false,
            },
        );
        outer.1
    }

    fn new_end(&mut self, node: Node) -> End {
        self.hosts[node.0].next_peer += 1;
        (node, PeerId(self.hosts[node.0].next_peer))
    }

    fn arrive(&mut self, at: End, from: End, what: Piece, sent: Time) {
        if !self.links.contains_key(&at) {
            return self.reset(from, at);
        }
        if self.is_cut(at.0, from.0) {
            if self.now.since(sent) >= UNACKNOWLEDGED_MAX {
                // The sender gives up; the other end does not hear of it.
                return self.lose(from);
            }
            // TCP tries again.
            let again = self.now + RETRANSMISSION;
            if let Some(link) = self.links.get_mut(&at) {
                link.busy_until = link.busy_until.max(again);
            }
            self.schedule(
                again,
                Happening::Arrive {
                    at,
                    from,
                    what,
                    sent,
                },
            );
            return;
        }
        let (node, peer) = at;
        match what {
            Piece::Message(message) => {
                let wire_bytes = message.wire_size();
                self.input(
                    node,
                    Input::Received {
                        peer,
                        message,
                        wire_bytes,
                    },
                );
            }
            Piece::Bytes(bytes) => self.decode(at, &bytes),
            Piece::Close => {
                self.links.remove(&at);
                self.input(node, Input::Disconnected { peer });
            }
        }
    }

    /// What a driver does with bytes.
    fn decode(&mut self, at: End, bytes: &[u8]) {
        let (node, peer) = at;
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        loop {
            match decoder.next_message() {
                Ok(Some((message, wire_bytes))) => {
                    self.input(
                        node,
                        Input::Received {
                            peer,
                            message,
                            wire_bytes,
                        },
                    );
                }
                Ok(None) => return,
                Err(error) => {
                    let reason = error.to_string();
                    self.input(node, Input::Malformed { peer, reason });
                    return;
                }
            }
        }
    }

    pub fn transmit(&mut self, from: End, what: Piece) {
        let Some(link) = self.links.get(&from) else {
            return;
        };
        let other = link.other;
        let arrives = self.now + self.delay_between(from.0, other.0);
        // In order, also behind what waits at a cut.
        let Some(back) = self.links.get_mut(&other) else {
            return self.reset(from, other);
        };
        let at = arrives.max(back.busy_until);
        back.busy_until = at;
        self.schedule(
            at,
            Happening::Arrive {
                at: other,
                from,
                what,
                sent: self.now,
            },
        );
    }

    /// Whether the other end is still there, asked now and then by who opened the connection.
    fn keep_alive(&mut self, end: End) {
        let Some(link) = self.links.get(&end) else {
            return;
        };
        let other = link.other;
        if self.is_cut(end.0, other.0) || !self.links.contains_key(&other) {
            self.lose(end);
        } else {
            self.schedule(self.now + KEEPALIVE_AFTER, Happening::KeepAlive(end));
        }
    }

    /// Something was sent to an end that has given up: the news of that comes back, or never.
    fn reset(&mut self, end: End, other: End) {
        let wait = match self.is_cut(end.0, other.0) {
            true => UNACKNOWLEDGED_MAX,
            false => self.delay_between(end.0, other.0) * 2,
        };
        self.schedule(self.now + wait, Happening::Break(end));
    }

    /// One end's stream breaks.
    fn lose(&mut self, end: End) {
        if self.links.remove(&end).is_some() {
            self.input(end.0, Input::Disconnected { peer: end.1 });
        }
    }

    /// One end closes: it hears of it at once, the other when the news arrives.
    fn close(&mut self, end: End) {
        self.transmit(end, Piece::Close);
        self.lose(end);
    }

    fn input(&mut self, node: Node, input: Input) {
        let now = self.now;
        match &mut self.hosts[node.0].role {
            Role::Machine(machine) => {
                machine.handle(now, input);
                self.drain(node);
            }
            Role::Puppet(inbox) => {
                if let Input::Received { peer, message, .. } = input {
                    inbox.push((peer, message));
                }
            }
            Role::Down => {}
        }
    }

    fn drain(&mut self, node: Node) {
        let mut outputs = VecDeque::new();
        let Role::Machine(machine) = &mut self.hosts[node.0].role else {
            return;
        };
        while let Some(output) = machine.poll_output() {
            outputs.push_back(output);
        }
        if let Some(trace) = &mut self.trace {
            let lines = outputs.iter().map(|o| format!("{node:?} {o:?}"));
            trace.extend(lines);
        }
        for output in outputs {
            self.carry_out(node, output);
        }
    }

    fn carry_out(&mut self, node: Node, output: Output) {
        match output {
            Output::Send { peer, message } => self.transmit((node, peer), Piece::Message(message)),
            Output::Connect { addr } => {
                let connect_timeout = self.machine(node).config().timing.connect_timeout;
                let gives_up = self.now + connect_timeout;
                let at = self.now + self.delay * 2;
                self.schedule(
                    at,
                    Happening::Dialled {
                        from: node,
                        addr,
                        gives_up,
                    },
                );
            }
            Output::Disconnect { peer, reason } => {
                if let Some(link) = self.links.get(&(node, peer)) {
                    self.hosts[node.0].closed.push((link.addr, reason));
                }
                self.close((node, peer));
            }
            Output::SetTimer(at) => {
                self.hosts[node.0].timer = at;
                self.schedule(at.max(self.now), Happening::Wake(node));
            }
            Output::Event(Event::Tip { disconnected, .. }) => {
                self.hosts[node.0].tips.push(disconnected);
            }
            Output::Event(Event::StoreFailed(failure)) => panic!("{failure}"),
            Output::Event(_) => {}
        }
    }
}

/// Connects to these only.
pub fn connect_to(nodes: &[Node]) -> Config {
    Config {
        connect_only: true,
        connect: nodes.iter().map(|n| n.addr()).collect(),
        ..Config::default()
    }
}

/// Knows these at first, then gossips.
pub fn bootstrap_from(nodes: &[Node]) -> Config {
    Config {
        add_nodes: nodes.iter().map(|n| n.addr()).collect(),
        ..Config::default()
    }
}

/// A line of nodes, each connected to the one before.
pub fn line(world: &mut World, count: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for n in 0..count {
        let before = n.checked_sub(1).map(|b| nodes[b]);
        nodes.push(world.add(connect_to(before.as_slice())));
    }
    world.run(secs(3));
    nodes
}
