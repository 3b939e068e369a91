//! The network now: each node's state, tip and bytes, the branches, the faults in force.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerlab_link::proto::{Action, Lateness, NodeCounters, ProcessOp};
use peerlab_link::{Nanos, NodeId, NodeLink};
use serde::{Deserialize, Serialize};

use crate::event::{Reason, RunEvent, Tip, What};
use crate::experiment::Down;
use crate::plan::Plan;
use crate::plan::spec::Fault;
use crate::words;

/// Blocks whose parents are known: a branch that parted longer ago counts as one of its own.
const BLOCKS_MAX: usize = 10_000;
/// Orders of which nothing was heard yet that are kept: a gate tells of each within seconds.
const ORDERS_MAX: usize = 10_000;

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Its program runs, and has not answered yet.
    Starting,
    /// It answers.
    Up,
    /// Its program is down or frozen.
    Down {
        /// In which way; `None` when it ended by itself.
        how: Option<Down>,
        /// Why, where it ended by itself.
        reason: Option<Reason>,
    },
    /// It was removed by hand.
    Removed,
    /// It is a program of the host, which came in by `connect`.
    Guest,
}

impl NodeState {
    /// Whether it is one of the network's nodes: neither a program of the host nor removed.
    pub fn is_node(&self) -> bool {
        !matches!(self, NodeState::Removed | NodeState::Guest)
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        *self == NodeState::Up
    }
}

/// A node's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCount {
    /// Those that it opened.
    pub outbound: u32,
    /// Those that it accepted.
    pub inbound: u32,
}

impl PeerCount {
    /// All of them.
    pub fn sum(self) -> u32 {
        self.outbound.saturating_add(self.inbound)
    }
}

/// What is known of a node now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    pub node: String,
    pub ip: std::net::Ipv4Addr,
    pub region: String,
    pub state: NodeState,
    /// Its best block, as long as it is up.
    pub tip: Option<Tip>,
    /// Its connections, when they were last counted.
    pub peers: Option<PeerCount>,
    /// Bytes on the wire since the network came up, at the last reading; before the first of these that
    /// could find any, `None`.
    pub sent_bytes: Option<u64>,
    pub received_bytes: Option<u64>,
    /// How often its program came up again.
    pub restarts: u32,
}

impl NodeRow {
    /// A node of which nothing was heard yet.
    pub fn new(node: String, ip: std::net::Ipv4Addr, region: String) -> NodeRow {
        NodeRow {
            node,
            ip,
            region,
            state: NodeState::Starting,
            tip: None,
            peers: None,
            sent_bytes: None,
            received_bytes: None,
            restarts: 0,
        }
    }

    /// The same, of the node at a link.
    fn of(name: &str, link: &NodeLink, regions: &[String]) -> NodeRow {
        let region = regions.get(usize::from(link.region));
        NodeRow::new(
            name.to_owned(),
            link.ip,
            region.cloned().unwrap_or_default(),
        )
    }
}

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRow {
    /// Its index in the record.
    pub fault: u32,
    pub label: String,
    /// How long it has been in force.
    pub since_ns: Nanos,
    /// How long it still is; `None` until somebody ends it.
    #[serde(default)]
    pub left_ns: Option<Nanos>,
}

impl FaultRow {
    /// How long it has been in force, and still is, in words.
    pub fn times(&self) -> String {
        let since = format!("for {} so far", words::long(self.since_ns));
        match self.left_ns {
            Some(left) => format!("{since}, {} left", words::long(left)),
            None => since,
        }
    }
}

/// Nodes that have one tip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    pub tip: Tip,
    pub nodes: Vec<String>,
}

/// Bytes per second of the whole network, as its nodes send them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficNow {
    pub sent_per_second: f64,
    /// Over how long.
    pub over_ns: Nanos,
}

/// How well the host keeps up, as it was last measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FidelityNow {
    /// How late packets were delivered since the measurement before.
    pub lateness: Lateness,
    /// CPU pressure, percent, where the host tells it.
    pub cpu_pressure: Option<f64>,
}

