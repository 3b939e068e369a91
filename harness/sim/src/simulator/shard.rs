//! Some of the nodes, their share of the network, and what is still to happen to them. Everything
//! that a node does comes from here; what it sends to nodes outbound is handed out.
//!
//! A shard reads no clock and draws nothing from chance. What a node sees depends on the order of
//! `queue` alone, not on how nodes are spread over shards: packets ask the link model at their
//! source's shard when they are sent, and at their destination's when they arrive, and the model
//! keeps what belongs to a source and what belongs to a destination apart.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::BlockHash;
use peerlab_link::{Change, LinkModel, Nanos, Network, NodeId, Passage, Retiming};
use peerlab_node::Machine;
use peerlab_node::chain::CachedChain;
use peerlab_node::io::{Input, Output};
use peerlab_node::time::Time;

use super::counters::Counters;
use super::node::Node;
use super::packet::{Body, EndId, HEADER_BYTES, Packet};
use super::program::{Programs, load};
use super::queue::{Key, Queue};
use super::work::Cpus;
use peerlab_core::conduct::BlockFacts;
use peerlab_core::error::Result;

/// More never happens at one instant, even at the start of ten thousand nodes.
const EVENTS_AT_ONCE_MAX: u64 = 1_000_000;

/// Something that happens to a node. Small: it is moved often while it waits for its turn.
#[derive(Debug)]
pub enum SimEvent {
    /// A packet has passed its destination's access link, if that was idle.
    Arrive(Box<Packet>),
    /// A packet comes out of the access link's queue, in which it had to wait.
    Deliver(Box<Packet>),
    /// Its sender misses a packet: one of a handshake, one that was dropped at the other's access
    /// link, or an acknowledgement that was lost.
    Lost(Box<Packet>),
    /// Parts of a stream may be due to be sent again.
    Resend {
        node: NodeId,
        /// Of which connection.
        end: EndId,
    },
    /// A program has done its work.
    Done { node: NodeId },
    /// The program's timer goes off.
    Wake { node: NodeId },
    /// A program is loaded.
    Loaded {
        node: NodeId,
        /// In which of its lives.
        life: u32,
    },
    /// A handshake has taken as long as it may.
    GiveUp { node: NodeId, end: EndId },
    /// An address that no node has was dialled long enough.
    NoRoute { node: NodeId, addr: Box<SocketAddr> },
    /// A window may have opened.
    Look {
        node: NodeId,
        /// Of which connection.
        end: EndId,
    },
    /// Idle connections are to be looked after.
    KeepAlive { node: NodeId },
}

impl SimEvent {
    /// The packet that comes.
    pub(super) fn packet(&self) -> Option<&Packet> {
        match self {
            SimEvent::Arrive(packet) | SimEvent::Deliver(packet) => Some(packet),
            _ => None,
        }
    }

    /// To which node it happens.
    pub(super) fn node(&self) -> NodeId {
        match self {
            SimEvent::Arrive(packet) | SimEvent::Deliver(packet) => packet.dst,
            SimEvent::Lost(packet) => packet.src,
            SimEvent::Done { node }
            | SimEvent::Wake { node }
            | SimEvent::Loaded { node, .. }
            | SimEvent::GiveUp { node, .. }
            | SimEvent::NoRoute { node, .. }
            | SimEvent::Resend { node, .. }
            | SimEvent::Look { node, .. }
            | SimEvent::KeepAlive { node } => *node,
        }
    }
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Index of the shard.
    pub shard: u32,
    /// Index among the shard's nodes.
    pub slot: u32,
}

/// What nodes of one shard cause to happen to those of another.
pub type CrossShardMessages = Vec<(Key, SimEvent)>;

/// Something that the record tells.
#[derive(Debug)]
pub struct Observation {
    /// When, and in which order.
    pub key: Key,
    pub what: Observed,
}

/// What the record tells of nodes.
#[derive(Debug)]
pub enum Observed {
    /// A node's program answers, or goes on.
    Up(NodeId),
    /// A block that this shard had not seen.
    Block(Box<BlockFacts>, Option<NodeId>),
    /// A node's best block.
    Tip(NodeId, BlockHash, u32),
    /// A node's store failed, or its program ended by itself.
    Failed(NodeId, String),
}

