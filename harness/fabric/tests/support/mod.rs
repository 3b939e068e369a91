//! Plays the harness and the gates for a real fabric process, with real TUN devices in network
//! namespaces of their own. Each node is a thread in its namespace.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

pub mod harness;
pub mod namespace;
pub mod node;

use std::net::Ipv4Addr;

use peerlab_link::proto::{SECRET_BYTES, Secret};
use peerlab_link::{Loss, Nanos, Network, NodeId, NodeLink, PathDelay};

/// A network of `nodes` nodes without delay, rate or loss, and without framing.
pub fn plain_network(nodes: u32) -> Network {
    Network {
        seed: 1,
        mtu: 1_500,
        framing_bytes: 0,
        nodes: (1..=nodes)
            .map(|n| NodeLink {
                ip: Ipv4Addr::from(0x0a00_0000 + n),
                region: 0,
                up_bps: None,
                down_bps: None,
                queue_bytes: 1 << 20,
                loss: Loss::None,
            })
            .collect(),
        regions: vec!["here".into()],
        paths: vec![vec![PathDelay::default()]],
    }
}

/// What a node's gate proves itself with.
pub fn secret(node: NodeId) -> Secret {
    Secret([node.0 as u8; SECRET_BYTES])
}

/// The same with a one-way delay.
pub fn delayed_network(nodes: u32, delay: Nanos) -> Network {
    let mut network = plain_network(nodes);
    network.paths[0][0].base = delay;
    network
}