/// A network at an instant, for screens: the whole in short, and each node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub status: Status,
    pub nodes: Vec<NodeRow>,
}

/// The network in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub network: String,
    pub engine: String,
    /// How long it has been up.
    pub up_for_ns: Nanos,
    pub nodes: usize,
    pub nodes_up: usize,
    /// Whether all that run have one tip.
    pub agreed: bool,
    pub height: u32,
    /// Tips that no other node's tip builds on, the highest first.
    pub branches: Vec<Branch>,
    /// Nodes whose tip is an ancestor of another's.
    pub behind: Vec<String>,
    pub blocks: u64,
    pub transactions: u64,
    pub faults: Vec<FaultRow>,
    pub traffic: Option<TrafficNow>,
    #[serde(default)]
    pub fidelity: Option<FidelityNow>,
}

/// Packets that the fabric delivered at an instant, since the network came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    pub packets: u64,
    /// Of these, the ones that were late by more than [`Lateness::LATE`].
    pub late: u64,
    /// Time in which the fabric got no CPU.
    pub away: Nanos,
}

impl Deliveries {
    fn add(&mut self, lateness: &Lateness) {
        self.packets = self.packets.saturating_add(lateness.packets);
        self.late = self.late.saturating_add(lateness.late);
        self.away = self.away.saturating_add(lateness.away);
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct NetworkView {
    rows: Vec<NodeRow>,
    /// The names of regions.
    regions: Vec<String>,
    /// Programs of the host that have gone: nobody misses them.
    guests_gone: BTreeSet<NodeId>,
    /// Each node's, at the last reading; none before the first.
    counters: Vec<NodeCounters>,
    deliveries: Deliveries,
    /// What nodes say whose probe is a program of theirs.
    values: BTreeMap<NodeId, String>,
    engine: String,
    /// Digests of images that are not ours.
    images: BTreeMap<String, String>,
    /// Parents of the latest blocks, and these in the order in which they were told.
    parents: BTreeMap<String, String>,
    latest: VecDeque<String>,
    /// Blocks of which one of these is the child.
    built_on: BTreeSet<String>,
    /// Blocks whose parent had a child already.
    forks: u64,
    blocks: u64,
    transactions: u64,
    labels: BTreeMap<u32, String>,
    /// When each began.
    faults: BTreeMap<u32, Nanos>,
    /// How long each lasts, where that is known.
    lasts: BTreeMap<u32, Nanos>,
    /// Nodes whose program has ended, and has not answered since.
    ended: BTreeSet<NodeId>,
    /// Programs that were ordered to start, by line.
    starts: BTreeMap<u32, NodeId>,
    /// Bytes sent by all, at the last two readings.
    sent: [Option<(Nanos, u64)>; 2],
    fidelity: Option<FidelityNow>,
}

impl NetworkView {
    /// Of a network that has just been started.
    pub fn new(plan: &Plan) -> NetworkView {
        let regions = plan.network.regions.clone();
        let nodes = plan.nodes.iter().zip(&plan.network.nodes);
        let planned = (0..).zip(&plan.faults);
        let lasts = |fault: &Fault| Some(fault.end?.saturating_sub(fault.start));
        NetworkView {
            rows: nodes
                .map(|(node, link)| NodeRow::of(&node.name, link, &regions))
                .collect(),
            regions,
            guests_gone: BTreeSet::new(),
            counters: Vec::new(),
            deliveries: Deliveries::default(),
            values: BTreeMap::new(),
            engine: String::new(),
            images: BTreeMap::new(),
            parents: BTreeMap::new(),
            latest: VecDeque::new(),
            built_on: BTreeSet::new(),
            forks: 0,
            blocks: 0,
            transactions: 0,
            labels: planned
                .clone()
                .map(|(n, it)| (n, it.label.clone()))
                .collect(),
            faults: BTreeMap::new(),
            lasts: planned
                .filter_map(|(n, it)| Some((n, lasts(it)?)))
                .collect(),
            ended: BTreeSet::new(),
            starts: BTreeMap::new(),
            sent: [None; 2],
            fidelity: None,
        }
    }

    /// Takes an event in.
    pub fn take(&mut self, event: &RunEvent) {
        let t = event.t;
        match &event.what {
            What::Started(started) => self.engine.clone_from(&started.engine),
            What::NodeUp { node } => self.came_up(*node),
            What::NodeDown {
                node, how, reason, ..
            } => {
                // A frozen program goes on as the same.
                if !how.is_some_and(Down::spares_program) {
                    self.ended.insert(*node);
                }
                if let Some(row) = self.row_mut(*node) {
                    row.tip = None;
                    row.peers = None;
                    if row.state != NodeState::Removed {
                        row.state = NodeState::Down {
                            how: *how,
                            reason: reason.clone(),
                        };
                    }
                }
            }
            What::Tip { node, tip } => {
                if let Some(row) = self.row_mut(*node)
                    && row.state != NodeState::Removed
                {
                    row.tip = Some(tip.clone());
                }
            }
            What::Peers { node, sums } => {
                let (outbound, inbound) = (sums.outbound, sums.inbound);
                self.counted_peers(*node, PeerCount { outbound, inbound });
            }
            What::Block(block) => {
                self.blocks += 1;
                self.learn(block.tip.hash.clone(), block.prev.clone());
            }
            What::Transaction { refused, .. } => self.transactions += u64::from(refused.is_none()),
            What::Traffic { nodes } => {
                for (row, counters) in self.rows.iter_mut().zip(nodes) {
                    let read = |bytes| (t > Nanos::ZERO).then_some(bytes);
                    row.sent_bytes = read(counters.tx_bytes);
                    row.received_bytes = read(counters.rx_bytes);
                }
                let sum = nodes.iter().map(|counters| counters.tx_bytes);
                let sum = sum.fold(0, u64::saturating_add);
                self.sent = [self.sent[1], Some((t, sum))];
                self.counters.clone_from(nodes);
            }
            What::ByHand { fault, label, .. } => {
                self.labels.insert(*fault, label.clone());
            }
            What::Value { node, value } => {
                self.values.insert(*node, value.clone());
            }
            What::FaultBegan { fault } => {
                self.faults.insert(*fault, t);
            }
            What::FaultEnded { fault } => {
                self.faults.remove(fault);
                self.labels.remove(fault);
                self.lasts.remove(fault);
            }
            What::Ordered { line, action } => self.ordered(*line, action),
            What::Joined(joined) => {
                let mut row = NodeRow::of(&joined.name, &joined.link, &self.regions);
                if joined.guest {
                    row.state = NodeState::Guest;
                }
                self.rows.push(row);
            }
            What::Left { node } => {
                if let Some(row) = self.row_mut(*node) {
                    let was_guest = row.state == NodeState::Guest;
                    row.state = NodeState::Removed;
                    row.tip = None;
                    row.peers = None;
                    if was_guest {
                        self.guests_gone.insert(*node);
                    }
                }
            }
            What::Effect { line, error, .. } => {
                if let Some(node) = self.starts.remove(line)
                    && error.is_none()
                    && let Some(row) = self.row_mut(node)
                    && !row.state.is_up()
                {
                    row.state = NodeState::Starting;
                }
            }
            What::Fidelity {
                lateness,
                cpu_pressure,
                ..
            } => {
                self.deliveries.add(lateness);
                self.fidelity = Some(FidelityNow {
                    lateness: *lateness,
                    cpu_pressure: *cpu_pressure,
                });
            }
            What::Host(host) => self.images.clone_from(&host.images),
            What::Phase { .. }
            | What::Replaced { .. }
            | What::MineMissed { .. }
            | What::Usage { .. }
            | What::Ledger { .. }
            | What::Unanswered { .. }
            | What::LogEnd { .. }
            | What::Ended { .. } => {}
        }
    }

    /// A node's connections were counted.
    pub fn counted_peers(&mut self, node: NodeId, peers: PeerCount) {
        if let Some(row) = self.row_mut(node)
            && row.state.is_up()
        {
            row.peers = Some(peers);
        }
    }

    /// The digests of images that are not ours, by what the plan calls them.
    pub fn images(&self) -> &BTreeMap<String, String> {
        &self.images
    }

    /// All that there is to show: guests that have gone are left out.
    pub fn shown(&self) -> Vec<NodeRow> {
        let numbered = (0..).map(NodeId).zip(&self.rows);
        let shown = numbered.filter(|(node, _)| !self.guests_gone.contains(node));
        shown.map(|(_, row)| row.clone()).collect()
    }

    /// A fault in force ends by itself after so long; its events do not say that.
    pub fn lasts(&mut self, fault: u32, lasts: Nanos) {
        if self.faults.contains_key(&fault) {
            self.lasts.insert(fault, lasts);
        }
    }

    /// The whole at an instant, all nodes that there ever were among it, so that each has its number.
    pub fn snapshot(&self, network: &str, now: Nanos) -> Snapshot {
        Snapshot {
            status: self.status(network, now),
            nodes: self.rows.clone(),
        }
    }

    /// All nodes, by number.
    pub fn rows(&self) -> &[NodeRow] {
        &self.rows
    }

    /// Each node's counters of the wire, at the last reading; none before the first.
    pub fn counters(&self) -> &[NodeCounters] {
        &self.counters
    }

    /// What the fabric delivered.
    pub fn deliveries(&self) -> Deliveries {
        self.deliveries
    }

    /// How often a block was built on one that another block was built on already: as often the chain has
    /// forked.
    pub fn forks(&self) -> u64 {
        self.forks
    }

    /// The nodes that answer.
    pub fn up(&self) -> Vec<NodeId> {
        let up = (0..).map(NodeId).zip(&self.rows);
        let up = up.filter(|(_, row)| row.state.is_up());
        up.map(|(node, _)| node).collect()
    }

    /// The nodes that are there no more.
    pub fn removed(&self) -> Vec<NodeId> {
        let rows = (0..).map(NodeId).zip(&self.rows);
        let removed = rows.filter(|(_, row)| row.state == NodeState::Removed);
        removed.map(|(node, _)| node).collect()
    }

    /// How many nodes answer.
    pub fn up_count(&self) -> usize {
        self.rows.iter().filter(|row| row.state.is_up()).count()
    }

    /// How many nodes there are, without those that were removed.
    pub fn node_count(&self) -> usize {
        self.rows.iter().filter(|row| row.state.is_node()).count()
    }

    /// Whether all nodes that run have answered, and say the same: their tip, or what a program of theirs
    /// says. One node agrees with itself.
    pub fn agreed(&self) -> bool {
        let runs = |row: &NodeRow| matches!(row.state, NodeState::Starting | NodeState::Up);
        let running = (0..).map(NodeId).zip(&self.rows);
        let mut said = running
            .filter(|(_, row)| runs(row))
            .map(|(node, row)| self.said(node, row));
        let Some(first) = said.next().flatten() else {
            return false;
        };
        said.all(|said| said == Some(first))
    }

    fn said<'a>(&'a self, node: NodeId, row: &'a NodeRow) -> Option<&'a str> {
        if let Some(value) = self.values.get(&node) {
            return Some(value.as_str()).filter(|value| !value.is_empty());
        }
        row.tip.as_ref().map(|tip| tip.hash.as_str())
    }

    /// Whether a node was seen to have this block in its chain.
    pub fn has_block(&self, node: NodeId, block: &str) -> bool {
        let tip = self.rows.get(node.index()).and_then(|row| row.tip.as_ref());
        tip.is_some_and(|tip| {
            let tip = tip.hash.as_str();
            tip == block || self.ancestors(std::iter::once(tip)).contains(block)
        })
    }

    /// The nodes that answer, but for those that have no chain: a program of theirs says what they say.
    pub fn up_with_chain(&self) -> impl Iterator<Item = &NodeRow> {
        let up = (0..).map(NodeId).zip(&self.rows);
        up.filter(|(node, row)| row.state.is_up() && !self.values.contains_key(node))
            .map(|(_, row)| row)
    }

    /// The network in short, at an instant.
    pub fn status(&self, network: &str, now: Nanos) -> Status {
        let mut by_tip: BTreeMap<(u32, &str), Vec<String>> = BTreeMap::new();
        for row in &self.rows {
            if let Some(tip) = &row.tip {
                let nodes = by_tip.entry((tip.height, tip.hash.as_str())).or_default();
                nodes.push(row.node.clone());
            }
        }
        let inner = self.ancestors(by_tip.keys().map(|(_, hash)| *hash));
        let (mut branches, mut behind) = (Vec::new(), Vec::new());
        for ((height, hash), nodes) in by_tip.into_iter().rev() {
            if inner.contains(hash) {
                behind.extend(nodes);
            } else {
                let hash = hash.to_owned();
                let tip = Tip { hash, height };
                branches.push(Branch { tip, nodes });
            }
        }
        let left = |fault: u32, began: Nanos| {
            let lasts = self.lasts.get(&fault)?;
            Some(began.saturating_add(*lasts).saturating_sub(now))
        };
        let fault = |(fault, began): (&u32, &Nanos)| FaultRow {
            fault: *fault,
            label: self.labels.get(fault).cloned().unwrap_or_default(),
            since_ns: now.saturating_sub(*began),
            left_ns: left(*fault, *began),
        };
        Status {
            network: network.to_owned(),
            engine: self.engine.clone(),
            up_for_ns: now,
            nodes: self.node_count(),
            nodes_up: self.up_count(),
            agreed: self.agreed(),
            height: branches.first().map_or(0, |it: &Branch| it.tip.height),
            branches,
            behind,
            blocks: self.blocks,
            transactions: self.transactions,
            faults: self.faults.iter().map(fault).collect(),
            traffic: self.traffic(),
            fidelity: self.fidelity,
        }
    }

    fn traffic(&self) -> Option<TrafficNow> {
        let [Some((before, sum)), Some((at, now))] = self.sent else {
            return None;
        };
        let over_ns = at.saturating_sub(before);
        (over_ns > Nanos::ZERO).then(|| TrafficNow {
            sent_per_second: now.saturating_sub(sum) as f64 / over_ns.as_secs_f64(),
            over_ns,
        })
    }

    /// The blocks that these build on, as far as they are known.
    fn ancestors<'a>(&'a self, tips: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        for tip in tips {
            let mut next = self.parents.get(tip);
            while let Some(parent) = next {
                if !found.insert(parent.as_str()) {
                    break;
                }
                next = self.parents.get(parent);
            }
        }
        found
    }

    fn learn(&mut self, hash: String, parent: String) {
        if self.parents.insert(hash.clone(), parent.clone()).is_none() {
            self.latest.push_back(hash);
            self.forks += u64::from(!self.built_on.insert(parent));
        }
        if self.latest.len() > BLOCKS_MAX
            && let Some(oldest) = self.latest.pop_front()
            && let Some(parent) = self.parents.remove(&oldest)
        {
            self.built_on.remove(&parent);
        }
    }

    fn ordered(&mut self, line: u32, action: &Action) {
        let Action::Process { node, op } = action else {
            return;
        };
        if matches!(op, ProcessOp::Start | ProcessOp::Thaw) {
            self.starts.insert(line, *node);
        }
        if self.starts.len() > ORDERS_MAX {
            self.starts.pop_first();
        }
    }

    fn came_up(&mut self, node: NodeId) {
        let again = self.ended.remove(&node);
        if let Some(row) = self.row_mut(node)
            && row.state != NodeState::Removed
        {
            row.state = NodeState::Up;
            row.restarts += u32::from(again);
        }
    }

    fn row_mut(&mut self, node: NodeId) -> Option<&mut NodeRow> {
        self.rows.get_mut(node.index())
    }
}
