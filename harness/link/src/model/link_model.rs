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
use crate::model::retiming::{Pace, Retiming};
use crate::model::shapes::Shapes;
use crate::proto::DropReason;

/// An IPv4 host must accept packets of this size (RFC 791).
const MTU_MIN: u16 = 576;

/// When a packet gets where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Its last bit has left its sender's access link.
    pub left: Nanos,
    /// It reaches its receiver's access link.
    pub at: Nanos,
}

/// What becomes of a packet that has reached its receiver's access link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered at this instant, which is never before the one it was asked at.
    Deliver { at: Nanos },
    /// It gets nowhere.
    Drop(DropReason),
}

/// What a directed link remembers, from its first packet that chance or order is about.
#[derive(Clone, Copy, Debug)]
struct LinkState {
    stream: RandomStream,
    /// When its last packet arrives, where jitter could let another one overtake it.
    last_arrival: u64,
    in_bad_state: bool,
}

/// What a node sends passes here, as it is now.
#[derive(Clone, Debug)]
struct NodeState {
    up: AccessQueue,
    loss: Loss,
    added: PathDelay,
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

    /// There is one node more, with the next id. Of partitions that are in force it is on no side, and of
    /// shapes it has none.
    ///
    /// # Errors
    /// When there can be no such node: see [`NetworkError`].
    pub fn join(&mut self, link: &NodeLink) -> Result<NodeId, NetworkError> {
        let id = NodeId(self.nodes.len() as u32);
        check_link(id, link, self.region_count)?;
        if self.plain.iter().any(|other| other.ip == link.ip) {
            return Err(NetworkError::AddressTwice(id, link.ip));
        }
        self.nodes.push(NodeState::new(link));
        self.downs.push(down_queue(link));
        self.down_rates.push(down_rate(link));
        self.plain.push(link.clone());
        self.regions.push(link.region);
        self.cuts.add();
        Ok(id)
    }

    /// Changes the network at `now`. Packets that are under way are affected by cuts, at
    /// [`LinkModel::arrive`] and [`LinkModel::cut`], and by what is returned; their loss is decided
    /// already. Ending what is not in force does nothing.
    ///
    /// # Errors
    /// When the change makes no sense; nothing has changed then.
    pub fn apply(&mut self, now: Nanos, change: &Change) -> Result<Retiming, ChangeError> {
        let mut retiming = Retiming::at(now);
        match change {
            Change::Partition {
                id,
                groups,
                one_way,
            } => self.cuts.partition(*id, groups, *one_way)?,
            Change::Heal { id } => self.cuts.heal(*id),
            Change::Shape { id, nodes, shape } => {
                let touched = self.begin_shape(*id, nodes, *shape)?;
                self.reshape(&touched, &mut retiming);
            }
            Change::Unshape { id } => {
                let touched = self.shapes.end(*id);
                self.reshape(&touched, &mut retiming);
            }
            Change::Silence { node } => self.cuts.silence(*node, true)?,
            Change::Unsilence { node } => self.cuts.silence(*node, false)?,
            Change::HealAll => {
                self.cuts.heal_all();
                let touched = self.shapes.end_all();
                self.reshape(&touched, &mut retiming);
            }
        }
        self.forget_order(&retiming);
        Ok(retiming)
    }

    /// A packet leaves `src` at `now`: when it gets where, or why it never reaches the access link
    /// of `dst`. `wire_bytes` is its size with framing.
    ///
    /// # Errors
    /// Why it is dropped.
    #[inline]
    pub fn send(
        &mut self,
        now: Nanos,
        src: NodeId,
        dst: NodeId,
        wire_bytes: u32,
    ) -> Result<Passage, DropReason> {
        if src.index() >= self.nodes.len() || dst.index() >= self.nodes.len() {
            return Err(DropReason::Unroutable);
        }
        if let Some(reason) = self.cuts.between(src, dst) {
            return Err(reason);
        }
        let path = self.path(src, dst);
        let node = &mut self.nodes[src.index()];
        let Some(left) = node.up.pass(now.0, wire_bytes) else {
            return Err(DropReason::QueueUp);
        };
        let path = path.and(node.added);
        let mut at = left.saturating_add(path.base.0);
        if node.loss != Loss::None || path.jitter > Nanos::ZERO {
            let link = link_state(&mut self.links, &self.source, src, dst);
            if is_lost(node.loss, &mut link.in_bad_state, &mut link.stream) {
                return Err(DropReason::Loss);
            }
            if path.jitter > Nanos::ZERO {
                at = at.saturating_add(link.stream.up_to(path.jitter.0));
                at = at.max(link.last_arrival);
                link.last_arrival = at;
            }
        }
        Ok(Passage {
            left: Nanos(left),
            at: Nanos(at),
        })
    }

