//! Fewer nodes, and fewer that know each other.

use std::collections::BTreeSet;

use peerlab_link::{Nanos, NodeId};

use crate::explore::scenario::{Known, Scenario};
use peerlab_core::experiment::Expectation;
use peerlab_core::topology::Places;

impl Scenario {
    /// How many times somebody knows somebody.
    pub fn acquaintance_count(&self) -> usize {
        match &self.known {
            Known::Each(known) => known.iter().map(Vec::len).sum(),
            Known::Seeds(seeds) => seeds.len(),
            Known::Edges(edges) => edges.len(),
        }
    }

    /// Whether everybody can hear of everybody at first.
    pub fn is_connected(&self) -> bool {
        let count = self.node_count() as u32;
        let pairs: Vec<(u32, u32)> = match &self.known {
            Known::Each(known) => {
                let of = |(node, known): (usize, &Vec<u32>)| -> Vec<(u32, u32)> {
                    known.iter().map(|other| (node as u32, *other)).collect()
                };
                known.iter().enumerate().flat_map(of).collect()
            }
            // Everybody asks the same.
            Known::Seeds(seeds) => match seeds.first() {
                Some(seed) => (0..count).map(|node| (node, *seed)).collect(),
                None => Vec::new(),
            },
            Known::Edges(edges) => edges.clone(),
        };
        let mut parts: Vec<u32> = (0..count).collect();
        for (a, b) in pairs {
            let (a, b) = (parts[a as usize], parts[b as usize]);
            parts
                .iter_mut()
                .filter(|part| **part == a)
                .for_each(|part| *part = b);
        }
        parts.iter().all(|part| *part == parts[0])
    }

    /// With these acquaintances only.
    #[must_use]
    pub fn keep_acquaintances(&self, kept: &[usize]) -> Scenario {
        let kept: BTreeSet<usize> = kept.iter().copied().collect();
        let mut number = 0..;
        let mut keep = || {
            number
                .next()
                .is_some_and(|number: usize| kept.contains(&number))
        };
        let mut smaller = self.clone();
        match &mut smaller.known {
            Known::Each(known) => known.iter_mut().for_each(|known| known.retain(|_| keep())),
            Known::Seeds(seeds) => seeds.retain(|_| keep()),
            Known::Edges(edges) => edges.retain(|_| keep()),
        }
        smaller
    }

    /// Without some nodes, and without what names them. Whoever knew one of them knows whom that
    /// one knew instead, so that the graph stays in one piece.
    #[must_use]
    pub fn without_nodes(&self, gone: &BTreeSet<u32>) -> Scenario {
        let mut smaller = self.clone();
        for node in gone.iter().rev() {
            smaller.remove_node(*node);
        }
        smaller.drop_empty();
        smaller
    }

    fn remove_node(&mut self, gone: u32) {
        let heir = self.heir(gone);
        let mut index = gone as usize;
        for group in &mut self.groups {
            if index < group.count as usize {
                group.count -= 1;
                if let Places::Each(regions) = &mut group.regions {
                    regions.remove(index);
                }
                break;
            }
            index -= group.count as usize;
        }
        self.groups.retain(|group| group.count > 0);
        let renamed = |node: u32| if node > gone { node - 1 } else { node };
        self.known.remove(gone, renamed);
        // Blocks that decide must be mined by somebody.
        let deciding: Vec<Nanos> = self
            .blocks
            .iter()
            .map(|block| block.at)
            .filter(|at| self.decides(*at))
            .collect();
        self.blocks
            .retain(|block| block.node != gone || deciding.contains(&block.at));
        for block in &mut self.blocks {
            block.node = renamed(if block.node == gone { heir } else { block.node });
        }
        self.payments.retain(|payment| payment.node != gone);
        self.payments
            .iter_mut()
            .for_each(|payment| payment.node = renamed(payment.node));
        self.outages.retain(|outages| outages.node != gone);
        self.outages
            .iter_mut()
            .for_each(|outages| outages.node = renamed(outages.node));
        for fault in &mut self.faults {
            let renamed = |node: NodeId| NodeId(renamed(node.0));
            fault.kind.remove_node(NodeId(gone), renamed);
        }
        for expectation in &mut self.expect {
            if let Expectation::NodesUp { min } = expectation {
                *min = min.saturating_sub(1).max(1);
            }
        }
    }

    /// Who mines in the place of a node that goes: another miner, or anybody, who stays up.
    fn heir(&self, gone: u32) -> u32 {
        let fit = |node: &u32| *node != gone && !self.ends_down(*node);
        let miner = self
            .blocks
            .iter()
            .map(|block| block.node)
            .find(|node| fit(node));
        miner
            .or_else(|| self.all_nodes().into_iter().find(fit))
            .unwrap_or(0)
    }
}

impl Known {
    /// Removes a node; those who knew it get to know whom it knew.
    fn remove(&mut self, gone: u32, renamed: impl Fn(u32) -> u32) {
        match self {
            Known::Each(known) => {
                let inherited = known.remove(gone as usize);
                for (index, known) in known.iter_mut().enumerate() {
                    let own = index as u32 + u32::from(index as u32 >= gone);
                    if let Some(place) = known.iter().position(|node| *node == gone) {
                        known.remove(place);
                        for heir in inherited.iter().rev() {
                            if *heir != own && *heir != gone && !known.contains(heir) {
                                known.insert(place, *heir);
                            }
                        }
                    }
                    known.iter_mut().for_each(|node| *node = renamed(*node));
                }
            }
            Known::Seeds(seeds) => {
                seeds.retain(|node| *node != gone);
                if seeds.is_empty() {
                    seeds.push(u32::from(gone == 0));
                }
                seeds.iter_mut().for_each(|node| *node = renamed(*node));
            }
            Known::Edges(edges) => {
                let other = |(a, b): &(u32, u32)| match gone {
                    _ if *a == gone => Some(*b),
                    _ if *b == gone => Some(*a),
                    _ => None,
                };
                let neighbours: Vec<u32> = edges.iter().filter_map(other).collect();
                edges.retain(|(a, b)| *a != gone && *b != gone);
                for pair in neighbours.windows(2) {
                    let (a, b) = (pair[0], pair[1]);
                    if a != b && !edges.contains(&(a, b)) && !edges.contains(&(b, a)) {
                        edges.push((a, b));
                    }
                }
                edges
                    .iter_mut()
                    .for_each(|(a, b)| (*a, *b) = (renamed(*a), renamed(*b)));
                edges.sort_by_key(|(from, _)| *from);
            }
        }
    }
}
