//! How nodes find their first peers.

use peerlab_link::NodeId;

use super::chance::Chance;
use super::graph::{Parts, edges};
use super::place::{Chooser, Placement};
use super::spec::Peers;
use crate::error::{Error, Result};
use crate::topology::{Bootstrap, Discovery, Graph, GraphKind};

/// The peers of every node, by [`NodeId`]. Bootstrap nodes are drawn among those that do not
/// come and go, as real networks keep theirs stable, where there are enough of them.
///
/// # Errors
/// A choice of nodes that cannot be met, or a random graph that did not come out connected.
pub fn discover(placement: &Placement<'_>, churns: &[bool]) -> Result<Vec<Peers>> {
    let mut chance = placement.chance("discovery");
    let others = |known: &[NodeId], node: NodeId| {
        let others = known.iter().copied().filter(|other| *other != node);
        Peers::Bootstrap(others.collect())
    };
    let everybody = placement.all().into_iter();
    match &placement.topology.network.discovery {
        Discovery::Pure(Bootstrap::Count(count)) => {
            let count = *count as usize;
            let stable = stable_nodes(placement, churns, count + 1);
            Ok(own_bootstraps(placement, &stable, count, &mut chance))
        }
        Discovery::Pure(Bootstrap::Nodes(selection)) => {
            let known = Chooser::new(placement, chance).one(selection)?;
            Ok(everybody.map(|node| others(&known, node)).collect())
        }
        Discovery::Pure(Bootstrap::Each(known)) => {
            let nodes = |known: &Vec<u32>| known.iter().copied().map(NodeId).collect();
            Ok(known
                .iter()
                .map(|known| Peers::Bootstrap(nodes(known)))
                .collect())
        }
        Discovery::Hybrid(bootstrap) => {
            let seeds = match bootstrap {
                Bootstrap::Each(known) => known.concat().into_iter().map(NodeId).collect(),
                Bootstrap::Count(count) => {
                    let stable = stable_nodes(placement, churns, *count as usize);
                    chance.choose(&stable, *count as usize)
                }
                Bootstrap::Nodes(selection) => Chooser::new(placement, chance).one(selection)?,
            };
            let peers = |node| match seeds.contains(&node) {
                // Seeds know each other, so that what one hears the others learn.
                true => others(&seeds, node),
                false => Peers::Seeds(seeds.clone()),
            };
            Ok(everybody.map(peers).collect())
        }
        Discovery::Graph(kind) => graph(placement, kind, &mut chance),
        Discovery::Edges(edges) => Ok(fixed(placement, edges.iter().copied())),
    }
}

/// Nodes that never come and go, or all where those are too few.
fn stable_nodes(placement: &Placement<'_>, churns: &[bool], at_least: usize) -> Vec<NodeId> {
    let stable: Vec<NodeId> = placement
        .all()
        .into_iter()
        .filter(|node| !churns[node.index()])
        .collect();
    if stable.len() >= at_least {
        stable
    } else {
        placement.all()
    }
}

/// For each node some others of its own. The graph that they make is connected: where chance
/// leaves parts, a node of each further part gets one address more.
fn own_bootstraps(
    placement: &Placement<'_>,
    stable: &[NodeId],
    count: usize,
    chance: &mut Chance,
) -> Vec<Peers> {
    let mut parts = Parts::new(placement.count());
    let mut known: Vec<Vec<NodeId>> = Vec::with_capacity(placement.count());
    for node in placement.all() {
        let drawn = chance.choose(stable, count + 1);
        let others: Vec<NodeId> = drawn
            .into_iter()
            .filter(|other| *other != node)
            .take(count)
            .collect();
        for other in &others {
            parts.join(node.index(), other.index());
        }
        known.push(others);
    }
    if let Some(anchor) = stable.first() {
        for node in stable {
            if parts.join(node.index(), anchor.index()) {
                known[node.index()].push(*anchor);
            }
        }
    }
    known.into_iter().map(Peers::Bootstrap).collect()
}

fn graph(placement: &Placement<'_>, kind: &GraphKind, chance: &mut Chance) -> Result<Vec<Peers>> {
    let count = placement.count() as u32;
    let Some(edges) = edges(&kind.graph, kind.centre, count, chance) else {
        return Err(Error::input(format!(
            "no connected graph of this kind came out: {:?}",
            kind.graph
        ))
        .because(format!("chance gave none for {count} nodes with this seed"))
        .hint("take more links a node, or another seed"));
    };
    let star = matches!(kind.graph, Graph::Star { .. });
    let directed = edges.into_iter().map(|(a, b)| {
        // Who opens a connection is even chance; in a star the clients do.
        let turned = if star {
            a == kind.centre
        } else {
            chance.bits() & 1 == 1
        };
        if turned { (b, a) } else { (a, b) }
    });
    Ok(fixed(placement, directed))
}

fn fixed(placement: &Placement<'_>, edges: impl Iterator<Item = (u32, u32)>) -> Vec<Peers> {
    let mut known: Vec<Vec<NodeId>> = vec![Vec::new(); placement.count()];
    for (from, to) in edges {
        known[from as usize].push(NodeId(to));
    }
    known.into_iter().map(Peers::Fixed).collect()
}
