//! What the network is at `go`, and what may change about it while it runs. Data only:
//! the model that obeys it is `model`.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::id::{Nanos, NodeId};

/// The emulated network as it is at `go`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Every directed link's random stream is derived from this and its two ends.
    pub seed: u64,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// Bytes that the emulated wire adds to every IP packet (for instance 38 for Ethernet
    /// with preamble and gap). Counted against rates and in the byte counters.
    pub framing_bytes: u16,
    /// One row per node, in the order of [`NodeId`].
    pub nodes: Vec<NodeLink>,
    /// Region names, in the order of [`NodeLink::region`].
    pub regions: Vec<String>,
    /// `paths[from][to]`, one way, by region.
    pub paths: Vec<Vec<PathDelay>>,
}

/// One node's place in the network and its access link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeLink {
    /// The node's only address, inside [`NodeLink::NET`].
    pub ip: Ipv4Addr,
    /// Index into [`Network::regions`].
    pub region: u16,
    /// Access rate towards the network, bits per second; `None` is unlimited.
    pub up_bps: Option<u64>,
    /// Access rate from the network, bits per second; `None` is unlimited.
    pub down_bps: Option<u64>,
    /// What each of the two access queues holds before the tail is dropped, bytes.
    pub queue_bytes: u32,
    /// Loss on everything this node sends.
    pub loss: Loss,
}

impl NodeLink {
    /// All nodes live in 10.0.0.0/8: network address and prefix length.
    pub const NET: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 0, 0), 8);
}

/// Delay of one directed region-to-region path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathDelay {
    /// Least one-way delay.
    pub base: Nanos,
    /// A uniform draw from zero to this is added per packet; order is kept (FIFO).
    pub jitter: Nanos,
}

impl PathDelay {
    /// One after the other.
    #[inline]
    pub(crate) fn and(self, other: PathDelay) -> PathDelay {
        PathDelay {
            base: self.base.saturating_add(other.base),
            jitter: self.jitter.saturating_add(other.jitter),
        }
    }
}

/// How packets get lost. Chances are parts of [`Loss::ONE`], so that no float decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nothing is lost.
    #[default]
    None,
    /// Each packet is lost independently.
    Bernoulli {
        /// Chance of loss.
        chance: u32,
    },
    /// Two-state Markov chain, stepped once per packet (Gilbert 1960, Elliott 1963).
    GilbertElliott {
        /// Chance to go from the good state to the bad one.
        enter: u32,
        /// Chance to return to the good state.
        leave: u32,
        /// Chance of loss in the good state.
        good: u32,
        /// Chance of loss in the bad state.
        bad: u32,
    },
}

impl Loss {
    /// The chance that stands for certainty.
    pub const ONE: u32 = u32::MAX;
}

/// A worsening of some nodes' links; what is `None` stays as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Replaces both access rates, bits per second.
    pub rate_bps: Option<u64>,
    /// Replaces the loss.
    pub loss: Option<Loss>,
    /// Added to the one-way delay of what these nodes send.
    pub delay: Option<Nanos>,
    /// Added to the jitter of what these nodes send.
    pub jitter: Option<Nanos>,
}

/// One change of the network, applied at one instant. Changes with an `id` compose: several
/// partitions and shapes may be in force at once, and each ends by its own id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Packets pass only within a group. A node in no group forms one with the others in none.
    Partition {
        /// Name of this partition, for healing.
        id: u32,
        /// The groups; no node is in two.
        groups: Vec<Vec<NodeId>>,
        /// When set, only packets from the first group to the others are dropped.
        one_way: bool,
    },
    /// Ends one partition.
    Heal {
        /// The partition's name.
        id: u32,
    },
    /// Worsens some nodes' links.
    Shape {
        /// Name of this shape, for ending it. Of several on one node the latest wins.
        id: u32,
        nodes: Vec<NodeId>,
        /// What changes.
        shape: Shape,
    },
    /// Ends one shape.
    Unshape {
        /// The shape's name.
        id: u32,
    },
    /// Everything from and to this node is dropped: it vanishes without a FIN or RST.
    Silence {
        /// Who vanishes.
        node: NodeId,
    },
    /// Ends [`Change::Silence`].
    Unsilence {
        /// Who returns.
        node: NodeId,
    },
    /// Ends every partition, shape and silence.
    HealAll,
}