/// Something that passed between a program and its kernel.
#[derive(Clone, Debug)]
pub enum Passed {
    /// The program read it.
    Read(NodeId, Input),
    /// The program put it out.
    PutOut(NodeId, Output),
}

/// How much was simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simulated {
    /// How many things happened: packets, timers, starts.
    pub events: u64,
    /// Messages that nodes read.
    pub messages: u64,
    /// What nodes read: messages, and of those that are lists each entry. One packet may bring many.
    pub items: u64,
}

impl std::iter::Sum for Simulated {
    fn sum<I: Iterator<Item = Simulated>>(parts: I) -> Simulated {
        parts.fold(Simulated::default(), |sum, part| Simulated {
            events: sum.events + part.events,
            messages: sum.messages + part.messages,
            items: sum.items + part.items,
        })
    }
}

/// Some of a network's nodes, and what is still to happen to them.
pub struct Shard {
    pub(super) now: Nanos,
    /// Of the event that is being handled.
    pub(super) key: Key,
    pub(super) framing_bytes: u32,
    /// Data in a full segment.
    pub(super) segment_bytes: u32,
    pub(super) model: LinkModel,
    pub(super) queue: Queue<SimEvent>,
    id: u32,
    shard_map: Arc<[Location]>,
    nodes: Vec<Node>,
    /// What a new node has on its disk once the pre-mined chain is loaded.
    pub(super) new_disk: CachedChain,
    pub(super) programs: Arc<Programs>,
    pub(super) cpus: Cpus,
    /// What happens to nodes of other shards, by shard; to be emptied.
    pub(super) outbound: Vec<CrossShardMessages>,
    /// Room for what programs answer, lent to one after the other.
    pub(super) outputs: VecDeque<Output>,
    /// Packets that came, whose boxes are taken again: the last one is near.
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    pub(super) spare_packets: Vec<Box<Packet>>,
    /// Room for what programs have not read yet; nearly all have read everything.
    pub(super) unread: VecDeque<Input>,
    pub(super) counters: Counters,
    pub(super) observations: Vec<Observation>,
    /// What passed between programs and kernels, once that is recorded.
    pub(super) passed: Option<Vec<Passed>>,
    pub(super) known_blocks: BTreeSet<BlockHash>,
    pub(super) mining: Option<NodeId>,
    pub(super) simulated: Simulated,
    /// Whether anything has happened yet that can leave a connection with one end.
    pub(super) disturbed: bool,
}

impl Shard {
    /// All its nodes down, at the instant of `go`.
    ///
    /// # Errors
    /// When the pre-mined chain cannot be loaded.
    pub fn new(
        id: u32,
        shard_map: &Arc<[Location]>,
        network: &Network,
        model: LinkModel,
        programs: &Arc<Programs>,
    ) -> Result<Shard> {
        let new_disk = load(&programs.premined)?;
        let own = shard_map.iter().filter(|location| location.shard == id);
        Ok(Shard {
            id,
            shard_map: Arc::clone(shard_map),
            nodes: own.map(|_| Node::new(new_disk.fork())).collect(),
            new_disk,
            outbound: Vec::new(),
            cpus: Cpus::of(programs.cpus, programs.message_work)
                .with_block_work(programs.block_work_percent),
            outputs: VecDeque::new(),
            spare_packets: Vec::new(),
            unread: VecDeque::new(),
            now: Nanos::ZERO,
            key: Key {
                at: Nanos::ZERO,
                origin: 0,
                sequence: 0,
            },
            framing_bytes: u32::from(network.framing_bytes),
            segment_bytes: u32::from(network.mtu).saturating_sub(HEADER_BYTES).max(1),
            model,
            queue: Queue::default(),
            counters: Counters::new(network.nodes.len(), u32::from(network.framing_bytes)),
            observations: Vec::new(),
            passed: None,
            known_blocks: programs.premined.hashes.iter().copied().collect(),
            mining: None,
            programs: Arc::clone(programs),
            simulated: Simulated::default(),
            disturbed: false,
        })
    }

