//! The network: packet sizes, and how nodes find each other.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use peerlab_link::{Nanos, PathDelay};

use super::known::Known;
use super::problems::At;
use super::regions::{Regions, check_delay};
use super::selection::resolve_selection;
use crate::topology::file;
use crate::topology::listed::ListOr;
use crate::topology::network_values::{ETHERNET_FRAMING_BYTES, Framing, Graph, Mode};
use crate::topology::resolved::{Bootstrap, Discovery, GraphKind, Network};
use crate::topology::written::{WordOr, Written};

/// Ethernet's usual packet size.
pub const MTU_DEFAULT: u16 = 1500;
/// What every IPv4 host must take.
const MTU_MIN: u32 = 576;
/// Jumbo frames.
const MTU_MAX: u32 = 9000;
/// Whom a node knows at first.
const BOOTSTRAP_DEFAULT: u32 = 3;
/// Most that a node knows at first, or has links in a graph given by its degree.
const LINKS_PER_NODE_MAX: u32 = 1_000;
/// Most connections of a static graph.
const EDGES_MAX: u64 = 1_000_000;

/// Resolves what `regions` and `nodes` have left of the network.
pub fn resolve_network(
    at: &At,
    network: file::Network,
    regions: Regions,
    discovery: Discovery,
) -> Network {
    let mut paths = regions.paths;
    let jitter = at.key("jitter").optional(network.jitter);
    if let Some(jitter) = jitter {
        let base = Nanos::ZERO;
        check_delay(&at.key("jitter"), PathDelay { base, jitter });
        let bare = |delay: &&mut PathDelay| delay.jitter == Nanos::ZERO;
        let bare = paths.iter_mut().flatten().filter(bare);
        bare.for_each(|delay| delay.jitter = jitter);
    }
    let framing = at.key("framing").optional(network.framing);
    Network {
        regions: regions.names,
        paths,
        mtu: resolve_mtu(&at.key("mtu"), network.mtu),
        framing_bytes: framing.map_or(ETHERNET_FRAMING_BYTES, |Framing(bytes)| bytes),
        discovery,
    }
}

fn resolve_mtu(at: &At, written: Option<Written<u32>>) -> u16 {
    let Some(mtu) = at.optional(written) else {
        return MTU_DEFAULT;
    };
    if !(MTU_MIN..=MTU_MAX).contains(&mtu) {
        at.add(
            "packets cannot have that size",
            "IPv4 needs 576 bytes, and jumbo frames end at 9000",
            "write something between, as 1500",
        );
    }
    mtu as u16
}

/// Resolves `discovery`; a mistake counts as the default.
pub fn resolve_discovery(
    at: &At,
    discovery: Option<file::Discovery>,
    known: &Known<'_>,
) -> Discovery {
    let discovery = discovery.unwrap_or_default();
    let of_static = [
        ("graph", discovery.graph.is_some()),
        ("edges", discovery.edges.is_some()),
    ];
    let mode = match discovery.mode {
        Some(written) => at.key("mode").value(written),
        None if of_static.iter().any(|(_, there)| *there) => Some(Mode::Static),
        None => Some(Mode::Pure),
    };
    // Small networks have fewer others than the default.
    let few = BOOTSTRAP_DEFAULT.min(known.count().saturating_sub(1));
    let few = Bootstrap::Count(few);
    let hint = "remove it, or change `mode`";
    match mode {
        None => Discovery::Pure(few),
        Some(Mode::Static) => {
            let there = [("bootstrap", discovery.bootstrap.is_some())];
            at.refuse(there, "it belongs to `mode: pure` and `mode: hybrid`", hint);
            resolve_static(at, discovery.graph, discovery.edges, known)
                .unwrap_or(Discovery::Pure(few))
        }
        Some(mode) => {
            at.refuse(of_static, "it belongs to `mode: static`", hint);
            let at = at.key("bootstrap");
            let resolve = |written| resolve_bootstrap(&at, written, mode, known);
            let bootstrap = discovery.bootstrap.and_then(resolve).unwrap_or(few);
            if mode == Mode::Hybrid {
                Discovery::Hybrid(bootstrap)
            } else {
                Discovery::Pure(bootstrap)
            }
        }
    }
}

fn resolve_static(
    at: &At,
    graph: Option<Written<Graph>>,
    edges: Option<Vec<Vec<String>>>,
    known: &Known<'_>,
) -> Option<Discovery> {
    let cause = match (graph, edges) {
        (Some(graph), None) => return resolve_graph(&at.key("graph"), graph, known),
        (None, Some(edges)) => return Some(resolve_edges(&at.key("edges"), &edges, known)),
        (Some(_), Some(_)) => "both are there",
        (None, None) => "neither is there",
    };
    at.add(
        "static discovery needs `graph` or `edges`",
        cause,
        "write one of them, as `graph: random-regular(degree 8)`",
    );
    None
}

