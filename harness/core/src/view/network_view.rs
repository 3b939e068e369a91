//! The network now: each node's state, tip and bytes, the branches, the faults in force.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerlab_link::proto::{Action, ProcessOp};
use peerlab_link::{Nanos, NodeId};
use serde::{Deserialize, Serialize};

use crate::event::{Reason, RunEvent, Tip, What};
use crate::experiment::Down;
use crate::plan::Plan;

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
}

impl NodeState {
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

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRow {
    /// Its index in the record.
    pub fault: u32,
    pub label: String,
    /// How long it has been in force.
    pub since_ns: Nanos,
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
}

/// See the module.
#[derive(Clone, Debug)]
pub struct NetworkView {
    rows: Vec<NodeRow>,
    engine: String,
    /// Parents of the latest blocks, and these in the order in which they were told.
    parents: BTreeMap<String, String>,
    latest: VecDeque<String>,
    blocks: u64,
    transactions: u64,
    labels: BTreeMap<u32, String>,
    /// When each began.
    faults: BTreeMap<u32, Nanos>,
    /// Nodes whose program has ended, and has not answered since.
    ended: BTreeSet<NodeId>,
    /// Programs that were ordered to start, by line.
    starts: BTreeMap<u32, NodeId>,
    /// Bytes sent by all, at the last two readings.
    sent: [Option<(Nanos, u64)>; 2],
}

impl NetworkView {
    /// Of a network that has just been started.
    pub fn new(plan: &Plan) -> NetworkView {
        let region = |node: NodeId| {
            let link = plan.network.nodes.get(node.index())?;
            plan.network.regions.get(usize::from(link.region)).cloned()
        };
        let row = |node: &crate::plan::spec::Node| NodeRow {
            node: node.name.clone(),
            ip: node.ip,
            region: region(node.id).unwrap_or_default(),
            state: NodeState::Starting,
            tip: None,
            peers: None,
            sent_bytes: None,
            received_bytes: None,
            restarts: 0,
        };
        NetworkView {
            rows: plan.nodes.iter().map(row).collect(),
            engine: String::new(),
            parents: BTreeMap::new(),
            latest: VecDeque::new(),
            blocks: 0,
            transactions: 0,
            labels: BTreeMap::new(),
            faults: BTreeMap::new(),
            ended: BTreeSet::new(),
            starts: BTreeMap::new(),
            sent: [None; 2],
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
                    row.state = NodeState::Down {
                        how: *how,
                        reason: reason.clone(),
                    };
                }
            }
            What::Tip { node, tip } => {
                if let Some(row) = self.row_mut(*node) {
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
            }
            What::ByHand { fault, label, .. } => {
                self.labels.insert(*fault, label.clone());
            }
            What::FaultBegan { fault } => {
                self.faults.insert(*fault, t);
            }
            What::FaultEnded { fault } => {
                self.faults.remove(fault);
                self.labels.remove(fault);
            }
            What::Ordered { line, action } => self.ordered(*line, action),
            What::Effect { line, error, .. } => {
                if let Some(node) = self.starts.remove(line)
                    && error.is_none()
                    && let Some(row) = self.row_mut(node)
                    && !row.state.is_up()
                {
                    row.state = NodeState::Starting;
                }
            }
            What::Host(_)
            | What::Phase { .. }
            | What::Replaced { .. }
            | What::MineMissed { .. }
            | What::Value { .. }
            | What::Usage { .. }
            | What::Fidelity { .. }
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

    /// All nodes, by number.
    pub fn rows(&self) -> &[NodeRow] {
        &self.rows
    }

    /// The nodes that answer.
    pub fn up(&self) -> Vec<NodeId> {
        let up = (0..).map(NodeId).zip(&self.rows);
        let up = up.filter(|(_, row)| row.state.is_up());
        up.map(|(node, _)| node).collect()
    }

    /// How many nodes answer.
    pub fn up_count(&self) -> usize {
        self.rows.iter().filter(|row| row.state.is_up()).count()
    }

    /// Whether all nodes that run have answered, and have one tip. One node agrees with itself.
    pub fn agreed(&self) -> bool {
        let runs = |row: &&NodeRow| !matches!(row.state, NodeState::Down { .. });
        let mut running = self.rows.iter().filter(runs);
        let Some(first) = running.next().and_then(|row| row.tip.as_ref()) else {
            return false;
        };
        running.all(|row| row.tip.as_ref() == Some(first))
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
        let fault = |(fault, began): (&u32, &Nanos)| FaultRow {
            fault: *fault,
            label: self.labels.get(fault).cloned().unwrap_or_default(),
            since_ns: now.saturating_sub(*began),
        };
        Status {
            network: network.to_owned(),
            engine: self.engine.clone(),
            up_for_ns: now,
            nodes: self.rows.len(),
            nodes_up: self.up_count(),
            agreed: self.agreed(),
            height: branches.first().map_or(0, |it: &Branch| it.tip.height),
            branches,
            behind,
            blocks: self.blocks,
            transactions: self.transactions,
            faults: self.faults.iter().map(fault).collect(),
            traffic: self.traffic(),
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
        if self.parents.insert(hash.clone(), parent).is_none() {
            self.latest.push_back(hash);
        }
        if self.latest.len() > BLOCKS_MAX
            && let Some(oldest) = self.latest.pop_front()
        {
            self.parents.remove(&oldest);
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
        if let Some(row) = self.row_mut(node) {
            row.state = NodeState::Up;
            row.restarts += u32::from(again);
        }
    }

    fn row_mut(&mut self, node: NodeId) -> Option<&mut NodeRow> {
        self.rows.get_mut(node.index())
    }
}
