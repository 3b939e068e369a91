//! Who takes part: machines, puppets whose messages the story writes, and what a driver does for them.

use std::collections::VecDeque;

use peerlab_node::chain::CachedChain;
use peerlab_node::io::{Event, Input, Output};
use peerlab_node::mempool::Mempool;
use peerlab_node::time::Time;
use peerlab_node::{Config, Machine};

use super::World;
use super::state::{Host, Node, PORT, Piece, Role, WorldEvent};
use crate::ledger::{chain_with_past, fresh_chain};

impl World {
    pub(super) fn chain_with_past(&self) -> CachedChain {
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

    pub(super) fn add_with(&mut self, config: Config, chain: CachedChain) -> Node {
        let node = self.host(Role::Down, config);
        self.boot(node, chain);
        node
    }

    /// Adds a peer whose every message the story writes.
    pub fn add_puppet(&mut self) -> Node {
        self.host(Role::Puppet(Vec::new()), Config::default())
    }

    pub(super) fn host(&mut self, role: Role, config: Config) -> Node {
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

    pub(super) fn boot(&mut self, node: Node, chain: CachedChain) {
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

    /// A node's user does something.
    pub fn command<T>(&mut self, node: Node, act: impl FnOnce(&mut Machine) -> T) -> T {
        let Role::Machine(machine) = &mut self.hosts[node.0].role else {
            panic!("{node:?} is no running machine");
        };
        let result = act(machine);
        self.drain(node);
        result
    }

    pub(super) fn input(&mut self, node: Node, input: Input) {
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

    pub(super) fn drain(&mut self, node: Node) {
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

    pub(super) fn carry_out(&mut self, node: Node, output: Output) {
        match output {
            Output::Send { peer, message } => self.transmit((node, peer), Piece::Message(message)),
            Output::Connect { addr } => {
                let connect_timeout = self.machine(node).config().timing.connect_timeout;
                let gives_up = self.now + connect_timeout;
                let at = self.now + self.delay * 2;
                self.schedule(
                    at,
                    WorldEvent::Dialled {
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
                self.schedule(at.max(self.now), WorldEvent::Wake(node));
            }
            Output::Event(Event::Tip { disconnected, .. }) => {
                self.hosts[node.0].tips.push(disconnected);
            }
            Output::Event(Event::StoreFailed(failure)) => panic!("{failure}"),
            Output::Event(_) => {}
        }
    }
}
