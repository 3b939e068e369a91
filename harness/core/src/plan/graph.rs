//! Static graphs of connections: undirected, simple and connected.

use std::collections::BTreeSet;

use super::chance::Chance;
use crate::topology::Graph;

/// Attempts at a random graph before giving up. A random regular graph of degree 3 and more is
/// connected nearly always, and one attempt in a few fails to pair its last link ends.
const ATTEMPTS_MAX: usize = 200;

/// An edge, smaller end first.
pub type Edge = (u32, u32);

/// The edges of a graph over nodes 0..`count`, sorted; `None` when chance gave no connected one.
pub fn edges(graph: &Graph, centre: u32, count: u32, chance: &mut Chance) -> Option<Vec<Edge>> {
    if count < 2 {
        return Some(Vec::new());
    }
    let set = match *graph {
        Graph::Ring => ring(count),
        Graph::Line => (1..count).map(|node| (node - 1, node)).collect(),
        Graph::Star { .. } => (0..count)
            .filter(|node| *node != centre)
            .map(|node| edge(node, centre))
            .collect(),
        Graph::Complete => (0..count)
            .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
            .collect(),
        Graph::RandomRegular { degree: 2 } => random_ring(count, chance),
        Graph::RandomRegular { degree } => retry(count, || random_regular(count, degree, chance))?,
        Graph::SmallWorld { degree, rewire } => {
            retry(count, || Some(small_world(count, degree, rewire, chance)))?
        }
        Graph::ScaleFree { links } => scale_free(count, links, chance),
    };
    Some(set.into_iter().collect())
}

/// Whether every node can be reached from every other.
pub fn connected(count: u32, edges: impl IntoIterator<Item = Edge>) -> bool {
    let mut parts = Parts::new(count as usize);
    for (a, b) in edges {
        parts.join(a as usize, b as usize);
    }
    parts.count <= 1
}

/// Which nodes are linked, however far (union-find with path halving).
pub struct Parts {
    parent: Vec<usize>,
    /// How many parts there are.
    pub count: usize,
}

impl Parts {
    /// Everybody alone.
    pub fn new(count: usize) -> Parts {
        Parts {
            parent: (0..count).collect(),
            count,
        }
    }

    /// The representative of a node's part.
    pub fn of(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    /// Joins two parts; false when they were one already.
    pub fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.of(a), self.of(b));
        if a == b {
            return false;
        }
        self.parent[a.max(b)] = a.min(b);
        self.count -= 1;
        true
    }
}

fn edge(a: u32, b: u32) -> Edge {
    (a.min(b), a.max(b))
}

fn retry(
    count: u32,
    mut attempt: impl FnMut() -> Option<BTreeSet<Edge>>,
) -> Option<BTreeSet<Edge>> {
    (0..ATTEMPTS_MAX)
        .find_map(|_| attempt().filter(|edges| connected(count, edges.iter().copied())))
}

fn ring(count: u32) -> BTreeSet<Edge> {
    (0..count)
        .map(|node| edge(node, (node + 1) % count))
        .collect()
}

/// The only connected graph in which everybody has two links, in random order.
fn random_ring(count: u32, chance: &mut Chance) -> BTreeSet<Edge> {
    let mut order: Vec<u32> = (0..count).collect();
    chance.shuffle(&mut order);
    let ends = |(a, b): Edge| edge(order[a as usize], order[b as usize]);
    ring(count).into_iter().map(ends).collect()
}

/// Pairs random link ends that may be paired, after Steger and Wormald (1999): nearly uniform over
/// the regular graphs. `None` when only ends are left that may not.
fn random_regular(count: u32, degree: u32, chance: &mut Chance) -> Option<BTreeSet<Edge>> {
    let mut edges = BTreeSet::new();
    let mut ends: Vec<u32> = (0..count)
        .flat_map(|node| std::iter::repeat_n(node, degree as usize))
        .collect();
    while !ends.is_empty() {
        chance.shuffle(&mut ends);
        let mut left = Vec::new();
        for pair in ends.chunks(2) {
            match *pair {
                [a, b] if a != b && edges.insert(edge(a, b)) => {}
                _ => left.extend_from_slice(pair),
            }
        }
        if left.len() == ends.len() && !any_pair(&left, &edges) {
            return None;
        }
        ends = left;
    }
    Some(edges)
}

