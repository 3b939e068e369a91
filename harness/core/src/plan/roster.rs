//! The nodes of a network that stays, as they are named by hand: those of its file, those that joined, and
//! without those that were removed. What is drawn here is drawn as a plan draws it.
//!
//! A node keeps its number for good: whoever joins gets the next one. In the words of a file nodes are
//! numbered through the groups, so that one more in a group moves all behind it; the two are translated here.

use std::collections::BTreeSet;

use peerlab_link::{Loss, NodeId, NodeLink};

use super::arguments::Subject;
use super::chance::Chance;
use super::disturb::draw_kind;
use super::launch::{Launcher, known};
use super::place::{Chooser, Placement, address};
use super::spec::{Node, Peers, Plan};
use crate::error::{Error, Result};
use crate::event::Joined;
use crate::experiment::{FaultKind, Launch, Nodes};
use crate::topology::by_hand::{AskedFault, choose, without_places};
use crate::topology::template::Known;
use crate::topology::{Bootstrap, Discovery, Graph, Path, Places, QUEUE_BYTES_DEFAULT, Topology};
use crate::words;

/// Nodes that a network may get by hand, in all: whether the machine carries those that it begins with was
/// asked before, and each reading of the counters in the record has a row for every node that ever was.
pub const JOINED_MAX: usize = 200;

/// What programs of the host are called.
const GUEST: &str = "guest";

/// See the module.
#[derive(Clone, Debug)]
pub struct Roster {
    /// What the network was brought up from.
    written: Topology,
    /// The same with those that joined, and the region of each node.
    grown: Topology,
    seed: u64,
    /// By id.
    nodes: Vec<Node>,
    /// By their number in the words of the file.
    ids: Vec<NodeId>,
    /// Those that are not the file's; no program of the host.
    joined: Vec<Joined>,
    gone: BTreeSet<NodeId>,
    /// How often something was drawn.
    draws: u64,
}

impl Roster {
    /// The nodes of a network that has just come up. Of those of its plan that are not its file's each is one more
    /// of its group, as if it had joined before.
    pub fn new(topology: &Topology, plan: &Plan) -> Roster {
        let mut grown = topology.clone();
        let mut links = plan.network.nodes.iter();
        for group in &mut grown.groups {
            let own = links.by_ref().take(group.count as usize);
            group.regions = Places::Each(own.map(|link| link.region).collect());
        }
        let of_file = plan.nodes.iter().take(topology.node_count());
        let mut roster = Roster {
            written: topology.clone(),
            grown,
            seed: plan.seed,
            ids: of_file.clone().map(|node| node.id).collect(),
            nodes: of_file.cloned().collect(),
            joined: Vec::new(),
            gone: BTreeSet::new(),
            draws: 0,
        };
        let all = plan.nodes.iter().zip(&plan.network.nodes);
        for (node, link) in all.skip(topology.node_count()) {
            roster.take_in(Joined {
                node: node.id,
                name: node.name.clone(),
                group: node.group,
                peers: node.peers.clone(),
                args: node.args.clone(),
                launch: node.launch.clone(),
                link: link.clone(),
                guest: false,
            });
        }
        roster
    }

    /// Those that joined and were not removed, if all that there are have the numbers that a network of as many
    /// nodes begins with.
    pub fn joined_without_gaps(&self) -> Option<Vec<Joined>> {
        let present = self.present().map(|node| node.id.index());
        let numbered = present.eq(0..self.present().count());
        let is_whole = numbered && self.present().count() >= self.written.node_count();
        let here = self
            .joined
            .iter()
            .filter(|it| !self.gone.contains(&it.node));
        is_whole.then(|| here.cloned().collect())
    }

