//! Fewer nodes, and fewer that know each other.

use peerlab_link::NodeId;

use super::chosen;
use crate::explore::scenario::{Known, Scenario};
use peerlab_core::experiment::Expectation;
use peerlab_core::topology::{Moment, Places};

impl Scenario {
    /// How many times somebody knows somebody.
    pub fn acquaintance_count(&self) -> usize {
        match &self.known {
            Known::Seeds(seeds) => seeds.len(),
            Known::Each(pairs) | Known::Edges(pairs) => pairs.len(),
        }
    }

    /// Whether everybody can hear of everybody at first.
    pub fn is_connected(&self) -> bool {
        let all = self.all_nodes();
        let pairs = match &self.known {
            Known::Each(pairs) | Known::Edges(pairs) => pairs.clone(),
            // Everybody asks the same.
            Known::Seeds(seeds) => {
                let to_first = seeds.iter().take(1);
                to_first
                    .flat_map(|seed| all.iter().map(move |node| (*node, *seed)))
                    .collect()
            }
        };
        let mut parts = all;
        for (a, b) in pairs {
            let (a, b) = (parts[a as usize], parts[b as usize]);
            let joined = parts.iter_mut().filter(|part| **part == a);
            joined.for_each(|part| *part = b);
        }
        parts.iter().all(|part| *part == parts[0])
    }

    /// With these acquaintances only.
    #[must_use]
    pub fn keep_acquaintances(&self, kept: &[usize]) -> Scenario {
        let mut keep = chosen(kept);
        let mut smaller = self.clone();
        match &mut smaller.known {
            Known::Seeds(seeds) => seeds.retain(|_| keep()),
            Known::Each(pairs) | Known::Edges(pairs) => pairs.retain(|_| keep()),
        }
        smaller
    }

    /// With these nodes only, and without what names others. Whoever knew one of those knows whom
    /// that one knew instead, so that the graph stays in one piece.
    #[must_use]
    pub fn keep_nodes(&self, kept: &[usize]) -> Scenario {
        let mut smaller = self.clone();
        for node in (0..self.node_count()).rev() {
            if kept.binary_search(&node).is_err() {
                smaller.remove_node(node as u32);
            }
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
        let kept = |block: &&Moment| block.node != gone || self.decides(block.at);
        let blocks = self.blocks.iter().filter(kept);
        let mined = |block: &Moment| Moment {
            node: if block.node == gone { heir } else { block.node },
            ..*block
        };
        self.blocks = blocks.map(mined).collect();
        self.payments.retain(|payment| payment.node != gone);
        self.outages.retain(|outage| outage.node != gone);
        for Moment { node, .. } in self.blocks.iter_mut().chain(&mut self.payments) {
            *node = renamed(*node);
        }
        for outage in &mut self.outages {
            outage.node = renamed(outage.node);
        }
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
        let miners = self.blocks.iter().map(|block| block.node);
        let mut heirs = miners.chain(self.all_nodes());
        heirs.find(fit).unwrap_or(0)
    }
}

impl Known {
    /// Removes a node; those who knew it get to know whom it knew.
    fn remove(&mut self, gone: u32, renamed: impl Fn(u32) -> u32) {
        let pairs = match self {
            Known::Seeds(seeds) => {
                seeds.retain(|node| *node != gone);
                if seeds.is_empty() {
                    seeds.push(u32::from(gone == 0));
                }
                return seeds.iter_mut().for_each(|node| *node = renamed(*node));
            }
            Known::Each(pairs) => {
                let knows = |node: u32| pairs.iter().filter(move |(from, _)| *from == node);
                let instead = |&(from, to): &(u32, u32)| -> Vec<(u32, u32)> {
                    let new = |heir: &u32| {
                        *heir != from && *heir != gone && !pairs.contains(&(from, *heir))
                    };
                    match to {
                        _ if from == gone => Vec::new(),
                        _ if to == gone => knows(gone)
                            .map(|(_, heir)| *heir)
                            .filter(new)
                            .map(|heir| (from, heir))
                            .collect(),
                        _ => vec![(from, to)],
                    }
                };
                *pairs = pairs.iter().flat_map(instead).collect();
                pairs
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
            }
        };
        for (from, to) in pairs.iter_mut() {
            (*from, *to) = (renamed(*from), renamed(*to));
        }
        pairs.sort_by_key(|(from, _)| *from);
    }
}
