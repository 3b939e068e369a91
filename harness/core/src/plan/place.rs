//! Who is where: names, addresses and regions of all nodes, and which nodes a choice means.

use std::net::Ipv4Addr;

use peerlab_link::NodeId;

use super::chance::Chance;
use crate::error::{Error, Report, Result};
use crate::topology::{Path, Places, Selection, Stock, Term, Topology};

/// The first node's address; the others follow.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// An experiment and a seed, and who is where for that.
#[derive(Clone, Debug)]
pub struct Placement<'a> {
    pub topology: &'a Topology,
    seed: u64,
    /// Index of the group, by [`NodeId`].
    pub group: Vec<u32>,
    /// Index of the region, by [`NodeId`].
    pub region: Vec<u16>,
    /// Nodes that no choice means, since they were removed by hand.
    gone: Vec<NodeId>,
}

impl<'a> Placement<'a> {
    /// Places all nodes. Each group's regions get nodes by their shares (largest remainder); the
    /// seed decides only which nodes.
    pub fn new(topology: &'a Topology, seed: u64) -> Placement<'a> {
        let mut placement = Placement {
            topology,
            seed,
            group: Vec::new(),
            region: Vec::new(),
            gone: Vec::new(),
        };
        for (index, group) in topology.groups.iter().enumerate() {
            let regions = match &group.regions {
                Places::Each(regions) => regions.clone(),
                Places::Shares(shares) => {
                    let chance = placement.chance(&format!("regions/{}", group.name));
                    drawn_regions(group.count, shares, chance)
                }
            };
            let groups = std::iter::repeat_n(index as u32, regions.len());
            placement.group.extend(groups);
            placement.region.extend(regions);
        }
        placement
    }

    /// The same without nodes that were removed.
    #[must_use]
    pub fn without(self, gone: Vec<NodeId>) -> Placement<'a> {
        Placement { gone, ..self }
    }

    /// Whether a node is there.
    pub fn has(&self, node: NodeId) -> bool {
        !self.gone.contains(&node)
    }

    /// The stream of random numbers of this label.
    pub fn chance(&self, label: &str) -> Chance {
        Chance::new(self.seed, label)
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.group.len()
    }

    /// All nodes.
    pub fn all(&self) -> Vec<NodeId> {
        (0..self.count() as u32).map(NodeId).collect()
    }

    /// A node's index in its group.
    pub fn index_in_group(&self, node: NodeId) -> usize {
        node.index() - self.topology.first_of(self.group[node.index()] as usize)
    }

    /// `GROUP-INDEX`.
    pub fn name(&self, node: NodeId) -> String {
        let group = &self.topology.groups[self.group[node.index()] as usize];
        format!("{}-{}", group.name, self.index_in_group(node))
    }

    /// What is wrong with what the file says at a place.
    pub fn refusal(&self, path: &Path, what: &str, cause: String, hint: &str) -> Error {
        let report = Report {
            causes: vec![cause],
            hint: Some(hint.into()),
            ..Report::new(what)
        };
        self.topology.error_at(path, report)
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
    placement: &'a Placement<'a>,
    chance: Chance,
    taken: Vec<bool>,
}

impl<'a> Chooser<'a> {
    /// With a stream of its own.
    pub fn new(placement: &'a Placement<'_>, chance: Chance) -> Chooser<'a> {
        Chooser {
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
                return Err(self.placement.refusal(
                    &selection.path,
                    "this choice of nodes is empty",
                    "no node is left for it".into(),
                    "choose other nodes, or change the counts and regions of the groups",
                ));
            }
        }
        Ok(sides)
    }

    fn term(&mut self, term: &Term, sides: &[Vec<NodeId>], own: usize) -> Result<Vec<NodeId>> {
        let stock = self.stock(term.stock);
        let is_free = |node: &NodeId| !self.taken[node.index()];
        let free: Vec<NodeId> = stock.iter().copied().filter(is_free).collect();
        let nodes = match term.draw {
            None if term.stock == Stock::Rest => free,
            None => {
                self.refuse_overlap(term, &stock, sides, own)?;
                stock
            }
            Some(draw) => {
                let count = draw.of(stock.len());
                if count > free.len() {
                    return Err(self.placement.refusal(
                        &term.path,
                        &format!("{count} nodes cannot be drawn here"),
                        format!("only {} are there and not chosen already", free.len()),
                        "draw fewer",
                    ));
                }
                self.chance.choose(&free, count)
            }
        };
        for node in &nodes {
            self.taken[node.index()] = true;
        }
        Ok(nodes)
    }

    fn stock(&self, stock: Stock) -> Vec<NodeId> {
        let mut stock = self.whole_stock(stock);
        stock.retain(|node| self.placement.has(*node));
        stock
    }

    fn whole_stock(&self, stock: Stock) -> Vec<NodeId> {
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
        let others = || sides.iter().enumerate().filter(|(index, _)| *index != own);
        let mut taken = stock.iter().filter(|node| self.taken[node.index()]);
        let Some(node) = taken.find(|node| others().any(|(_, side)| side.contains(node))) else {
            return Ok(());
        };
        Err(self.placement.refusal(
            &term.path,
            "the sides of this partition overlap",
            format!(
                "`{}` is on another side as well",
                self.placement.name(*node)
            ),
            "let every node be on one side; `rest` means all that are on no other",
        ))
    }
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