    /// Lets everything happen that happens before `end`.
    pub fn run_until(&mut self, end: Nanos) {
        let (mut instant, mut before) = (self.now, self.simulated.events);
        while let Some((key, event)) = self.queue.pop_before(end) {
            if cfg!(debug_assertions) {
                if key.at > instant {
                    (instant, before) = (key.at, self.simulated.events);
                }
                let events = self.simulated.events - before;
                assert!(events < EVENTS_AT_ONCE_MAX, "time stands still: {event:?}");
            }
            self.now = key.at;
            self.key = key;
            self.simulated.events += 1;
            self.prefetch();
            self.happen(event);
        }
        self.now = end;
    }

    /// What the record is to tell since the last call.
    pub fn take_observations(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.observations)
    }

    /// What passed between programs and their kernels since the last call; from the first one on that
    /// is recorded.
    pub fn take_passed(&mut self) -> Vec<Passed> {
        self.passed.replace(Vec::new()).unwrap_or_default()
    }

    /// From now on connections may be left with one end.
    pub fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// A change of the network, now. What it does to packets under way is the caller's affair.
    pub fn apply(&mut self, change: &Change) -> Result<Retiming, String> {
        let applied = self.model.apply(self.now, change);
        applied.map_err(|error| error.to_string())
    }

    /// A node's machine, while its program runs and does not stand still.
    pub(super) fn running(&self, node: NodeId) -> Option<&Machine> {
        let node = self.node_ref(node);
        node.machine.as_deref().filter(|_| !node.frozen)
    }

    fn happen(&mut self, event: SimEvent) {
        match event {
            SimEvent::Arrive(packet) => self.arrive(packet),
            SimEvent::Deliver(packet) => match self.model.cut(packet.src, packet.dst) {
                None => self.deliver(packet),
                Some(reason) => self.dropped(packet, reason),
            },
            SimEvent::Lost(packet) => self.missed(packet),
            SimEvent::Resend { node, end } => self.resend(node, end),
            SimEvent::Done { node } => self.carry_out(node),
            SimEvent::Wake { node } => self.woken(node),
            SimEvent::Loaded { node, life } => self.loaded(node, life),
            SimEvent::GiveUp { node, end } => self.give_up(node, end),
            SimEvent::NoRoute { node, addr } => {
                self.tell(node, Input::ConnectFailed { addr: *addr })
            }
            SimEvent::Look { node, end } => self.look(node, end),
            SimEvent::KeepAlive { node } => {
                let now = self.now;
                if self.node(node).keepalive_at <= now {
                    self.look_after_idle(node);
                }
            }
        }
    }

    /// The machine's time.
    pub(super) fn time(&self) -> Time {
        self.programs.time(self.now)
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[self.shard_map[node.index()].slot as usize]
    }

    pub(super) fn node_ref(&self, node: NodeId) -> &Node {
        &self.nodes[self.shard_map[node.index()].slot as usize]
    }

    /// A packet that is sent first now, from one connection end to another, with so many segments
    /// and bytes on the wire.
    #[inline]
    pub(super) fn packet(
        &mut self,
        (src, from): (NodeId, EndId),
        (dst, to): (NodeId, EndId),
        (segments, wire_bytes): (u32, u32),
        body: Body,
    ) -> Box<Packet> {
        self.boxed(Packet {
            src,
            from,
            dst,
            to,
            segments,
            wire_bytes,
            last: Passage::default(),
            passed: Nanos::ZERO,
            first_sent: self.now,
            tries: 0,
            body,
        })
    }

    /// A packet in a box, if possible in one that is spare.
    pub(super) fn boxed(&mut self, packet: Packet) -> Box<Packet> {
        let Some(mut spare) = self.spare_packets.pop() else {
            return Box::new(packet);
        };
        // When a block spreads, more is sent than comes, and those deep down are far by now.
        self.prefetch_spare();
        *spare = packet;
        spare
    }

    /// A node causes something to happen, to itself or another.
    pub(super) fn cause(&mut self, origin: NodeId, at: Nanos, event: SimEvent) {
        let state = self.node(origin);
        state.caused = state.caused.wrapping_add(1);
        let key = Key {
            at,
            origin: origin.0,
            sequence: state.caused,
        };
        let target = event.node();
        let location = self.shard_map[target.index()];
        if location.shard == self.id {
            self.queue.push(key, event);
        } else {
            let shard = location.shard as usize;
            if self.outbound.len() <= shard {
                self.outbound
                    .resize_with(shard + 1, CrossShardMessages::new);
            }
            self.outbound[shard].push((key, event));
        }
    }
}
