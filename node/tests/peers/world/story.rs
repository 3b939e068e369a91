//! What a story asks of its nodes, what their users do, and how nodes are set up.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::{BlockHash, Transaction};
use peerlab_node::peers::{ConnectionKind, Peer};
use peerlab_node::{Config, Machine};

use super::core::{Node, World, secs};
use crate::ledger::mine_on;

impl World {
    pub fn nodes(&self) -> Vec<Node> {
        let all = (0..self.configs.len()).map(Node);
        all.filter(|n| self.pool.running(n.id()).is_some())
            .collect()
    }

    pub fn machine(&self, node: Node) -> &Machine {
        let running = self.pool.running(node.id());
        running.unwrap_or_else(|| panic!("{node:?} is no running machine"))
    }

    pub fn tip(&self, node: Node) -> BlockHash {
        self.machine(node).chain().tip().hash
    }

    pub fn height(&self, node: Node) -> u32 {
        self.machine(node).chain().tip().height
    }

    /// How many blocks each change of the tip took off.
    pub fn reorgs(&self, node: Node) -> Vec<u32> {
        let tips = self.tips.iter().filter(|(n, _)| *n == node);
        tips.map(|(_, disconnected)| *disconnected)
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
        self.reasons_where(node, |addr| addr.ip() == other.addr().ip())
    }

    pub fn all_reasons(&self, node: Node) -> Vec<&str> {
        self.reasons_where(node, |_| true)
    }

    fn reasons_where(&self, node: Node, of: impl Fn(&SocketAddr) -> bool) -> Vec<&str> {
        let closed = self.closed.iter();
        closed
            .filter(|(closer, addr, _)| *closer == node && of(addr))
            .map(|(_, _, reason)| reason.as_str())
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