    /// When a packet that was under way from `src`, on its path or in the queue before it, gets where
    /// after a change: as many bytes as were before it in the queue leave at the new rate, and its
    /// path takes as long as for packets to come, but none arrives in the past. Of its jitter it
    /// keeps the share. The packets of a link are asked about in the order in which they were sent.
    pub fn retime_sent(
        &mut self,
        retiming: &Retiming,
        src: NodeId,
        dst: NodeId,
        passage: Passage,
    ) -> Passage {
        let Some(before) = retiming.before(src) else {
            return passage;
        };
        let path = self.path(src, dst);
        let old = path.and(before.added);
        let node = &self.nodes[src.index()];
        let new = path.and(node.added);
        let left = before
            .up
            .retime(retiming.now, passage.left.0, node.up.rate());
        let drawn = passage.at.saturating_sub(passage.left);
        let drawn = drawn.saturating_sub(old.base).min(old.jitter);
        let jitter = (u128::from(drawn.0) * u128::from(new.jitter.0))
            .checked_div(u128::from(old.jitter.0))
            .unwrap_or(0);
        let mut at = left.saturating_add(new.base.0);
        at = at.saturating_add(jitter as u64).max(retiming.now);
        if new.jitter > Nanos::ZERO {
            let link = link_state(&mut self.links, &self.source, src, dst);
            at = at.max(link.last_arrival);
            link.last_arrival = at;
        }
        Passage {
            left: Nanos(left),
            at: Nanos(at),
        }
    }

    /// The least time from the access link of `src` to that of `dst`: before a change, if one is
    /// about it.
    pub fn delay_before(&self, retiming: &Retiming, src: NodeId, dst: NodeId) -> Nanos {
        let now = self.nodes[src.index()].added;
        let added = retiming.before(src).map_or(now, |before| before.added);
        self.path(src, dst).and(added).base
    }

    /// When a packet in the queue of the access link of `dst`, to be delivered at `at`, is delivered
    /// after a change: as many bytes as were before it are received at the new rate.
    pub fn retime_arrived(&self, retiming: &Retiming, dst: NodeId, at: Nanos) -> Nanos {
        let Some(before) = retiming.before(dst) else {
            return at;
        };
        let rate = self.down_rates[dst.index()];
        Nanos(before.down.retime(retiming.now, at.0, rate))
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
            fetch(std::ptr::from_ref(&state.loss).cast());
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

    /// Returns the nodes that this touches.
    fn begin_shape(
        &mut self,
        id: u32,
        nodes: &[NodeId],
        shape: Shape,
    ) -> Result<Vec<NodeId>, ChangeError> {
        if shape.rate_bps == Some(0) {
            return Err(ChangeError::ZeroRate);
        }
        if let Some(&node) = nodes.iter().find(|n| n.index() >= self.nodes.len()) {
            return Err(ChangeError::UnknownNode(node));
        }
        Ok(self.shapes.begin(id, nodes, shape))
    }

    /// Makes the links of these nodes what plan and shapes say, and notes what they were.
    fn reshape(&mut self, nodes: &[NodeId], retiming: &mut Retiming) {
        for &id in nodes {
            let Some(node) = self.nodes.get_mut(id.index()) else {
                continue;
            };
            let plain = &self.plain[id.index()];
            let link = self.shapes.of(id, plain);
            let before = Pace {
                up: node.up.rate(),
                down: self.down_rates[id.index()],
                added: node.added,
            };
            node.up
                .set_rate(retiming.now, link.up_bps, plain.queue_bytes);
            let down = &mut self.downs[id.index()];
            down.set_rate(retiming.now, link.down_bps, plain.queue_bytes);
            self.down_rates[id.index()] = down.rate();
            node.loss = link.loss;
            node.added = link.added;
            let now = Pace {
                up: node.up.rate(),
                down: down.rate(),
                added: node.added,
            };
            if now != before {
                retiming.changed(id, before);
            }
        }
    }

    /// On the links that changed, the order of packets under way is made anew.
    fn forget_order(&mut self, retiming: &Retiming) {
        if !retiming.is_empty() {
            self.links.for_each(|src, link| {
                if retiming.is_about(src) {
                    link.last_arrival = 0;
                }
            });
        }
    }
}

/// What a link remembers; from its first packet if this is it.
#[inline]
fn link_state<'a>(
    links: &'a mut LinkTable<LinkState>,
    source: &StreamSource,
    src: NodeId,
    dst: NodeId,
) -> &'a mut LinkState {
    links.get_or_insert_with(src, dst, || LinkState {
        stream: source.stream(src, dst),
        last_arrival: 0,
        in_bad_state: false,
    })
}

impl NodeState {
    fn new(plain: &NodeLink) -> NodeState {
        NodeState {
            up: AccessQueue::new(plain.up_bps, plain.queue_bytes),
            loss: plain.loss,
            added: PathDelay::default(),
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
        check_link(id, node, regions)?;
        if !taken.insert(node.ip) {
            return Err(NetworkError::AddressTwice(id, node.ip));
        }
    }
    Ok(())
}

/// Whether a node can be in a network of so many regions.
fn check_link(id: NodeId, node: &NodeLink, regions: usize) -> Result<(), NetworkError> {
    if usize::from(node.region) >= regions {
        return Err(NetworkError::UnknownRegion(id, node.region));
    }
    let [net, host @ ..] = node.ip.octets();
    if net != NodeLink::NET.0.octets()[0] || host == [0; 3] || host == [255; 3] {
        return Err(NetworkError::BadAddress(id, node.ip));
    }
    if node.up_bps == Some(0) || node.down_bps == Some(0) {
        return Err(NetworkError::ZeroRate(id));
    }
    Ok(())
}
