//! Who is where: names, addresses and regions of all nodes, and which nodes a choice means.

use std::net::Ipv4Addr;

use peerlab_link::NodeId;

use super::chance::Chance;
use crate::error::{Report, Result};
use crate::topology::{Places, Selection, Stock, Term, Topology};

/// The first node's address; the others follow.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Group and region of every node, by [`NodeId`].
#[derive(Clone, Debug)]
pub struct Placement {
    /// Index of the group.
    pub group: Vec<u32>,
    /// Index of the region.
    pub region: Vec<u16>,
}

impl Placement {
    /// Places all nodes. Each group's regions get nodes by their shares (largest remainder); the
    /// seed decides only which nodes.
    pub fn new(topology: &Topology, seed: u64) -> Placement {
        let mut placement = Placement {
            group: Vec::new(),
            region: Vec::new(),
        };
        for (index, group) in topology.groups.iter().enumerate() {
            let regions = match &group.regions {
                Places::Each(regions) => regions.clone(),
                Places::Shares(shares) => {
                    let chance = Chance::new(seed, &format!("regions/{}", group.name));
                    drawn_regions(group.count, shares, chance)
                }
            };
            placement
                .group
                .extend(std::iter::repeat_n(index as u32, regions.len()));
            placement.region.extend(regions);
        }
        placement
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.group.len()
    }

    /// All nodes.
    pub fn all(&self) -> Vec<NodeId> {
        (0..self.count() as u32).map(NodeId).collect()
    }
}

fn drawn_regions(count: u32, shares: &[f64], mut chance: Chance) -> Vec<u16> {
    let mut regions: Vec<u16> = Vec::new();
    for (region, count) in apportion(count, shares).into_iter().enumerate() {
        regions.extend(std::iter::repeat_n(region as u16, count as usize));
    }
    chance.shuffle(&mut regions);
    regions
}

/// A node's address.
pub fn address(node: NodeId) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(FIRST_ADDRESS) + node.0)
}

/// Parts `count` by shares: everybody gets the whole part, and what is left goes to the largest
/// remainders, of equal ones to the first.
fn apportion(count: u32, shares: &[f64]) -> Vec<u32> {
    let exact = |share: &f64| share * f64::from(count);
    let mut parts: Vec<u32> = shares
        .iter()
        .map(|share| libm::floor(exact(share) + 1e-9) as u32)
        .collect();
    let remainder = |index: usize| exact(&shares[index]) - f64::from(parts[index]);
    let mut order: Vec<usize> = (0..shares.len())
        .filter(|index| shares[*index] > 0.0)
        .collect();
    order.sort_by(|a, b| remainder(*b).total_cmp(&remainder(*a)));
    let given: u32 = parts.iter().sum();
    for index in order
        .into_iter()
        .cycle()
        .take(count.saturating_sub(given) as usize)
    {
        parts[index] += 1;
    }
    parts
}

/// Finds the nodes of choices, each node at most once: nodes that are taken are left out of draws
/// and of `rest`.
pub struct Chooser<'a> {
    topology: &'a Topology,
    placement: &'a Placement,
    chance: Chance,
    taken: Vec<bool>,
}

