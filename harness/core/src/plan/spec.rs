//! The plan: everything that chance decides, decided. Data only; `compile` makes it from a
//! topology and a seed, an engine carries it out, checks read it beside the events.

use std::net::Ipv4Addr;

use peerlab_link::proto::Timed;
use peerlab_link::{Nanos, Network, NodeId};
use serde::{Deserialize, Serialize};

use crate::event::Joined;
use crate::experiment::{Down, Expectation, FaultKind, Image, Launch, Nodes, Probe};

pub use crate::experiment::Peers;

/// The reproducible experiment (`plan.json`). The same plan gives the same run on any engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Format of this file; [`Plan::VERSION`].
    pub version: u32,
    /// The experiment's name.
    pub name: String,
    /// What everything was drawn from.
    pub seed: u64,
    /// In order, without gaps, from zero to the end.
    pub phases: Vec<Phase>,
    /// Node groups, as the topology has them.
    pub groups: Vec<Group>,
    /// Every node, by [`NodeId`].
    pub nodes: Vec<Node>,
    /// The emulated network at `go`.
    pub network: Network,
    /// The ledger's rules and start.
    pub ledger: Ledger,
    /// Link changes and process control, sorted by time. Held by the fabric. Its last entries
    /// heal everything and bring every node back, at the start of the settle phase, except
    /// what is explicitly never to heal. Entries of one instant are carried out in their order.
    pub fault_schedule: Vec<Timed>,
    /// When each node is meant to be down, by whatever churn or fault; sorted by start, then by
    /// node. The outages of one node neither overlap nor touch. The fault schedule carries them out.
    pub outages: Vec<Outage>,
    /// Blocks, transactions and double spends, sorted by time. Done by the engine over RPC.
    pub workload: Vec<WorkloadAction>,
    /// The faults as a person wrote them, for events, report and checks.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub expect: Vec<Expectation>,
    /// In the simulator: how many CPUs the programs of all nodes share. `None`: each has its own.
    /// Real nodes share those that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u16>,
    /// On shared CPUs: what is computed for one message. `None`: what it was on a slow machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_work: Option<Nanos>,
    /// In the simulator: what is computed for a block, of the usual, percent. `None`: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_work_percent: Option<u32>,
}

impl Plan {
    /// The format that this code writes and reads.
    pub const VERSION: u32 = 2;

    /// When the last phase of a network that stays ends.
    pub const NEVER: Nanos = Nanos(u64::MAX);

    /// Whether it is that of a network that stays until somebody ends it.
    pub fn stays(&self) -> bool {
        self.end() == Plan::NEVER
    }

    /// When the run ends.
    pub fn end(&self) -> Nanos {
        self.phases.last().map_or(Nanos::ZERO, |p| p.end)
    }

    /// Whether a new node comes in the place of this one at some time; in a network that stays that
    /// may be any.
    pub fn replaces(&self, node: NodeId) -> bool {
        let mut lines = self.fault_schedule.iter();
        self.stays() || lines.any(|line| line.action.wipes() == Some(node))
    }

    /// There is one node more, which joined a network that stays. It is meant to be down until it is started.
    pub fn join(&mut self, joined: &Joined) {
        self.network.nodes.push(joined.link.clone());
        self.nodes.push(Node::of(joined));
    }

    /// There is one node more from the start, which joined before.
    pub fn begin_with(&mut self, joined: &Joined) {
        self.join(joined);
        if let Some(node) = self.nodes.last_mut() {
            node.starts_up = true;
        }
    }

    /// The name of a node, or its number where the plan has no such node.
    pub fn node_name(&self, id: NodeId) -> String {
        let node = self.nodes.get(id.index());
        node.map_or_else(|| format!("node {id}"), |node| node.name.clone())
    }
}

/// A named stretch of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// `warmup`, `faults` or `settle`.
    pub name: String,
    /// Start.
    pub start: Nanos,
    /// End, exclusive.
    pub end: Nanos,
}

