//! What a story asks of its nodes, what their users do, and how nodes are set up.

use std::sync::Arc;

use bitcoin::{BlockHash, Transaction};
use peerlab_node::peers::{ConnectionKind, Peer};
use peerlab_node::{Config, Machine};

use super::World;
use super::state::{Node, Role, secs};
use crate::ledger::mine_on;

impl World {
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

    pub fn submit(&mut self, node: Node, tx: &Arc<Transaction>) {
        let (now, tx) = (self.now, Arc::clone(tx));
        self.command(node, |m| m.submit_transaction(now, tx))
            .unwrap();
    }

    pub fn has_tx(&self, node: Node, tx: &Transaction) -> bool {
        self.machine(node).mempool().contains(&tx.compute_txid())
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