    /// The nodes that there are, by id.
    pub fn present(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|it| !self.gone.contains(&it.id))
    }

    /// All that there ever were, by id.
    pub fn all(&self) -> &[Node] {
        &self.nodes
    }

    /// A node's name, also of one that was removed.
    pub fn name(&self, node: NodeId) -> String {
        let known = self.nodes.get(node.index());
        known.map_or_else(|| format!("node {node}"), |node| node.name.clone())
    }

    /// Another stream of random numbers each time.
    pub fn chance(&mut self) -> Chance {
        self.draws += 1;
        Chance::new(self.seed, &format!("by-hand/{}", self.draws))
    }

    /// The nodes of choices.
    ///
    /// # Errors
    /// Choices of nodes that cannot be met.
    pub fn choose(&mut self, choices: &[String]) -> Result<Nodes> {
        self.refuse_removed(choices)?;
        let selection = choose(&self.grown, choices)?;
        let chance = self.chance();
        let placement = self.placement();
        let nodes = Chooser::new(&placement, chance).one(&selection);
        nodes
            .map(|nodes| self.ids_of(&nodes))
            .map_err(without_places)
    }

    /// A fault, with its nodes.
    ///
    /// # Errors
    /// As [`Roster::choose`], or what else is wrong with it.
    pub fn fault(&mut self, asked: &AskedFault) -> Result<FaultKind<Nodes>> {
        self.refuse_removed(asked.choices())?;
        let kind = asked.resolve(&self.grown)?;
        let chance = self.chance();
        let placement = self.placement();
        let kind = draw_kind(&placement, &kind, &Path::root(), chance).map_err(without_places)?;
        kind.try_map(|sets| Ok(sets.iter().map(|nodes| self.ids_of(nodes)).collect()))
    }

    /// Some nodes more of a group, drawn as a plan draws them; whom they know is drawn from `reachable`.
    ///
    /// # Errors
    /// When there is no such group, or no room for so many.
    pub fn grow(&mut self, group: &str, count: u32, reachable: &[NodeId]) -> Result<Vec<Joined>> {
        let groups = &self.grown.groups;
        let index = groups.iter().position(|it| it.name == group);
        let index = index.ok_or_else(|| {
            let names: Vec<String> = groups.iter().map(|it| it.name.clone()).collect();
            Error::input(format!("there is no group `{group}`"))
                .because(format!("the groups are {}", words::names(&names)))
                .hint("a node that joins is one more of a group")
        })?;
        self.room(count)?;
        let mut chance = self.chance();
        (0..count)
            .map(|_| self.one_more(index, reachable, &mut chance))
            .collect()
    }

    /// A program of the host comes in, in the first region and behind a link without limits. It has a number and
    /// an address as nodes have, and is meant by no choice of nodes.
    ///
    /// # Errors
    /// When there is no room.
    pub fn invite(&mut self) -> Result<Joined> {
        self.room(1)?;
        let id = NodeId(self.nodes.len() as u32);
        let joined = Joined {
            node: id,
            name: format!("{}-{id}", self.guests_called()),
            group: 0,
            peers: Peers::Fixed(Vec::new()),
            args: Vec::new(),
            launch: Launch::default(),
            link: NodeLink {
                ip: address(id),
                region: 0,
                up_bps: None,
                down_bps: None,
                queue_bytes: QUEUE_BYTES_DEFAULT,
                loss: Loss::None,
            },
            guest: true,
        };
        self.nodes.push(Node::of(&joined));
        self.gone.insert(id);
        Ok(joined)
    }

    /// What no group is called.
    fn guests_called(&self) -> String {
        let mut name = GUEST.to_owned();
        while self.grown.groups.iter().any(|group| group.name == name) {
            name.push_str("-of-host");
        }
        name
    }

    /// That a network may get so many more.
    fn room(&self, count: u32) -> Result<()> {
        let so_far = self.nodes.len().saturating_sub(self.written.node_count());
        let room = JOINED_MAX.saturating_sub(so_far);
        if count > 0 && count as usize <= room {
            return Ok(());
        }
        Err(Error::input(format!(
            "{} cannot be added",
            words::count(count.into(), "node")
        ))
        .because(format!(
            "a network may get {JOINED_MAX} nodes by hand, and has got {so_far}"
        ))
        .hint("a network that is brought up with more nodes has them from the start"))
    }

    /// Nodes were removed, or could not join.
    pub fn remove(&mut self, nodes: &[NodeId]) {
        self.gone.extend(nodes);
    }

    fn one_more(
        &mut self,
        group: usize,
        reachable: &[NodeId],
        chance: &mut Chance,
    ) -> Result<Joined> {
        let id = NodeId(self.nodes.len() as u32);
        let region = draw_region(&self.written.groups[group].regions, chance);
        let peers = self.draw_peers(reachable, chance);
        let index = self.grown.groups[group].count;
        let own = &self.written.groups[group];
        let name = format!("{}-{index}", own.name);
        let rates = own
            .access
            .rates
            .get(usize::from(region))
            .copied()
            .unwrap_or_default();
        let (args, launch) = self.launch(id, group, &name, index, region, &peers)?;
        let joined = Joined {
            node: id,
            args,
            launch,
            name,
            group: group as u32,
            peers,
            link: NodeLink {
                ip: address(id),
                region,
                up_bps: rates.up_bps,
                down_bps: rates.down_bps,
                queue_bytes: own.access.queue_bytes,
                loss: own.loss,
            },
            guest: false,
        };
        self.take_in(joined.clone());
        Ok(joined)
    }

    /// What one more is started with.
    fn launch(
        &self,
        node: NodeId,
        group: usize,
        name: &str,
        index: u32,
        region: u16,
        peers: &Peers,
    ) -> Result<(Vec<String>, Launch)> {
        let topology = &self.grown;
        let own = known(topology, group as u32, name, index, node, region);
        let others = self.ids.iter().zip(0..).map(|(id, number)| {
            let group = self.nodes[id.index()].group;
            let index = number - topology.first_of(group as usize) as u32;
            let region = match &topology.groups[group as usize].regions {
                Places::Each(regions) => regions.get(index as usize).copied(),
                Places::Shares(_) => None,
            };
            let name = &self.nodes[id.index()].name;
            known(topology, group, name, index, *id, region.unwrap_or(0))
        });
        let all: Vec<Known> = others.chain([own.clone()]).collect();
        let subject = Subject {
            group: &topology.groups[group],
            node,
            peers,
            named_by: 0,
        };
        Launcher::new(topology, self.seed, all).launch(&subject, &own)
    }

    /// There is one node more, the last of its group.
    fn take_in(&mut self, joined: Joined) {
        let group = joined.group as usize;
        let index = self.grown.groups[group].count;
        let number = self.grown.first_of(group) + index as usize;
        self.ids.insert(number, joined.node);
        self.nodes.push(Node::of(&joined));
        let grown = &mut self.grown.groups[group];
        grown.count += 1;
        if let Places::Each(regions) = &mut grown.regions {
            regions.push(joined.link.region);
        }
        self.joined.push(joined);
    }

    /// Whom one more knows at first. It opens as many connections as a node of the graph has; nobody that is
    /// there opens one to it by plan.
    fn draw_peers(&self, reachable: &[NodeId], chance: &mut Chance) -> Peers {
        let count = self.written.node_count();
        let each = |sum: usize| sum.div_ceil(count.max(1)).max(1);
        match &self.written.network.discovery {
            Discovery::Pure(Bootstrap::Count(wanted)) => {
                Peers::Bootstrap(chance.choose(reachable, *wanted as usize))
            }
            Discovery::Pure(Bootstrap::Nodes(_)) => {
                // All know the same, and those among them each other.
                let known = self.nodes.iter().map(|node| node.peers.known());
                let most = known.max_by_key(|known| known.len()).unwrap_or_default();
                Peers::Bootstrap(self.those_there(most))
            }
            Discovery::Pure(Bootstrap::Each(known)) => {
                let mean = each(known.iter().map(Vec::len).sum());
                Peers::Bootstrap(chance.choose(reachable, mean))
            }
            Discovery::Hybrid(_) => {
                let seeds = self.nodes.iter().find_map(|node| match &node.peers {
                    Peers::Seeds(seeds) => Some(seeds.as_slice()),
                    Peers::Fixed(_) | Peers::Bootstrap(_) => None,
                });
                Peers::Seeds(self.those_there(seeds.unwrap_or_default()))
            }
            Discovery::Graph(kind) => {
                let wanted = match kind.graph {
                    Graph::Star { .. } => {
                        let centre = self.those_there(&[NodeId(kind.centre)]);
                        return Peers::Fixed(centre);
                    }
                    Graph::Line => 1,
                    Graph::Ring => 2,
                    Graph::Complete => reachable.len(),
                    Graph::RandomRegular { degree } | Graph::SmallWorld { degree, .. } => {
                        degree as usize
                    }
                    Graph::ScaleFree { links } => links as usize,
                };
                Peers::Fixed(chance.choose(reachable, wanted))
            }
            Discovery::Edges(edges) => Peers::Fixed(chance.choose(reachable, each(edges.len()))),
        }
    }

    fn those_there(&self, nodes: &[NodeId]) -> Nodes {
        let there = |node: &&NodeId| !self.gone.contains(*node);
        nodes.iter().filter(there).copied().collect()
    }

    /// Who is where, in the words of the file.
    fn placement(&self) -> Placement<'_> {
        let numbers = (0..).map(NodeId).zip(&self.ids);
        let gone = numbers.filter(|(_, id)| self.gone.contains(id));
        let gone = gone.map(|(number, _)| number).collect();
        Placement::new(&self.grown, self.seed).without(gone)
    }

    /// Those that have these numbers in the words of the file.
    fn ids_of(&self, numbers: &[NodeId]) -> Nodes {
        let known = numbers
            .iter()
            .filter_map(|number| self.ids.get(number.index()));
        let mut ids: Nodes = known.copied().collect();
        ids.sort_unstable();
        ids
    }

    fn refuse_removed<'a>(&self, choices: impl IntoIterator<Item = &'a String>) -> Result<()> {
        let gone = self.gone.iter().map(|node| self.name(*node));
        let gone: BTreeSet<String> = gone.collect();
        match choices.into_iter().find(|choice| gone.contains(*choice)) {
            None => Ok(()),
            Some(name) => Err(Error::input(format!("`{name}` was removed"))
                .because("it does not come back")
                .hint("`peerlab ps` shows the nodes; `peerlab add GROUP` adds one")),
        }
    }
}

