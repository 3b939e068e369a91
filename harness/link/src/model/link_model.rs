//! The model itself: asks cuts, access queues, paths and loss in their order. The whole of its
//! state is here; it reads no clock.

use std::collections::BTreeSet;

use crate::change::{Change, Loss, Network, NodeLink, PathDelay, Shape};
use crate::id::{Nanos, NodeId};
use crate::model::access::{AccessQueue, AccessRate};
use crate::model::change_error::{ChangeError, NetworkError};
use crate::model::cuts::Cuts;
use crate::model::link_table::LinkTable;
use crate::model::loss_process::is_lost;
use crate::model::random_stream::{RandomStream, StreamSource};
use crate::model::shapes::Shapes;
use crate::proto::DropReason;

/// An IPv4 host must accept packets of this size (RFC 791).
const MTU_MIN: u16 = 576;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gets to the next point at this instant, which is never before the one it was asked at.
    Deliver { at: Nanos },
    /// It gets nowhere.
    Drop(DropReason),
}

/// What a directed link remembers, from its first packet that chance or order is about.
#[derive(Clone, Copy, Debug)]
struct LinkState {
    stream: RandomStream,
    /// When its last packet arrives: none may arrive before.
    last_arrival: u64,
    in_bad_state: bool,
}

/// What a node sends passes here, as it is now.
#[derive(Clone, Debug)]
struct NodeState {
    up: AccessQueue,
    loss: Loss,
    added: PathDelay,
    /// Set for good by the first shape that adds delay: from then on the end of a shape could let
    /// a packet overtake another, so this node's links keep their order.
    keeps_order: bool,
}

/// The emulated network.
///
/// Contract: `now` never goes back, between [`LinkModel::send`], and apart from it between
/// [`LinkModel::arrive`] of one destination. Packets are asked about in the order in which they
/// are sent (or arrive). The same calls give the same answers, anywhere.
#[derive(Clone, Debug)]
pub struct LinkModel {
    /// By source.
    nodes: Vec<NodeState>,
    /// By destination. Apart, since where there are many nodes it takes long to fetch one's from
    /// memory, and a packet's sender is at hand.
    downs: Vec<AccessQueue>,
    /// The rates of these, which a simulator asks for with every packet that is sent.
    down_rates: Vec<AccessRate>,
    /// Nodes as they are without shapes.
    plain: Vec<NodeLink>,
    /// By node.
    regions: Vec<u16>,
    /// `region_count` rows of as many.
    paths: Vec<PathDelay>,
    region_count: usize,
    cuts: Cuts,
    shapes: Shapes,
    source: StreamSource,
    links: LinkTable<LinkState>,
}

impl LinkModel {
    /// The network at `go`.
    ///
    /// # Errors
    /// When the network cannot be: see [`NetworkError`].
    pub fn new(network: &Network) -> Result<LinkModel, NetworkError> {
        check(network)?;
        let nodes = network.nodes.iter().map(NodeState::new).collect();
        Ok(LinkModel {
            nodes,
            downs: network.nodes.iter().map(down_queue).collect(),
            down_rates: network.nodes.iter().map(down_rate).collect(),
            plain: network.nodes.clone(),
            regions: network.nodes.iter().map(|node| node.region).collect(),
            paths: network.paths.iter().flatten().copied().collect(),
            region_count: network.regions.len(),
            cuts: Cuts::none(network.nodes.len()),
            shapes: Shapes::default(),
            source: StreamSource::new(network.seed),
            links: LinkTable::default(),
        })
    }

