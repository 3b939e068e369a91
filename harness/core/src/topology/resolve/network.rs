//! The network: delays by region, packet sizes, and how nodes find each other.

use indexmap::{IndexMap, IndexSet};
use peerlab_link::{Nanos, PathDelay};

use super::nodes::{Latency, Names, Regions, check_region_name};
use super::problems::Problems;
use super::selection::resolve_selection;
use crate::topology::file::{self, LatencyMap};
use crate::topology::listed::ListOr;
use crate::topology::marked::Path;
use crate::topology::network_values::{ETHERNET_FRAMING_BYTES, Framing, Graph, Mode};
use crate::topology::preset;
use crate::topology::resolved::{Bootstrap, Discovery, GraphKind, Network};
use crate::topology::units::Count;
use crate::topology::written::{Value, WordOr, Written};

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
/// Longest delay: a round trip of two minutes.
const DELAY_MAX: Nanos = Nanos::from_secs(60);

/// Resolves `latency`; a mistake counts as the default.
pub fn resolve_latency(
    problems: &Problems,
    path: &Path,
    latency: Option<WordOr<LatencyMap>>,
) -> Latency {
    match latency {
        None => Latency::Internet2019,
        Some(WordOr::Word(word)) if word == preset::INTERNET_2019 => Latency::Internet2019,
        Some(WordOr::Word(word)) => {
            if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
                problems.add(
                    path,
                    format!("`{word}` is not a latency"),
                    "only `internet-2019` is known by name",
                    format!(
                        "write `internet-2019`, {}, or a map by region",
                        PathDelay::FORM
                    ),
                );
                return Latency::Internet2019;
            }
            let delay = problems.word::<PathDelay>(path, &word).unwrap_or_default();
            check_delay(problems, path, delay);
            Latency::Everywhere(delay)
        }
        Some(WordOr::Long(map)) => resolve_map(problems, path, map),
    }
}

fn check_delay(problems: &Problems, path: &Path, delay: PathDelay) {
    if delay.base > DELAY_MAX || delay.jitter > DELAY_MAX {
        problems.add(
            path,
            "the delay is too long",
            "more than a minute one way is no network",
            "write a shorter one, or cut the path by a `partition`",
        );
    }
}

fn resolve_map(problems: &Problems, path: &Path, map: LatencyMap) -> Latency {
    let mut names: IndexSet<String> = IndexSet::new();
    for (from, row) in &map {
        check_region_name(problems, &path.name(from), from);
        names.insert(from.clone());
        for to in row.keys() {
            check_region_name(problems, &path.key(from).name(to), to);
            names.insert(to.clone());
        }
    }
    if names.is_empty() {
        problems.add(
            path,
            "there are no regions",
            "the map of latencies is empty",
            "write `latency: 50ms` for the same everywhere",
        );
    }
    let mut delays: Vec<Vec<Option<PathDelay>>> = vec![vec![None; names.len()]; names.len()];
    for (from, row) in map {
        for (to, written) in row {
            let path = path.key(&from).key(&to);
            let delay = problems.value(&path, written).unwrap_or_default();
            check_delay(problems, &path, delay);
            if let (Some(from), Some(to)) = (names.get_index_of(&from), names.get_index_of(&to)) {
                delays[from][to] = Some(delay);
            }
        }
    }
    let mut paths = vec![vec![PathDelay::default(); names.len()]; names.len()];
    for from in 0..names.len() {
        for to in 0..names.len() {
            match delays[from][to].or(delays[to][from]) {
                Some(delay) => paths[from][to] = delay,
                None if from <= to => problems.add(
                    path,
                    format!(
                        "the latency between `{}` and `{}` is missing",
                        names[from], names[to]
                    ),
                    "every pair of regions needs one, each region with itself as well",
                    format!("add `{}: {{ {}: 50ms }}`", names[from], names[to]),
                ),
                None => {}
            }
        }
    }
    Latency::Map {
        regions: names.into_iter().collect(),
        paths,
    }
}