impl<'a> Chooser<'a> {
    /// With a stream of its own.
    pub fn new(topology: &'a Topology, placement: &'a Placement, chance: Chance) -> Chooser<'a> {
        Chooser {
            topology,
            placement,
            chance,
            taken: vec![false; placement.count()],
        }
    }

    /// The nodes of one choice, sorted.
    ///
    /// # Errors
    /// A draw of more nodes than there are, or no node at all.
    pub fn one(&mut self, selection: &Selection) -> Result<Vec<NodeId>> {
        let mut sides = self.sides(std::slice::from_ref(selection))?;
        Ok(sides.pop().unwrap_or_default())
    }

    /// The nodes of several choices that exclude each other. What is named is taken first, then
    /// draws are made in their order, then `rest` gets what is left.
    ///
    /// # Errors
    /// A node on two sides, an empty side, a draw of more nodes than there are.
    pub fn sides(&mut self, selections: &[Selection]) -> Result<Vec<Vec<NodeId>>> {
        let mut sides: Vec<Vec<NodeId>> = vec![Vec::new(); selections.len()];
        let rounds: [fn(&Term) -> bool; 3] = [
            |term| term.draw.is_none() && term.stock != Stock::Rest,
            |term| term.draw.is_some(),
            |term| term.stock == Stock::Rest,
        ];
        for wanted in rounds {
            for (index, selection) in selections.iter().enumerate() {
                for term in selection.terms.iter().filter(|term| wanted(term)) {
                    let nodes = self.term(term, &sides, index)?;
                    sides[index].extend(nodes);
                }
            }
        }
        for (side, selection) in sides.iter_mut().zip(selections) {
            side.sort_unstable();
            side.dedup();
            if side.is_empty() {
                let report = Report {
                    causes: vec!["no node is left for it".into()],
                    hint: Some(
                        "choose other nodes, or change the counts and regions of the groups".into(),
                    ),
                    ..Report::new("this choice of nodes is empty")
                };
                return Err(self.topology.error_at(&selection.path, report));
            }
        }
        Ok(sides)
    }

    fn term(&mut self, term: &Term, sides: &[Vec<NodeId>], own: usize) -> Result<Vec<NodeId>> {
        let stock = self.stock(term.stock);
        let Some(draw) = term.draw else {
            if term.stock != Stock::Rest {
                self.refuse_overlap(term, &stock, sides, own)?;
            }
            let free = |node: &NodeId| term.stock != Stock::Rest || !self.taken[node.index()];
            let nodes: Vec<NodeId> = stock.into_iter().filter(free).collect();
            return Ok(self.take(nodes));
        };
        let free: Vec<NodeId> = stock
            .iter()
            .copied()
            .filter(|node| !self.taken[node.index()])
            .collect();
        let count = draw.of(stock.len());
        if count > free.len() {
            let report = Report {
                causes: vec![format!(
                    "only {} are there and not chosen already",
                    free.len()
                )],
                hint: Some("draw fewer".into()),
                ..Report::new(format!("{count} nodes cannot be drawn here"))
            };
            return Err(self.topology.error_at(&term.path, report));
        }
        let nodes = self.chance.choose(&free, count);
        Ok(self.take(nodes))
    }

    fn take(&mut self, nodes: Vec<NodeId>) -> Vec<NodeId> {
        for node in &nodes {
            self.taken[node.index()] = true;
        }
        nodes
    }

    fn stock(&self, stock: Stock) -> Vec<NodeId> {
        match stock {
            Stock::All | Stock::Rest => self.placement.all(),
            Stock::Nodes { first, last } => (first..=last).map(NodeId).collect(),
            Stock::Region(region) => {
                let there = |node: &NodeId| self.placement.region[node.index()] == region;
                self.placement.all().into_iter().filter(there).collect()
            }
        }
    }

    fn refuse_overlap(
        &self,
        term: &Term,
        stock: &[NodeId],
        sides: &[Vec<NodeId>],
        own: usize,
    ) -> Result<()> {
        let on_other_side = |node: &&NodeId| {
            self.taken[node.index()]
                && sides
                    .iter()
                    .enumerate()
                    .any(|(index, side)| index != own && side.contains(node))
        };
        let Some(node) = stock.iter().find(on_other_side) else {
            return Ok(());
        };
        let report = Report {
            causes: vec![format!("`{}` is on another side as well", self.name(*node))],
            hint: Some(
                "let every node be on one side; `rest` means all that are on no other".into(),
            ),
            ..Report::new("the sides of this partition overlap")
        };
        Err(self.topology.error_at(&term.path, report))
    }

    fn name(&self, node: NodeId) -> String {
        node_name(self.topology, self.placement, node)
    }
}

/// `GROUP-INDEX`.
pub fn node_name(topology: &Topology, placement: &Placement, node: NodeId) -> String {
    let group = placement.group[node.index()] as usize;
    format!(
        "{}-{}",
        topology.groups[group].name,
        node.index() - topology.first_of(group)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_whole_nodes() {
        assert_eq!(apportion(10, &[0.5, 0.5]), [5, 5]);
        assert_eq!(apportion(10, &[0.34, 0.33, 0.33]), [4, 3, 3]);
        assert_eq!(apportion(1, &[0.2, 0.8]), [0, 1]);
        assert_eq!(apportion(7, &[0.1; 10]).iter().sum::<u32>(), 7);
        assert_eq!(apportion(100, &[0.0, 1.0]), [0, 100]);
    }

    proptest::proptest! {
        #[test]
        fn every_node_has_a_region(count in 1u32..5000, weights in proptest::collection::vec(0.0f64..1.0, 1..8)) {
            let sum: f64 = weights.iter().sum();
            proptest::prop_assume!(sum > 1e-3);
            let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let parts = apportion(count, &shares);
            proptest::prop_assert_eq!(parts.iter().sum::<u32>(), count);
            for (part, share) in parts.iter().zip(&shares) {
                proptest::prop_assert!((f64::from(*part) - share * f64::from(count)).abs() < 1.0 + 1e-6);
            }
        }
    }
}