/// Nodes that run the same program under the same limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Name in the topology.
    pub name: String,
    /// What they run.
    pub image: Image,
    /// Arguments of the image's entrypoint, without what is node-specific.
    pub command: Vec<String>,
    /// How their ledger is read.
    pub probe: Probe,
    /// How long each may take from its first start until it answers. `None`: the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Nanos>,
    /// CPU limit in thousandths of a core; `None` is unlimited.
    pub cpu_millis: Option<u32>,
    /// Memory limit, bytes; `None` is unlimited.
    pub memory_bytes: Option<u64>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its index in [`Plan::nodes`].
    pub id: NodeId,
    /// `GROUP-INDEX`, as `peers-17`.
    pub name: String,
    /// Index into [`Plan::groups`].
    pub group: u32,
    /// Address, as in the network.
    pub ip: Ipv4Addr,
    /// Relative hash power; zero does not mine.
    pub hash_power: f64,
    /// Whether its program starts at `go`.
    pub starts_up: bool,
    /// How it finds peers.
    pub peers: Peers,
    /// Whole argument list of the entrypoint.
    pub args: Vec<String>,
    /// How its program is started otherwise than the image says.
    #[serde(default, skip_serializing_if = "Launch::is_usual")]
    pub launch: Launch,
}

impl Node {
    /// One that joined. It has no hash power: blocks are drawn among the nodes that the network began with.
    pub fn of(joined: &Joined) -> Node {
        Node {
            id: joined.node,
            name: joined.name.clone(),
            group: joined.group,
            ip: joined.link.ip,
            hash_power: 0.0,
            starts_up: false,
            peers: joined.peers.clone(),
            args: joined.args.clone(),
            launch: joined.launch.clone(),
        }
    }
}

/// The ledger's rules and start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Mean time between blocks; `None` mines nothing.
    pub block_interval: Option<Nanos>,
    /// Blocks of the pre-mined chain that every node loads.
    pub premined_blocks: u32,
    /// Spendable outputs that the pre-mined chain holds, numbered from zero.
    pub outputs: u32,
    /// What every block weighs more on the wire, bytes, as if it were full of transactions that
    /// all nodes have already. Only the simulator can do that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub filler_bytes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A stretch of time in which a node is meant to be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Who.
    pub node: NodeId,
    /// From when; zero when it does not start at `go`.
    pub start: Nanos,
    /// Until when; `None` is for good.
    pub end: Option<Nanos>,
    /// In which way. Where several faults overlap: the first that ends the program, or a freeze
    /// when none does.
    pub how: Down,
}

/// Something that the engine does over a node's RPC at an instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadAction {
    /// Since `go`.
    pub at: Nanos,
    /// What.
    pub work: Work,
}

/// What an workload action does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The winner of the lottery mines one block; nothing happens if it is down.
    Mine {
        /// The winner.
        node: NodeId,
    },
    /// A transaction is submitted. Its bytes follow from `output` and `variant` alone.
    Transaction {
        /// Where.
        node: NodeId,
        /// Which pre-mined output it spends.
        output: u32,
        /// Two variants of one output conflict.
        variant: u32,
    },
    /// Two conflicting transactions are submitted at once, each to the first node of its side
    /// that is up.
    DoubleSpend {
        /// Index into [`Plan::faults`].
        fault: u32,
        /// The output that both spend: variants 0 and 1.
        output: u32,
        /// Candidates on each side, best first.
        sides: [Vec<NodeId>; 2],
    },
}

/// A fault or a churn rule as written, with chance drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Start.
    pub start: Nanos,
    /// End: when it heals. `None` is never, or an instantaneous fault.
    pub end: Option<Nanos>,
    /// What it comes from.
    pub cause: Cause,
    /// For people, in one line: `partition of 6 nodes from 6`.
    pub label: String,
}

/// From which section of the file an entry of [`Plan::faults`] comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// `faults`.
    Fault(FaultKind<Nodes>),
    /// `churn`: one entry per rule, from the start of the run to the settle phase.
    Churn {
        /// Who comes and goes.
        nodes: Nodes,
        /// In which way.
        how: Down,
    },
}

impl Fault {
    /// What it does, unless it is churn: the background of the run rather than an event in it.
    pub fn kind(&self) -> Option<&FaultKind<Nodes>> {
        match &self.cause {
            Cause::Fault(kind) => Some(kind),
            Cause::Churn { .. } => None,
        }
    }

    /// The sides, if it is a partition.
    pub fn sides(&self) -> Option<&[Nodes]> {
        self.kind()?.sides()
    }

    /// Whether it is what takes this node down.
    pub fn takes_down(&self, node: NodeId) -> bool {
        match &self.cause {
            Cause::Fault(kind) => {
                kind.down().is_some() && kind.node_sets().iter().any(|set| set.contains(&node))
            }
            Cause::Churn { nodes, .. } => nodes.contains(&node),
        }
    }

    /// Whether it is a double spend.
    pub fn is_double_spend(&self) -> bool {
        self.kind().is_some_and(|kind| kind.across().is_some())
    }
}
