//! What each node sent and received on the emulated wire. Counted with every packet, at the sender
//! and at the receiver, so what is counted is small, and all of it stays near the processor; what
//! follows from it (see [`NodeCounters`]) is computed when it is asked for.

use peerlab_link::NodeId;
use peerlab_link::proto::{DropReason, NodeCounters};

/// What passed at one node.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    tx_packets: u64,
    tx_bytes: u64,
    rx_packets: u64,
    rx_bytes: u64,
}

/// Of all nodes: a shard counts at both ends of what its own nodes send and receive.
#[derive(Debug)]
pub struct Counters {
    passed: Vec<Passed>,
    /// By sender.
    drops: Vec<[u64; DropReason::COUNT]>,
    framing_bytes: u32,
}

impl Counters {
    /// Zeros for so many nodes, whose packets are framed with so many bytes each.
    pub fn new(nodes: usize, framing_bytes: u32) -> Counters {
        Counters {
            passed: vec![Passed::default(); nodes],
            drops: vec![[0; DropReason::COUNT]; nodes],
            framing_bytes,
        }
    }

    /// Packets were sent; `wire_bytes` of all of them, framing included.
    pub fn sent(&mut self, src: NodeId, packets: u32, wire_bytes: u32) {
        let node = &mut self.passed[src.index()];
        node.tx_packets += u64::from(packets);
        node.tx_bytes += u64::from(wire_bytes);
    }

    /// Packets were delivered.
    pub fn received(&mut self, dst: NodeId, packets: u32, wire_bytes: u32) {
        let node = &mut self.passed[dst.index()];
        node.rx_packets += u64::from(packets);
        node.rx_bytes += u64::from(wire_bytes);
    }

    /// Packets of this sender were dropped.
    pub fn dropped(&mut self, src: NodeId, packets: u32, reason: DropReason) {
        self.drops[src.index()][reason as usize] += u64::from(packets);
    }

    /// Calls `fetch` for where in memory a node is counted.
    pub fn prefetch(&self, node: NodeId, fetch: impl Fn(*const u8)) {
        if let Some(node) = self.passed.get(node.index()) {
            fetch(std::ptr::from_ref(node).cast());
        }
    }

    /// Adds what is counted here to sums by node.
    pub fn add_to(&self, sums: &mut [NodeCounters]) {
        let framing_bytes = u64::from(self.framing_bytes);
        for ((sum, node), drops) in sums.iter_mut().zip(&self.passed).zip(&self.drops) {
            sum.tx_packets += node.tx_packets;
            sum.tx_bytes += node.tx_bytes;
            sum.rx_packets += node.rx_packets;
            sum.rx_bytes += node.rx_bytes;
            // A node's device sees its packets without framing.
            sum.device_tx_bytes += node.tx_bytes - node.tx_packets * framing_bytes;
            sum.device_rx_bytes += node.rx_bytes - node.rx_packets * framing_bytes;
            for (sum, more) in sum.drops.iter_mut().zip(drops) {
                *sum += more;
            }
        }
    }
}