/// Resolves the rest of the network.
pub fn resolve_network(
    problems: &Problems,
    path: &Path,
    network: file::Network,
    regions: Regions,
    discovery: Discovery,
) -> Network {
    let mut paths = regions.paths;
    if let Some(jitter) = problems.optional(&path.key("jitter"), network.jitter) {
        let jitter_path = PathDelay {
            base: Nanos::ZERO,
            jitter,
        };
        check_delay(problems, &path.key("jitter"), jitter_path);
        for delay in paths
            .iter_mut()
            .flatten()
            .filter(|delay| delay.jitter == Nanos::ZERO)
        {
            delay.jitter = jitter;
        }
    }
    let mtu_path = path.key("mtu");
    let mtu = problems
        .optional(&mtu_path, network.mtu)
        .map(|Count(mtu)| mtu);
    if mtu.is_some_and(|mtu| !(MTU_MIN..=MTU_MAX).contains(&mtu)) {
        problems.add(
            &mtu_path,
            "packets cannot have that size",
            "IPv4 needs 576 bytes, and jumbo frames end at 9000",
            "write something between, as 1500",
        );
    }
    Network {
        regions: regions.names,
        paths,
        mtu: mtu
            .and_then(|mtu| u16::try_from(mtu).ok())
            .unwrap_or(MTU_DEFAULT),
        framing_bytes: problems
            .optional(&path.key("framing"), network.framing)
            .map_or(ETHERNET_FRAMING_BYTES, |Framing(bytes)| bytes),
        discovery,
    }
}

/// Resolves `discovery`; a mistake counts as the default.
pub fn resolve_discovery(
    problems: &Problems,
    path: &Path,
    discovery: Option<file::Discovery>,
    names: &Names,
) -> Discovery {
    let Some(discovery) = discovery else {
        return Discovery::Pure(default_bootstrap(names));
    };
    let given = discovery.graph.is_some() || discovery.edges.is_some();
    let mode = match discovery.mode {
        Some(written) => problems.value(&path.key("mode"), written),
        None if given => Some(Mode::Static),
        None => Some(Mode::Pure),
    };
    let fallback = Discovery::Pure(default_bootstrap(names));
    match mode {
        None => fallback,
        Some(Mode::Static) => {
            if discovery.bootstrap.is_some() {
                misplaced(
                    problems,
                    &path.name("bootstrap"),
                    "bootstrap",
                    "`mode: pure` and `mode: hybrid`",
                );
            }
            match (discovery.graph, discovery.edges) {
                (Some(graph), None) => {
                    resolve_graph(problems, &path.key("graph"), graph, names).unwrap_or(fallback)
                }
                (None, Some(edges)) => resolve_edges(problems, &path.key("edges"), edges, names),
                (graph, _) => {
                    let cause = if graph.is_some() {
                        "both are there"
                    } else {
                        "neither is there"
                    };
                    problems.add(
                        path,
                        "static discovery needs `graph` or `edges`",
                        cause,
                        "write one of them, as `graph: random-regular(degree 8)`",
                    );
                    fallback
                }
            }
        }
        Some(mode) => {
            for (key, there) in [
                ("graph", discovery.graph.is_some()),
                ("edges", discovery.edges.is_some()),
            ] {
                if there {
                    misplaced(problems, &path.name(key), key, "`mode: static`");
                }
            }
            let bootstrap = discovery
                .bootstrap
                .and_then(|written| {
                    resolve_bootstrap(problems, &path.key("bootstrap"), written, mode, names)
                })
                .unwrap_or_else(|| default_bootstrap(names));
            if mode == Mode::Pure {
                Discovery::Pure(bootstrap)
            } else {
                Discovery::Hybrid(bootstrap)
            }
        }
    }
}

fn misplaced(problems: &Problems, path: &Path, key: &str, belongs: &str) {
    problems.add(
        path,
        format!("`{key}` has no meaning here"),
        format!("it belongs to {belongs}"),
        "remove it, or change `mode`",
    );
}

/// Small networks have fewer others than the default.
fn default_bootstrap(names: &Names) -> Bootstrap {
    Bootstrap::Count(BOOTSTRAP_DEFAULT.min(names.count().saturating_sub(1)))
}

fn resolve_bootstrap(
    problems: &Problems,
    path: &Path,
    written: WordOr<ListOr<IndexMap<String, Vec<String>>>>,
    mode: Mode,
    names: &Names,
) -> Option<Bootstrap> {
    if let WordOr::Word(word) = &written
        && word.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    {
        let Count(count) = problems.word(path, word)?;
        let most = names.count().saturating_sub(1).min(LINKS_PER_NODE_MAX);
        if count > most || (count == 0 && names.count() > 1) {
            problems.add(
                path,
                format!("a node cannot know {count} others at first"),
                format!(
                    "with {} nodes, between 1 and {most} are possible",
                    names.count()
                ),
                "write a small number, as 3",
            );
            return None;
        }
        return Some(Bootstrap::Count(count));
    }
    let choice = match written {
        WordOr::Long(ListOr::Map(map)) => return resolve_each(problems, path, &map, mode, names),
        WordOr::Long(ListOr::List(list)) => WordOr::Long(list),
        WordOr::Word(word) => WordOr::Word(word),
    };
    resolve_selection(problems, path, choice, names, false).map(Bootstrap::Nodes)
}