/// The region of one more: by the shares of its group, or as one of its nodes.
fn draw_region(places: &Places, chance: &mut Chance) -> u16 {
    match places {
        Places::Each(regions) => regions
            .get(chance.below(regions.len()))
            .copied()
            .unwrap_or_default(),
        Places::Shares(shares) => {
            let ticket = chance.unit() * shares.iter().sum::<f64>();
            let mut upto = 0.0;
            let won = shares.iter().position(|share| {
                upto += share;
                ticket < upto
            });
            won.unwrap_or_default() as u16
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{completed, stay};
    use super::*;
    use crate::event::{RunEvent, What};
    use crate::experiment::Down;
    use crate::topology::by_hand::choices;
    use crate::topology::parse;
    use peerlab_link::Nanos;

    const FILE: &str = "
name: two-groups
seed: 1
phases: { warmup: 4s, settle: 10s }
nodes:
  peers: { count: 3, hashpower: 1, regions: { europe: 50%, asia: 50% } }
  miners: { count: 2, hashpower: 1, regions: europe, access: { up: 1Mbit/s } }
network:
  latency:
    europe: { europe: 10ms, asia: 80ms }
    asia: { europe: 80ms, asia: 10ms }
ledger: { block_interval: 2s }
";

    fn words(line: &str) -> Vec<String> {
        choices(&[line.to_owned()])
    }

    fn roster(file: &str) -> (Roster, Plan) {
        let topology = parse("x.yaml", file).unwrap();
        let plan = stay(&topology, 1).unwrap().plan;
        (Roster::new(&topology, &plan), plan)
    }

    fn names(roster: &mut Roster, line: &str) -> Vec<String> {
        let nodes = roster.choose(&words(line)).unwrap();
        nodes.iter().map(|node| roster.name(*node)).collect()
    }

    #[test]
    fn a_node_that_joins_is_one_more_of_its_group_and_no_other_node_is_named_anew() {
        let (mut roster, mut plan) = roster(FILE);
        let up: Vec<NodeId> = (0..5).map(NodeId).collect();
        let joined = roster.grow("peers", 2, &up).unwrap();
        let told: Vec<&str> = joined.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(told, ["peers-3", "peers-4"]);
        assert_eq!(joined[0].node, NodeId(5));
        assert_eq!(joined[1].link.ip.to_string(), "10.0.0.7");
        assert!(!joined[0].peers.known().is_empty());
        assert!(joined[0].args.contains(&"-externalip=10.0.0.6".to_owned()));
        let miner = roster.grow("miners", 1, &up).unwrap();
        assert_eq!(miner[0].link.up_bps, Some(1_000_000));
        assert_eq!(
            names(&mut roster, "miners"),
            ["miners-0", "miners-1", "miners-2"]
        );
        assert_eq!(
            names(&mut roster, "peers-4 miners-0"),
            ["miners-0", "peers-4"]
        );
        let in_europe = names(&mut roster, "region:europe");
        assert!(in_europe.contains(&"miners-2".to_owned()), "{in_europe:?}");
        for one in joined.iter().chain(&miner) {
            plan.join(one);
        }
        plan.validate().unwrap();
    }

    #[test]
    fn a_network_that_begins_with_those_that_joined_names_them_as_before() {
        let (mut roster, mut plan) = roster(FILE);
        let up: Vec<NodeId> = (0..5).map(NodeId).collect();
        roster.grow("peers", 2, &up).unwrap();
        roster.grow("miners", 1, &up).unwrap();
        // The last may go, and a program of the host; no other.
        roster.invite().unwrap();
        roster.grow("peers", 1, &up).unwrap();
        assert_eq!(roster.joined_without_gaps(), None);
        roster.remove(&[NodeId(9)]);
        let joined = roster.joined_without_gaps().unwrap();
        assert_eq!(joined.len(), 3);
        for one in &joined {
            plan.begin_with(one);
        }
        plan.validate().unwrap();
        assert!(plan.nodes.iter().all(|node| node.starts_up));
        let topology = parse("x.yaml", FILE).unwrap();
        let mut again = Roster::new(&topology, &plan);
        assert_eq!(again.joined_without_gaps().unwrap(), joined);
        for choice in ["peers", "miners", "region:europe", "peers 2-4"] {
            assert_eq!(names(&mut again, choice), names(&mut roster, choice));
        }
        let next = again.grow("peers", 1, &up).unwrap();
        assert_eq!(
            (next[0].node, next[0].name.as_str()),
            (NodeId(8), "peers-5")
        );
        roster.remove(&[NodeId(0)]);
        assert_eq!(roster.joined_without_gaps(), None);
    }

    #[test]
    fn a_removed_node_is_meant_by_no_choice() {
        let (mut roster, _) = roster(FILE);
        roster.remove(&[NodeId(1)]);
        assert_eq!(names(&mut roster, "peers"), ["peers-0", "peers-2"]);
        for _ in 0..20 {
            let drawn = names(&mut roster, "random 2 of peers");
            assert_eq!(drawn, ["peers-0", "peers-2"]);
        }
        let partition = AskedFault::Partition {
            sides: vec![words("peers-0"), words("rest")],
            one_way: false,
        };
        let kind = roster.fault(&partition).unwrap();
        let [first, second] = kind.node_sets() else {
            panic!("{kind:?}");
        };
        assert_eq!((first.len(), second.len()), (1, 3));
        let kill = AskedFault::Down {
            how: Down::Kill,
            nodes: words("peers-1"),
        };
        let told = roster.fault(&kill).unwrap_err().render();
        assert!(told.contains("`peers-1` was removed"), "{told}");
        let next = roster.grow("peers", 1, &[NodeId(0)]).unwrap();
        assert_eq!(next[0].name, "peers-3", "no name is given twice");
    }

    #[test]
    fn there_is_room_for_so_many_and_for_groups_of_the_file_alone() {
        let (mut roster, _) = roster(FILE);
        let told = roster.grow("peer", 1, &[]).unwrap_err().render();
        assert!(told.contains("the groups are peers and miners"), "{told}");
        roster.grow("peers", JOINED_MAX as u32, &[]).unwrap();
        let told = roster.grow("peers", 1, &[]).unwrap_err().render();
        assert!(told.contains("has got 200"), "{told}");
        assert!(roster.grow("peers", 0, &[]).is_err());
    }

    #[test]
    fn peers_are_drawn_as_the_file_says() {
        let file = |network: &str| {
            format!(
                "name: x\nseed: 1\nphases: {{ warmup: 4s, settle: 10s }}\n\
                 nodes: {{ peers: {{ count: 8, hashpower: 1 }} }}\nnetwork: {network}\n\
                 ledger: {{ block_interval: 2s }}\n"
            )
        };
        let up: Vec<NodeId> = (0..8).map(NodeId).collect();
        let peers = |network: &str| {
            let (mut roster, _) = roster(&file(network));
            roster.remove(&[NodeId(7)]);
            roster.grow("peers", 1, &up[..7]).unwrap().remove(0).peers
        };
        let drawn = peers("{ discovery: { mode: pure, bootstrap: 3 } }");
        assert!(
            matches!(&drawn, Peers::Bootstrap(known) if known.len() == 3),
            "{drawn:?}"
        );
        let drawn = peers("{ discovery: { mode: pure, bootstrap: [peers-0, peers-7] } }");
        assert_eq!(drawn, Peers::Bootstrap(vec![NodeId(0)]));
        let drawn = peers("{ discovery: { mode: hybrid, bootstrap: [peers-0, peers-1] } }");
        assert_eq!(drawn, Peers::Seeds(vec![NodeId(0), NodeId(1)]));
        let drawn = peers("{ discovery: { graph: random-regular(degree 4) } }");
        assert!(
            matches!(&drawn, Peers::Fixed(known) if known.len() == 4),
            "{drawn:?}"
        );
        let drawn = peers("{ discovery: { graph: star } }");
        assert_eq!(drawn, Peers::Fixed(vec![NodeId(0)]));
    }

    #[test]
    fn who_joined_and_left_was_meant_to_be_up_in_between() {
        use peerlab_link::proto::{Action, ProcessOp};
        let (mut roster, plan) = roster(FILE);
        let joined = roster.grow("peers", 1, &[NodeId(0)]).unwrap().remove(0);
        let node = joined.node;
        let action = Action::Process {
            node,
            op: ProcessOp::Start,
        };
        let told = [
            (5, What::Joined(joined)),
            (6, What::Ordered { line: 0, action }),
            (9, What::Left { node }),
            (12, What::Ended { interrupted: false }),
        ];
        let events = told.map(|(t, what)| RunEvent {
            t: Nanos::from_secs(t),
            what,
        });
        let plan = completed(plan, events.into_iter());
        plan.validate().unwrap();
        let up_at = |second| {
            let downtime = super::super::Downtime::new(&plan.outages);
            downtime.is_up(node, Nanos::from_secs(second))
        };
        assert_eq!(
            [0, 5, 6, 8, 9, 12].map(up_at),
            [false, false, true, true, false, false]
        );
    }
}