/// Whether any two of these link ends may be paired.
fn any_pair(ends: &[u32], edges: &BTreeSet<Edge>) -> bool {
    let nodes: BTreeSet<u32> = ends.iter().copied().collect();
    let pairs = |a: &u32| {
        nodes
            .iter()
            .filter(move |b| *b > a)
            .copied()
            .collect::<Vec<_>>()
    };
    nodes
        .iter()
        .any(|a| pairs(a).into_iter().any(|b| !edges.contains(&(*a, b))))
}

/// Watts and Strogatz (1998): a ring in which everybody is linked to the `degree` nearest; each
/// link's far end is moved to a random node with the chance `rewire`.
fn small_world(count: u32, degree: u32, rewire: f64, chance: &mut Chance) -> BTreeSet<Edge> {
    let mut edges: BTreeSet<Edge> = BTreeSet::new();
    for step in 1..=degree / 2 {
        edges.extend((0..count).map(|node| edge(node, (node + step) % count)));
    }
    for step in 1..=degree / 2 {
        for node in 0..count {
            let old = edge(node, (node + step) % count);
            if chance.unit() >= rewire || !edges.contains(&old) {
                continue;
            }
            let target = chance.below(count as usize) as u32;
            // A link to itself or a second one to the same node stays where it was.
            if target != node && !edges.contains(&edge(node, target)) {
                edges.remove(&old);
                edges.insert(edge(node, target));
            }
        }
    }
    edges
}

/// Barabási and Albert (1999), from a complete graph of `links + 1` nodes.
fn scale_free(count: u32, links: u32, chance: &mut Chance) -> BTreeSet<Edge> {
    let first = (links + 1).min(count);
    let mut edges: BTreeSet<Edge> = (0..first)
        .flat_map(|a| (a + 1..first).map(move |b| (a, b)))
        .collect();
    // Every node stands here once per link.
    let mut ends: Vec<u32> = edges.iter().flat_map(|(a, b)| [*a, *b]).collect();
    for node in first..count {
        let mut targets = BTreeSet::new();
        while targets.len() < links as usize {
            targets.insert(ends[chance.below(ends.len())]);
        }
        for target in targets {
            edges.insert(edge(node, target));
            ends.extend([node, target]);
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degrees(count: u32, edges: &[Edge]) -> Vec<u32> {
        let mut degrees = vec![0; count as usize];
        for (a, b) in edges {
            degrees[*a as usize] += 1;
            degrees[*b as usize] += 1;
        }
        degrees
    }

    fn drawn(graph: &Graph, count: u32, seed: u64) -> Vec<Edge> {
        edges(graph, 0, count, &mut Chance::new(seed, "graph")).unwrap()
    }

    #[test]
    fn graphs_have_their_degrees() {
        assert_eq!(degrees(5, &drawn(&Graph::Ring, 5, 1)), [2; 5]);
        assert_eq!(degrees(5, &drawn(&Graph::Complete, 5, 1)), [4; 5]);
        assert_eq!(
            degrees(5, &drawn(&Graph::Star { centre: None }, 5, 1)),
            [4, 1, 1, 1, 1]
        );
        assert_eq!(degrees(4, &drawn(&Graph::Line, 4, 1)), [1, 2, 2, 1]);
        assert_eq!(drawn(&Graph::Ring, 2, 1), [(0, 1)]);
        assert_eq!(drawn(&Graph::Ring, 1, 1), []);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]
        #[test]
        fn random_regular_graphs_are_regular_simple_and_connected(count in 4u32..300, degree in 2u32..12, seed: u64) {
            proptest::prop_assume!(degree < count && count * degree % 2 == 0);
            let edges = drawn(&Graph::RandomRegular { degree }, count, seed);
            proptest::prop_assert!(degrees(count, &edges).iter().all(|d| *d == degree));
            proptest::prop_assert!(connected(count, edges.iter().copied()));
            proptest::prop_assert!(edges.iter().all(|(a, b)| a < b));
        }

        #[test]
        fn other_random_graphs_are_connected(count in 6u32..300, links in 1u32..3, rewire in 0.0f64..=1.0, seed: u64) {
            let small = drawn(&Graph::SmallWorld { degree: 4, rewire }, count, seed);
            proptest::prop_assert_eq!(small.len() as u32, count * 2);
            proptest::prop_assert!(connected(count, small));
            let free = drawn(&Graph::ScaleFree { links }, count, seed);
            proptest::prop_assert!(connected(count, free));
        }
    }
}
