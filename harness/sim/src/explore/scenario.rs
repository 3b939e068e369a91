//! One experiment with nothing left to chance: every node with its region and first peers, every
//! block, payment, outage and fault with its time. It is drawn from an experiment and a seed
//! (`of`), written as a file (`file`), and made smaller (`reduce`). What engines run is always the
//! plan of its file, never this.

use peerlab_link::{Nanos, NodeId};

use peerlab_core::error::Result;
use peerlab_core::experiment::{Down, Expectation, FaultKind, Nodes};
use peerlab_core::plan::spec::{self, Peers, Work};
use peerlab_core::plan::{Placement, Plan, compile, draw_churn};
use peerlab_core::topology::{self, Discovery, Group, Moment, Phases, Places, Topology};

/// An experiment with nothing left to chance. Nodes are numbered through the groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What is still drawn from it: which packets are lost, and their jitter.
    pub seed: u64,
    /// Lengths of the phases.
    pub phases: Phases,
    /// Node groups; the region of each of their nodes is listed, and nobody has hash power.
    pub groups: Vec<Group>,
    /// Region names.
    pub regions: Vec<String>,
    /// `paths[from][to]`.
    pub paths: Vec<Vec<peerlab_link::PathDelay>>,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// Bytes added to a packet.
    pub framing_bytes: u16,
    /// Who knows whom at first.
    pub known: Known,
    /// Bytes that every block has besides its transactions (simulator only).
    pub filler_bytes: u32,
    /// Who mines when, sorted by time.
    pub blocks: Vec<Moment>,
    /// Who pays when, sorted by time.
    pub payments: Vec<Moment>,
    /// Outages, sorted by node and start.
    pub outages: Vec<Outage>,
    /// Faults.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub expect: Vec<Expectation>,
}

/// Who knows whom at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nodes and whom they know, sorted by the first; then gossip.
    Each(Vec<(u32, u32)>),
    /// The seeds that all ask, sorted.
    Seeds(Vec<u32>),
    /// The connections, sorted by who opens them; no gossip.
    Edges(Vec<(u32, u32)>),
}

/// A node is down for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Who.
    pub node: u32,
    /// From when.
    pub start: Nanos,
    /// Until when.
    pub end: Nanos,
    /// In which way.
    pub how: Down,
}

/// Something done to the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// From when.
    pub start: Nanos,
    /// Until when; `None` is for good. A double spend ends as it begins.
    pub end: Option<Nanos>,
    /// What.
    pub kind: FaultKind<Nodes>,
}

impl Scenario {
    /// What an experiment and a seed come to.
    ///
    /// # Errors
    /// As `compile`.
    pub fn of(topology: &Topology, seed: u64) -> Result<Scenario> {
        let plan = compile(topology, seed)?;
        let placement = Placement::new(topology, seed);
        let mut outages: Vec<Outage> = Vec::new();
        for rule in draw_churn(&placement)? {
            outages.extend(rule.outages.iter().map(|outage| Outage {
                node: outage.node.0,
                start: outage.start,
                end: outage.end.unwrap_or(topology.phases.settle_start()),
                how: outage.how,
            }));
        }
        let (mut blocks, mut payments) = (Vec::new(), Vec::new());
        for spec::WorkloadAction { at, work } in &plan.workload {
            let moment = |node: &NodeId| Moment {
                at: *at,
                node: node.0,
            };
            match work {
                Work::Mine { node } => blocks.push(moment(node)),
                Work::Transaction { node, .. } => payments.push(moment(node)),
                Work::DoubleSpend { .. } => {}
            }
        }
        let mut scenario = Scenario {
            name: topology.name.clone(),
            seed,
            phases: topology.phases,
            groups: groups(&placement),
            regions: topology.network.regions.clone(),
            paths: topology.network.paths.clone(),
            mtu: topology.network.mtu,
            framing_bytes: topology.network.framing_bytes,
            known: known(topology, &plan),
            filler_bytes: topology.ledger.filler_bytes,
            blocks,
            payments,
            outages,
            faults: faults(topology, &plan),
            expect: topology.expect.clone(),
        };
        scenario.sort();
        Ok(scenario)
    }

    /// Brings events into their order, after times have changed.
    pub fn sort(&mut self) {
        self.blocks.sort_by_key(|block| block.at);
        self.payments.sort_by_key(|payment| payment.at);
        self.outages
            .sort_by_key(|outage| (outage.node, outage.start));
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.groups.iter().map(|group| group.count as usize).sum()
    }

    /// All nodes.
    pub fn all_nodes(&self) -> Vec<u32> {
        (0..self.node_count() as u32).collect()
    }

    /// What happens: faults, outages, blocks and payments.
    pub fn event_count(&self) -> usize {
        self.faults.len() + self.outages.len() + self.blocks.len() + self.payments.len()
    }

    /// Whether a node is taken down for good by a fault.
    pub fn ends_down(&self, node: u32) -> bool {
        let for_good = |fault: &&Fault| fault.kind.down().is_some() && fault.end.is_none();
        let gone = self.faults.iter().filter(for_good);
        let mut gone = gone.flat_map(|fault| fault.kind.node_sets().iter().flatten());
        gone.any(|it| it.0 == node)
    }
}

/// The regions of a group's nodes.
pub fn regions_of(group: &Group) -> &[u16] {
    match &group.regions {
        Places::Each(regions) => regions,
        Places::Shares(_) => &[],
    }
}

/// The groups, with each node's region listed.
fn groups(placement: &Placement<'_>) -> Vec<Group> {
    let topology = placement.topology;
    let placed = |(index, group): (usize, &Group)| {
        let first = topology.first_of(index);
        Group {
            regions: Places::Each(placement.region[first..first + group.count as usize].to_vec()),
            hash_power: 0.0,
            ..group.clone()
        }
    };
    topology.groups.iter().enumerate().map(placed).collect()
}

/// Whom each node of a plan knows at first.
pub(super) fn known(topology: &Topology, plan: &Plan) -> Known {
    let pairs = || {
        let of = |node: &spec::Node| -> Vec<(u32, u32)> {
            let known = node.peers.known().iter();
            known.map(|other| (node.id.0, other.0)).collect()
        };
        plan.nodes.iter().flat_map(of).collect()
    };
    match &topology.network.discovery {
        Discovery::Pure(_) => Known::Each(pairs()),
        Discovery::Graph(_) | Discovery::Edges(_) => Known::Edges(pairs()),
        Discovery::Hybrid(_) => {
            // Whoever asks no seeds is one.
            let is_seed = |node: &&spec::Node| !matches!(node.peers, Peers::Seeds(_));
            let seeds = plan.nodes.iter().filter(is_seed);
            Known::Seeds(seeds.map(|node| node.id.0).collect())
        }
    }
}

/// The faults as written, with the nodes that were drawn.
fn faults(topology: &Topology, plan: &Plan) -> Vec<Fault> {
    let drawn = plan.faults.iter().filter_map(spec::Fault::kind);
    let fault = |(written, kind): (&topology::Fault, &FaultKind<Nodes>)| Fault {
        start: written.start,
        end: written.end,
        kind: kind.clone(),
    };
    topology.faults.iter().zip(drawn).map(fault).collect()
}
