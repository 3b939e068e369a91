//! Which shard has which node, and how far shards may run ahead of each other: no packet takes less time
//! than the least latency between nodes of different shards. By regions, where these can be parted evenly:
//! then that is the way between regions, some ten times as long as the way inside one, and shards wait for
//! each other that much less often. Otherwise every shard has nodes of every region. What happens does not
//! depend on it.

use peerlab_link::{Nanos, Network};

/// Below this a window holds too little to be worth waiting for each other.
const LOOKAHEAD_MIN: Nanos = Nanos::from_millis(1);
/// No window is longer: what was dropped on its way is missed by its sender after 200 ms or more,
/// so this is safe whatever the network's delays.
const LOOKAHEAD_MAX: Nanos = Nanos::from_millis(150);
/// Fewer nodes than this are as fast on one thread.
const NODES_MIN: usize = 64;
/// Regions are parted evenly where no shard has more than its fair part and this much more, percent.
const UNEVEN_PERCENT_MAX: usize = 10;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub struct Split {
    /// The shard of each node.
    pub shard_of: Vec<u32>,
    /// How far shards may run ahead of each other.
    pub lookahead: Nanos,
}

impl Split {
    /// Over at most so many threads.
    pub fn over(network: &Network, threads: usize) -> Split {
        let count = network.nodes.len();
        if threads >= 2 && count >= NODES_MIN {
            let split = by_regions(network, threads).unwrap_or_else(|| mixed(network, threads));
            if split.lookahead >= LOOKAHEAD_MIN {
                return split;
            }
        }
        Split {
            shard_of: vec![0; count],
            lookahead: LOOKAHEAD_MAX,
        }
    }
}

fn mixed(network: &Network, threads: usize) -> Split {
    let least = network.paths.iter().flatten().map(|path| path.base).min();
    Split {
        shard_of: (0..network.nodes.len())
            .map(|node| (node % threads) as u32)
            .collect(),
        lookahead: least.unwrap_or(Nanos::ZERO).min(LOOKAHEAD_MAX),
    }
}

/// Regions that are further apart than a bound go to different shards: the largest bound by which they
/// can be parted evenly.
fn by_regions(network: &Network, threads: usize) -> Option<Split> {
    let regions = network.regions.len();
    let mut sizes = vec![0; regions];
    for node in &network.nodes {
        sizes[usize::from(node.region)] += 1;
    }
    let between = |a: usize, b: usize| network.paths[a][b].base.min(network.paths[b][a].base);
    let mut bounds: Vec<Nanos> = (0..regions)
        .flat_map(|a| (0..a).map(move |b| between(a, b)))
        .collect();
    bounds.sort_unstable();
    bounds.dedup();
    bounds.into_iter().rev().find_map(|bound| {
        let group_of = groups(regions, |a, b| between(a, b) < bound);
        let shard_of = pack(&group_of, &sizes, threads)?;
        Some(Split {
            shard_of: network
                .nodes
                .iter()
                .map(|node| shard_of[usize::from(node.region)])
                .collect(),
            lookahead: bound.min(LOOKAHEAD_MAX),
        })
    })
}

/// The group of each region: whoever is near another is in its group.
fn groups(regions: usize, near: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut group_of: Vec<usize> = (0..regions).collect();
    for a in 0..regions {
        for b in 0..a {
            let (one, other) = (group_of[a], group_of[b]);
            if one != other && near(a, b) {
                group_of
                    .iter_mut()
                    .filter(|group| **group == one)
                    .for_each(|group| *group = other);
            }
        }
    }
    group_of
}

/// The shard of each region, if groups can be spread evenly: the largest first, each to the shard that
/// has least.
fn pack(group_of: &[usize], sizes: &[usize], shards: usize) -> Option<Vec<u32>> {
    let mut group_sizes: Vec<(usize, usize)> = (0..group_of.len())
        .map(|group| {
            let own = group_of.iter().zip(sizes).filter(|(of, _)| **of == group);
            (own.map(|(_, size)| size).sum(), group)
        })
        .collect();
    group_sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut loads = vec![0; shards];
    let mut shard_of_group = vec![0; group_of.len()];
    for (size, group) in group_sizes {
        let (shard, load) = loads
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, load)| **load)?;
        *load += size;
        shard_of_group[group] = shard as u32;
    }
    let total: usize = loads.iter().sum();
    let most = loads.iter().max()?;
    let even = most * shards * 100 <= total * (100 + UNEVEN_PERCENT_MAX);
    even.then(|| {
        group_of
            .iter()
            .map(|group| shard_of_group[*group])
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use peerlab_link::{Loss, NodeLink, PathDelay};

    use super::*;

    /// Regions by their sizes, and the one-way latencies between them, ms.
    fn network(sizes: &[u16], latencies: &[&[u64]]) -> Network {
        let regions = (0u16..).zip(sizes);
        let path = |ms: &u64| PathDelay {
            base: Nanos::from_millis(*ms),
            jitter: Nanos::ZERO,
        };
        Network {
            seed: 1,
            mtu: 1_500,
            framing_bytes: 0,
            nodes: regions
                .flat_map(|(region, size)| (0..*size).map(move |_| region))
                .map(|region| NodeLink {
                    ip: Ipv4Addr::LOCALHOST,
                    region,
                    up_bps: None,
                    down_bps: None,
                    queue_bytes: 0,
                    loss: Loss::None,
                })
                .collect(),
            regions: (0..sizes.len()).map(|at| at.to_string()).collect(),
            paths: latencies
                .iter()
                .map(|row| row.iter().map(path).collect())
                .collect(),
        }
    }

    #[test]
    fn regions_go_to_shards_of_their_own_where_that_is_even() {
        let paths: [&[u64]; 4] = [
            &[5, 60, 90, 80],
            &[60, 5, 95, 85],
            &[90, 95, 5, 30],
            &[80, 85, 30, 5],
        ];
        let split = Split::over(&network(&[50, 35, 10, 5], &paths), 2);
        assert_eq!(split.lookahead, Nanos::from_millis(60));
        let shards: Vec<_> = [0, 50, 85, 95].map(|node| split.shard_of[node]).into();
        assert_eq!(shards, [0, 1, 1, 1]);
        // One region has too many: every shard gets some of it.
        let split = Split::over(&network(&[70, 15, 10, 5], &paths), 2);
        assert_eq!(split.lookahead, Nanos::from_millis(5));
        assert_eq!(split.shard_of[..4], [0, 1, 0, 1]);
        // Two that are near each other stay together, if that is even.
        let split = Split::over(&network(&[50, 0, 25, 25], &paths), 2);
        assert_eq!(split.lookahead, Nanos::from_millis(80));
    }

    #[test]
    fn who_cannot_run_ahead_or_is_small_is_not_split() {
        let paths: [&[u64]; 2] = [&[0, 0], &[0, 0]];
        let split = Split::over(&network(&[50, 50], &paths), 2);
        assert_eq!(split.shard_of, [0; 100]);
        let paths: [&[u64]; 2] = [&[5, 50], &[50, 5]];
        assert_eq!(Split::over(&network(&[9, 9], &paths), 2).shard_of, [0; 18]);
        assert_eq!(
            Split::over(&network(&[90, 90], &paths), 1).shard_of,
            [0; 180]
        );
    }
}