fn resolve_bootstrap(
    at: &At,
    written: file::Bootstrap,
    mode: Mode,
    known: &Known<'_>,
) -> Option<Bootstrap> {
    let choice = match written {
        WordOr::Word(word) if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            return resolve_count(at, at.word(&word)?, known);
        }
        WordOr::Word(word) => WordOr::Word(word),
        WordOr::Long(ListOr::List(list)) => WordOr::Long(list),
        WordOr::Long(ListOr::Map(map)) => return resolve_each(at, &map, mode, known),
    };
    resolve_selection(at, choice, known, false).map(Bootstrap::Nodes)
}

fn resolve_count(at: &At, count: u32, known: &Known<'_>) -> Option<Bootstrap> {
    let nodes = known.count();
    let most = nodes.saturating_sub(1).min(LINKS_PER_NODE_MAX);
    if count > most || (count == 0 && nodes > 1) {
        at.add(
            format!("a node cannot know {count} others at first"),
            format!("with {nodes} nodes, between 1 and {most} are possible"),
            "write a small number, as 3",
        );
        return None;
    }
    Some(Bootstrap::Count(count))
}

/// Whom each node knows at first.
fn resolve_each(
    at: &At,
    map: &IndexMap<String, Vec<String>>,
    mode: Mode,
    known: &Known<'_>,
) -> Option<Bootstrap> {
    if mode != Mode::Pure {
        at.add(
            "seeds are the same for all nodes",
            "with `mode: hybrid` everybody asks the same seed nodes",
            "list the seeds, as `[peers-0, peers-1]`, or write `mode: pure`",
        );
        return None;
    }
    let mut each: Vec<Vec<u32>> = vec![Vec::new(); known.count() as usize];
    for (of, others) in map {
        let node = known.find_node(&at.name(of), of);
        for (index, other) in others.iter().enumerate() {
            let at = at.key(of).item(index);
            let (Some(node), Some(other)) = (node, known.find_node(&at, other)) else {
                continue;
            };
            let list = &mut each[node as usize];
            if node == other {
                at.add(
                    "this first peer adds nothing",
                    "it is the node itself",
                    "remove it",
                );
            } else if list.contains(&other) {
                at.add(
                    "this first peer adds nothing",
                    "it is in this list already",
                    "remove it",
                );
            }
            list.push(other);
        }
    }
    Some(Bootstrap::Each(each))
}

fn resolve_graph(at: &At, written: Written<Graph>, known: &Known<'_>) -> Option<Discovery> {
    let graph = at.value(written)?;
    let nodes = known.count();
    let (degree, edges) = match graph {
        Graph::Ring | Graph::Line | Graph::Star { .. } => (1, u64::from(nodes)),
        Graph::Complete => (1, u64::from(nodes) * u64::from(nodes) / 2),
        Graph::RandomRegular { degree } | Graph::SmallWorld { degree, .. } => {
            (degree, u64::from(nodes) * u64::from(degree) / 2)
        }
        Graph::ScaleFree { links } => (links, u64::from(nodes) * u64::from(links)),
    };
    if degree >= nodes && nodes > 1 {
        at.add(
            "the graph needs more nodes",
            format!("{nodes} nodes cannot have {degree} links each"),
            format!("write at most {}, or `complete`", nodes - 1),
        );
        return None;
    }
    if edges > EDGES_MAX || degree > LINKS_PER_NODE_MAX {
        at.add(
            "the graph has too many connections",
            format!("it would have {edges}, and at most {EDGES_MAX} (and {LINKS_PER_NODE_MAX} a node) are possible"),
            "take a sparser graph, as `random-regular(degree 8)`",
        );
        return None;
    }
    if matches!(graph, Graph::RandomRegular { .. }) && degree % 2 == 1 && nodes % 2 == 1 {
        let (less, more) = (degree - 1, degree + 1);
        at.add(
            "there is no such regular graph",
            format!("{nodes} nodes with {degree} links each have an odd number of link ends"),
            format!("write degree {less} or {more}, or add a node"),
        );
        return None;
    }
    let centre = match &graph {
        Graph::Star { centre: Some(name) } => known.find_node(at, name)?,
        _ => 0,
    };
    Some(Discovery::Graph(GraphKind { graph, centre }))
}

fn resolve_edges(at: &At, edges: &[Vec<String>], known: &Known<'_>) -> Discovery {
    let mut resolved = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, pair) in edges.iter().enumerate() {
        let at = at.item(index);
        let [from, to] = pair.as_slice() else {
            at.add(
                "an edge has two ends",
                format!("{} names stand here", pair.len()),
                "write `[miners-0, peers-3]`",
            );
            continue;
        };
        let node = |end: usize, name: &str| known.find_node(&at.item(end), name);
        if let (Some(from), Some(to)) = (node(0, from), node(1, to)) {
            if from == to {
                at.add(
                    "this edge adds nothing",
                    "both ends are the same node",
                    "remove it",
                );
            } else if !seen.insert((from.min(to), from.max(to))) {
                at.add(
                    "this edge adds nothing",
                    "the two are linked already",
                    "remove it",
                );
            }
            resolved.push((from, to));
        }
    }
    Discovery::Edges(resolved)
}