/// Whom each node knows at first.
fn resolve_each(
    problems: &Problems,
    path: &Path,
    map: &IndexMap<String, Vec<String>>,
    mode: Mode,
    names: &Names,
) -> Option<Bootstrap> {
    if mode != Mode::Pure {
        problems.add(
            path,
            "seeds are the same for all nodes",
            "with `mode: hybrid` everybody asks the same seed nodes",
            "list the seeds, as `[peers-0, peers-1]`, or write `mode: pure`",
        );
        return None;
    }
    let mut known: Vec<Vec<u32>> = vec![Vec::new(); names.count() as usize];
    for (of, others) in map {
        let node = node_of(problems, &path.name(of), of, names);
        for (index, other) in others.iter().enumerate() {
            let path = path.key(of).item(index);
            let (Some(node), Some(other)) = (node, node_of(problems, &path, other, names)) else {
                continue;
            };
            let list = &mut known[node as usize];
            if node == other || list.contains(&other) {
                let cause = if node == other {
                    "it is the node itself"
                } else {
                    "it is in this list already"
                };
                problems.add(&path, "this first peer adds nothing", cause, "remove it");
            }
            list.push(other);
        }
    }
    Some(Bootstrap::Each(known))
}

/// The node of a name, or a mistake and `None`.
pub fn node_of(problems: &Problems, path: &Path, name: &str, names: &Names) -> Option<u32> {
    let node = names.node(name);
    if node.is_none() {
        problems.unknown(path, "node", name, names.groups());
    }
    node
}

fn resolve_graph(
    problems: &Problems,
    path: &Path,
    written: Written<Graph>,
    names: &Names,
) -> Option<Discovery> {
    let graph = problems.value(path, written)?;
    let nodes = names.count();
    let (degree, edges) = match graph {
        Graph::Ring | Graph::Line | Graph::Star { .. } => (1, u64::from(nodes)),
        Graph::Complete => (1, u64::from(nodes) * u64::from(nodes) / 2),
        Graph::RandomRegular { degree } | Graph::SmallWorld { degree, .. } => {
            (degree, u64::from(nodes) * u64::from(degree) / 2)
        }
        Graph::ScaleFree { links } => (links, u64::from(nodes) * u64::from(links)),
    };
    if degree >= nodes && nodes > 1 {
        problems.add(
            path,
            "the graph needs more nodes",
            format!("{nodes} nodes cannot have {degree} links each"),
            format!("write at most {}, or `complete`", nodes - 1),
        );
        return None;
    }
    if edges > EDGES_MAX || degree > LINKS_PER_NODE_MAX {
        problems.add(
            path,
            "the graph has too many connections",
            format!("it would have {edges}, and at most {EDGES_MAX} (and {LINKS_PER_NODE_MAX} a node) are possible"),
            "take a sparser graph, as `random-regular(degree 8)`",
        );
        return None;
    }
    if let Graph::RandomRegular { degree } = graph
        && degree % 2 == 1
        && nodes % 2 == 1
    {
        problems.add(
            path,
            "there is no such regular graph",
            format!("{nodes} nodes with {degree} links each have an odd number of link ends"),
            format!(
                "write degree {} or {}, or add a node",
                degree - 1,
                degree + 1
            ),
        );
        return None;
    }
    let centre = match &graph {
        Graph::Star { centre: Some(name) } => match names.node(name) {
            Some(node) => node,
            None => {
                problems.unknown(path, "node", name, names.groups());
                return None;
            }
        },
        _ => 0,
    };
    Some(Discovery::Graph(GraphKind { graph, centre }))
}

fn resolve_edges(
    problems: &Problems,
    path: &Path,
    edges: Vec<Vec<String>>,
    names: &Names,
) -> Discovery {
    let mut resolved = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (index, pair) in edges.iter().enumerate() {
        let path = path.item(index);
        let [from, to] = pair.as_slice() else {
            problems.add(
                &path,
                "an edge has two ends",
                format!("{} names stand here", pair.len()),
                "write `[miners-0, peers-3]`",
            );
            continue;
        };
        let node = |end: usize, name: &str| node_of(problems, &path.item(end), name, names);
        if let (Some(from), Some(to)) = (node(0, from), node(1, to)) {
            if from == to || !seen.insert((from.min(to), from.max(to))) {
                problems.add(
                    &path,
                    "this edge adds nothing",
                    if from == to {
                        "both ends are the same node"
                    } else {
                        "the two are linked already"
                    },
                    "remove it",
                );
            }
            resolved.push((from, to));
        }
    }
    Discovery::Edges(resolved)
}