    /// Changes the network, for every packet asked about from now on; those on their way are
    /// affected by cuts, at [`LinkModel::arrive`] and [`LinkModel::cut`]. Ending what is not in
    /// force does nothing.
    ///
    /// # Errors
    /// When the change makes no sense; nothing has changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), ChangeError> {
        match change {
            Change::Partition {
                id,
                groups,
                one_way,
            } => self.cuts.partition(*id, groups, *one_way)?,
            Change::Heal { id } => self.cuts.heal(*id),
            Change::Shape { id, nodes, shape } => self.begin_shape(*id, nodes, *shape)?,
            Change::Unshape { id } => {
                let touched = self.shapes.end(*id);
                self.reshape(&touched);
            }
            Change::Silence { node } => self.cuts.silence(*node, true)?,
            Change::Unsilence { node } => self.cuts.silence(*node, false)?,
            Change::HealAll => {
                self.cuts.heal_all();
                let touched = self.shapes.end_all();
                self.reshape(&touched);
            }
        }
        Ok(())
    }

    /// A packet leaves `src` at `now`: when it reaches the access link of `dst`, or why it never
    /// does. `wire_bytes` is its size with framing.
    #[inline]
    pub fn send(&mut self, now: Nanos, src: NodeId, dst: NodeId, wire_bytes: u32) -> Verdict {
        if src.index() >= self.nodes.len() || dst.index() >= self.nodes.len() {
            return Verdict::Drop(DropReason::Unroutable);
        }
        if let Some(reason) = self.cuts.between(src, dst) {
            return Verdict::Drop(reason);
        }
        let path = self.path(src, dst);
        let node = &mut self.nodes[src.index()];
        let Some(sent) = node.up.pass(now.0, wire_bytes) else {
            return Verdict::Drop(DropReason::QueueUp);
        };
        let delay = path.base.saturating_add(node.added.base);
        let jitter = path.jitter.saturating_add(node.added.jitter);
        let mut at = sent.saturating_add(delay.0);
        if node.keeps_order || node.loss != Loss::None || jitter > Nanos::ZERO {
            let source = &self.source;
            let link = self.links.get_or_insert_with(src, dst, || LinkState {
                stream: source.stream(src, dst),
                last_arrival: 0,
                in_bad_state: false,
            });
            if is_lost(node.loss, &mut link.in_bad_state, &mut link.stream) {
                return Verdict::Drop(DropReason::Loss);
            }
            if jitter > Nanos::ZERO {
                at = at.saturating_add(link.stream.up_to(jitter.0));
            }
            at = at.max(link.last_arrival);
            link.last_arrival = at;
        }
        Verdict::Deliver { at: Nanos(at) }
    }

    /// A packet from `src` reaches the access link of `dst` at `now`, as [`LinkModel::send`] said:
    /// when it is delivered, or why it never is.
    #[inline]
    pub fn arrive(&mut self, now: Nanos, src: NodeId, dst: NodeId, wire_bytes: u32) -> Verdict {
        if let Some(reason) = self.cut(src, dst) {
            return Verdict::Drop(reason);
        }
        match self.downs[dst.index()].pass(now.0, wire_bytes) {
            Some(at) => Verdict::Deliver { at: Nanos(at) },
            None => Verdict::Drop(DropReason::QueueDown),
        }
    }

    /// How long the access link of `dst` takes for a packet when it is idle.
    #[inline]
    pub fn down_service(&self, dst: NodeId, wire_bytes: u32) -> Nanos {
        let down = self.down_rates.get(dst.index());
        Nanos(down.map_or(0, |down| down.service_ns(wire_bytes)))
    }

    /// Calls `fetch` for where in memory the model looks when a packet arrives at a node, and when
    /// the node then sends some: for those who have it fetched before they ask.
    #[inline]
    pub fn prefetch(&self, node: NodeId, fetch: impl Fn(*const u8)) {
        if let Some(down) = self.downs.get(node.index()) {
            fetch(std::ptr::from_ref(down).cast());
        }
        if let Some(state) = self.nodes.get(node.index()) {
            fetch(std::ptr::from_ref(&state.up).cast());
            fetch(std::ptr::from_ref(&state.keeps_order).cast());
        }
    }

    /// The same for where it looks for the destination of a packet that is sent.
    #[inline]
    pub fn prefetch_destination(&self, node: NodeId, fetch: impl Fn(*const u8)) {
        if let Some(rate) = self.down_rates.get(node.index()) {
            fetch(std::ptr::from_ref(rate).cast());
        }
    }

    /// As [`LinkModel::arrive`], asked at the instant `end` at which the packet would have passed an
    /// idle access link ([`LinkModel::down_service`] after it reached it): most links are idle, and
    /// a simulator then needs one event instead of two. Packets are asked about in the order of
    /// these instants.
    #[inline]
    pub fn arrive_ending(
        &mut self,
        end: Nanos,
        src: NodeId,
        dst: NodeId,
        wire_bytes: u32,
    ) -> Verdict {
        if let Some(reason) = self.cut(src, dst) {
            return Verdict::Drop(reason);
        }
        let down = &mut self.downs[dst.index()];
        let start = end.0.saturating_sub(down.rate().service_ns(wire_bytes));
        match down.pass(start, wire_bytes) {
            // Service times are rounded down.
            Some(at) if at <= end.0 + 1 => Verdict::Deliver { at: end },
            Some(at) => Verdict::Deliver { at: Nanos(at) },
            None => Verdict::Drop(DropReason::QueueDown),
        }
    }

    /// Why nothing may be delivered from `src` to `dst` at this instant, if so. Asked when a packet
    /// comes out of a down queue in which it had to wait, so that a cut lets nothing through from
    /// the instant it is made.
    #[inline]
    pub fn cut(&self, src: NodeId, dst: NodeId) -> Option<DropReason> {
        if src.index() >= self.nodes.len() || dst.index() >= self.nodes.len() {
            return Some(DropReason::Unroutable);
        }
        self.cuts.between(src, dst)
    }

    /// Whether a train of packets from `src` to `dst` may pass as one: nothing happens to it that
    /// could tell its packets apart (no rate, loss or jitter). A delay may.
    #[inline]
    pub fn is_plain(&self, src: NodeId, dst: NodeId) -> bool {
        let (Some(from), Some(to)) = (self.nodes.get(src.index()), self.downs.get(dst.index()))
        else {
            return false;
        };
        from.up.is_unlimited()
            && to.is_unlimited()
            && from.loss == Loss::None
            && from.added.jitter == Nanos::ZERO
            && self.path(src, dst).jitter == Nanos::ZERO
    }

    /// The least delay that a packet between two different nodes can have, now or after any change:
    /// how far a parallel simulator may run ahead.
    pub fn delay_min(&self) -> Nanos {
        let least = self.paths.iter().map(|p| p.base).min();
        least.unwrap_or(Nanos::ZERO)
    }

    fn path(&self, src: NodeId, dst: NodeId) -> PathDelay {
        let from = usize::from(self.regions[src.index()]);
        let to = usize::from(self.regions[dst.index()]);
        self.paths[from * self.region_count + to]
    }

    fn begin_shape(&mut self, id: u32, nodes: &[NodeId], shape: Shape) -> Result<(), ChangeError> {
        if shape.rate_bps == Some(0) {
            return Err(ChangeError::ZeroRate);
        }
        if let Some(&node) = nodes.iter().find(|n| n.index() >= self.nodes.len()) {
            return Err(ChangeError::UnknownNode(node));
        }
        let touched = self.shapes.begin(id, nodes, shape);
        self.reshape(&touched);
        Ok(())
    }

    /// Makes the links of these nodes what plan and shapes say.
    fn reshape(&mut self, nodes: &[NodeId]) {
        for &id in nodes {
            let Some(node) = self.nodes.get_mut(id.index()) else {
                continue;
            };
            let plain = &self.plain[id.index()];
            let link = self.shapes.of(id, plain);
            node.up.set_rate(link.up_bps, plain.queue_bytes);
            let down = &mut self.downs[id.index()];
            down.set_rate(link.down_bps, plain.queue_bytes);
            self.down_rates[id.index()] = AccessRate::new(link.down_bps);
            node.loss = link.loss;
            node.added = link.added;
            node.keeps_order |= link.adds_delay();
        }
    }
}

impl NodeState {
    fn new(plain: &NodeLink) -> NodeState {
        NodeState {
            up: AccessQueue::new(plain.up_bps, plain.queue_bytes),
            loss: plain.loss,
            added: PathDelay::default(),
            keeps_order: false,
        }
    }
}

fn down_queue(plain: &NodeLink) -> AccessQueue {
    AccessQueue::new(plain.down_bps, plain.queue_bytes)
}

fn down_rate(plain: &NodeLink) -> AccessRate {
    AccessRate::new(plain.down_bps)
}

/// Whether a network can be.
fn check(network: &Network) -> Result<(), NetworkError> {
    let regions = network.regions.len();
    let square = network.paths.len() == regions && network.paths.iter().all(|r| r.len() == regions);
    if !square {
        return Err(NetworkError::PathsNotSquare);
    }
    if network.mtu < MTU_MIN {
        return Err(NetworkError::MtuTooSmall(network.mtu));
    }
    let count = network.nodes.len();
    if u32::try_from(count).is_err() {
        return Err(NetworkError::TooManyNodes(count));
    }
    let mut taken = BTreeSet::new();
    for (id, node) in (0..).map(NodeId).zip(&network.nodes) {
        if usize::from(node.region) >= regions {
            return Err(NetworkError::UnknownRegion(id, node.region));
        }
        let [net, host @ ..] = node.ip.octets();
        if net != NodeLink::NET.0.octets()[0] || host == [0; 3] || host == [255; 3] {
            return Err(NetworkError::BadAddress(id, node.ip));
        }
        if !taken.insert(node.ip) {
            return Err(NetworkError::AddressTwice(id, node.ip));
        }
        if node.up_bps == Some(0) || node.down_bps == Some(0) {
            return Err(NetworkError::ZeroRate(id));
        }
    }
    Ok(())
}
