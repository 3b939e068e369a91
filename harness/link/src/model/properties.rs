//! What the model promises, tried on many networks; and golden values, which pin the random
//! streams that recorded plans rely on.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{ChangeError, LinkModel, NetworkError, Passage, Retiming, Verdict};
use crate::change::{Change, Loss, Network, NodeLink, PathDelay, Shape};
use crate::id::{Nanos, NodeId};
use crate::proto::DropReason;

const MS: u64 = 1_000_000;
const QUEUE_BYTES: u32 = 1 << 18;

/// `nodes` nodes in one region, with delay 10 ms and nothing else.
fn network(nodes: u32) -> Network {
    Network {
        seed: 7,
        mtu: 1_500,
        framing_bytes: 38,
        nodes: (1..=nodes)
            .map(|n| NodeLink {
                ip: Ipv4Addr::from(0x0a00_0000 + n),
                region: 0,
                up_bps: None,
                down_bps: None,
                queue_bytes: QUEUE_BYTES,
                loss: Loss::None,
            })
            .collect(),
        regions: vec!["here".into()],
        paths: vec![vec![PathDelay {
            base: Nanos(10 * MS),
            jitter: Nanos::ZERO,
        }]],
    }
}

fn arrival(model: &mut LinkModel, now: u64, src: u32, dst: u32) -> Option<u64> {
    let sent = model.send(Nanos(now), NodeId(src), NodeId(dst), 1_000);
    sent.ok().map(|passage| passage.at.0)
}

/// A change while nothing is under way.
fn change(model: &mut LinkModel, change: &Change) -> Result<(), ChangeError> {
    model.apply(Nanos::ZERO, change).map(|_| ())
}

fn any_loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        Just(Loss::None),
        any::<u32>().prop_map(|chance| Loss::Bernoulli { chance }),
        any::<[u32; 4]>().prop_map(|[enter, leave, good, bad]| Loss::GilbertElliott {
            enter,
            leave,
            good,
            bad
        }),
    ]
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (
        prop::option::of(1_000u64..1_000_000_000),
        prop::option::of(any_loss()),
        prop::option::of((0..500 * MS).prop_map(Nanos)),
        prop::option::of((0..50 * MS).prop_map(Nanos)),
    )
        .prop_map(|(rate_bps, loss, delay, jitter)| Shape {
            rate_bps,
            loss,
            delay,
            jitter,
        })
}

/// Any change of a network of four nodes, some of them senseless.
fn any_change() -> impl Strategy<Value = Change> {
    let node = || (0u32..5).prop_map(NodeId);
    let nodes = move || prop::collection::vec(node(), 0..4);
    prop_oneof![
        (0u32..3, prop::collection::vec(nodes(), 0..3), any::<bool>()).prop_map(
            |(id, groups, one_way)| Change::Partition {
                id,
                groups,
                one_way
            }
        ),
        (0u32..3).prop_map(|id| Change::Heal { id }),
        (0u32..3, nodes(), any_shape()).prop_map(|(id, nodes, shape)| Change::Shape {
            id,
            nodes,
            shape
        }),
        (0u32..3).prop_map(|id| Change::Unshape { id }),
        node().prop_map(|node| Change::Silence { node }),
        node().prop_map(|node| Change::Unsilence { node }),
        Just(Change::HealAll),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        after: u64,
        src: u32,
        dst: u32,
        bytes: u32,
    },
    Change(Change),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..5 * MS, 0u32..4, 0u32..4, 40u32..1_539).prop_map(|(after, src, dst, bytes)| {
            Step::Send { after, src, dst, bytes }
        }),
        1 => any_change().prop_map(Step::Change),
    ]
}

/// Gives what is under way on every link its new instants.
fn retime(
    model: &mut LinkModel,
    retiming: &Retiming,
    now: u64,
    under_way: &mut [[Vec<Passage>; 4]; 4],
) {
    for (src, links) in (0..).map(NodeId).zip(under_way) {
        for (dst, link) in (0..).map(NodeId).zip(links) {
            for passage in link {
                let before = *passage;
                *passage = model.retime_sent(retiming, src, dst, before);
                assert!(before.at.0 < now || passage.at.0 >= now, "in the past");
                assert!(retiming.is_about(src) || *passage == before);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_changes_order_is_kept_and_time_goes_forward(
        steps in prop::collection::vec(any_step(), 0..400),
        jitter in 0..20 * MS,
        rate in prop::option::of(100_000u64..50_000_000),
    ) {
        let mut network = network(4);
        network.paths[0][0].jitter = Nanos(jitter);
        network.nodes[1].up_bps = rate;
        let mut model = LinkModel::new(&network).unwrap();
        let mut under_way: [[Vec<Passage>; 4]; 4] = Default::default();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Send { after, src, dst, bytes } => {
                    now += after;
                    let sent = model.send(Nanos(now), NodeId(src), NodeId(dst), bytes);
                    if let Ok(passage) = sent {
                        let Passage { left, at } = passage;
                        prop_assert!(left.0 >= now, "left before it was sent");
                        prop_assert!(at.0 >= left.0 + 10 * MS, "faster than the path");
                        under_way[src as usize][dst as usize].push(passage);
                    }
                }
                Step::Change(change) => if let Ok(retiming) = model.apply(Nanos(now), &change) {
                    retime(&mut model, &retiming, now, &mut under_way);
                }
            }
            for link in under_way.as_flattened_mut() {
                prop_assert!(link.is_sorted_by_key(|passage| passage.left), "left out of order");
                prop_assert!(link.is_sorted_by_key(|passage| passage.at), "overtook another");
                link.retain(|passage| passage.at.0 > now);
            }
        }
    }

    #[test]
    fn after_heal_all_the_network_is_as_it_was(
        changes in prop::collection::vec(any_change(), 0..30),
    ) {
        let mut model = LinkModel::new(&network(4)).unwrap();
        for each in &changes {
            let _ = change(&mut model, each);
        }
        change(&mut model, &Change::HealAll).unwrap();
        for src in 0..4 {
            for dst in 0..4 {
                prop_assert!(model.is_plain(NodeId(src), NodeId(dst)));
                prop_assert_eq!(arrival(&mut model, 5, src, dst), Some(5 + 10 * MS));
            }
        }
    }

    #[test]
    fn a_refused_change_changes_nothing(
        before in prop::collection::vec(any_change(), 0..10),
        refused in any_change(),
        sends in prop::collection::vec((0u32..4, 0u32..4), 1..30),
    ) {
        let mut model = LinkModel::new(&network(4)).unwrap();
        for each in &before {
            let _ = change(&mut model, each);
        }
        let mut changed = model.clone();
        if change(&mut changed, &refused).is_err() {
            for (src, dst) in sends {
                prop_assert_eq!(
                    arrival(&mut model, 0, src, dst),
                    arrival(&mut changed, 0, src, dst)
                );
            }
        }
    }

    #[test]
    fn a_partition_cuts_between_groups_both_ways_and_nowhere_else(
        group_of in prop::collection::vec(0usize..4, 8),
        one_way: bool,
    ) {
        // Group 3 stands for the nodes that the partition does not name.
        let mut groups = vec![Vec::new(); 3];
        for (node, &group) in (0..).map(NodeId).zip(&group_of) {
            if let Some(group) = groups.get_mut(group) {
                group.push(node);
            }
        }
        let mut model = LinkModel::new(&network(8)).unwrap();
        change(&mut model, &Change::Partition { id: 1, groups, one_way }).unwrap();
        for src in 0..8u32 {
            for dst in 0..8u32 {
                let (from, to) = (group_of[src as usize], group_of[dst as usize]);
                let passes = from == to || (one_way && from != 0);
                let expected = (!passes).then_some(DropReason::Partition);
                prop_assert_eq!(model.cut(NodeId(src), NodeId(dst)), expected);
                prop_assert_eq!(arrival(&mut model, 0, src, dst).is_some(), passes);
            }
        }
    }

    #[test]
    fn a_link_draws_the_same_whatever_happens_elsewhere(
        seed: u64,
        others in prop::collection::vec((0u32..20, 0u32..20), 0..200),
        more_nodes in 0u32..10,
    ) {
        let mut small = network(10);
        small.seed = seed;
        small.paths[0][0].jitter = Nanos(50 * MS);
        for node in &mut small.nodes {
            node.loss = Loss::Bernoulli { chance: Loss::ONE / 5 };
        }
        let mut large = network(10 + more_nodes);
        large.seed = seed;
        large.paths.clone_from(&small.paths);
        for node in &mut large.nodes {
            node.loss = Loss::Bernoulli { chance: Loss::ONE / 5 };
        }
        let mut quiet = LinkModel::new(&small).unwrap();
        let mut busy = LinkModel::new(&large).unwrap();
        let mut others = others.into_iter();
        for now in 0..50 {
            for (src, dst) in others.by_ref().take(4).filter(|&link| link != (3, 4)) {
                arrival(&mut busy, now, src, dst);
            }
            prop_assert_eq!(arrival(&mut quiet, now, 3, 4), arrival(&mut busy, now, 3, 4));
        }
    }

    #[test]
    fn the_shaped_rate_is_the_configured_one(
        rate_bps in 1_000_000u64..1_000_000_000,
        bytes in 100u32..1_539,
    ) {
        // More is offered than fits, through both access links of a pair, for ten seconds.
        let mut network = network(2);
        network.nodes[0].up_bps = Some(rate_bps);
        network.nodes[1].down_bps = Some(rate_bps);
        let mut model = LinkModel::new(&network).unwrap();
        let gap = u64::from(bytes) * 8_000_000_000 / rate_bps * 9 / 10;
        let (mut sent, mut lost, mut delivered) = (0u64, 0u64, 0u64);
        let (mut first, mut last) = (None, 0);
        let packets = (10_000_000_000 / gap).min(50_000);
        for n in 0..packets {
            sent += 1;
            let Ok(sent) = model.send(Nanos(n * gap), NodeId(0), NodeId(1), bytes) else {
                lost += 1;
                continue;
            };
            match model.arrive(sent.at, NodeId(0), NodeId(1), bytes) {
                Verdict::Deliver { at } => {
                    delivered += 1;
                    first = first.or(Some(at.0));
                    last = at.0;
                }
                Verdict::Drop(_) => lost += 1,
            }
        }
        prop_assert_eq!(sent, lost + delivered);
        let bits = u128::from(delivered - 1) * u128::from(bytes) * 8 * 1_000_000_000;
        let took = u128::from(last - first.unwrap());
        let rate = bits / took;
        prop_assert!(rate.abs_diff(u128::from(rate_bps)) * 1_000 <= u128::from(rate_bps));
    }
}

proptest! {
    /// Asked once at the end of an idle link's work, or at the start: packets of one size get the
    /// same answers, to the rounding of a nanosecond each.
    #[test]
    fn one_question_at_the_end_is_as_good_as_two(
        rate_bps in 100_000u64..1_000_000_000,
        wire_bytes in 64u32..1_538,
        gaps in prop::collection::vec(0u64..3 * MS, 1..200),
    ) {
        let mut network = network(2);
        network.nodes[1].down_bps = Some(rate_bps);
        network.nodes[1].queue_bytes = 20_000;
        let mut asked_at_start = LinkModel::new(&network).unwrap();
        let mut asked_at_end = asked_at_start.clone();
        let (src, dst) = (NodeId(0), NodeId(1));
        let service = asked_at_end.down_service(dst, wire_bytes).0;
        let mut now = 0;
        for (index, gap) in gaps.iter().enumerate() {
            now += gap;
            let one = asked_at_start.arrive(Nanos(now), src, dst, wire_bytes);
            let other = asked_at_end.arrive_ending(Nanos(now + service), src, dst, wire_bytes);
            match (one, other) {
                (Verdict::Deliver { at: one }, Verdict::Deliver { at: other }) => {
                    prop_assert!(one.0.abs_diff(other.0) <= index as u64 + 2);
                }
                (one, other) => prop_assert_eq!(one, other),
            }
        }
    }
}

#[test]
fn bernoulli_loss_loses_its_share() {
    let mut network = network(2);
    network.nodes[0].loss = Loss::Bernoulli {
        chance: Loss::ONE / 100,
    };
    let mut model = LinkModel::new(&network).unwrap();
    let lost = (0..1_000_000)
        .filter(|&now| arrival(&mut model, now, 0, 1).is_none())
        .count();
    // Five standard deviations of a binomial with n = 10^6, p = 0.01.
    assert!(lost.abs_diff(10_000) < 500, "{lost}");
}

#[test]
fn gilbert_elliott_loses_in_bursts_of_the_right_length() {
    let mut network = network(2);
    network.nodes[0].loss = Loss::GilbertElliott {
        enter: Loss::ONE / 1_000,
        leave: Loss::ONE / 10,
        good: 0,
        bad: Loss::ONE,
    };
    let mut model = LinkModel::new(&network).unwrap();
    let lost: Vec<bool> = (0..1_000_000)
        .map(|now| arrival(&mut model, now, 0, 1).is_none())
        .collect();
    let total = lost.iter().filter(|&&l| l).count();
    let bursts = lost.windows(2).filter(|w| !w[0] && w[1]).count();
    // Bursts last ten packets on average, and begin once in 1,010 packets.
    assert!(bursts.abs_diff(990) < 160, "{bursts} bursts");
    let length = total as f64 / bursts as f64;
    assert!((9.0..11.0).contains(&length), "mean burst {length}");
}

#[test]
fn chances_of_nothing_and_of_certainty_are_exact() {
    for (chance, passes) in [(0, true), (Loss::ONE, false)] {
        let mut network = network(2);
        network.nodes[0].loss = Loss::Bernoulli { chance };
        let mut model = LinkModel::new(&network).unwrap();
        for now in 0..10_000 {
            assert_eq!(arrival(&mut model, now, 0, 1).is_some(), passes);
        }
    }
}

#[test]
fn several_cuts_compose_and_each_ends_by_itself() {
    let mut model = LinkModel::new(&network(4)).unwrap();
    let cut = |id, nodes: &[u32]| Change::Partition {
        id,
        groups: vec![nodes.iter().copied().map(NodeId).collect()],
        one_way: false,
    };
    let passes = |model: &LinkModel, src, dst| model.cut(NodeId(src), NodeId(dst)).is_none();
    change(&mut model, &cut(1, &[0, 1])).unwrap();
    change(&mut model, &cut(2, &[0, 2])).unwrap();
    assert!(!passes(&model, 0, 1) && !passes(&model, 0, 2) && !passes(&model, 0, 3));
    change(&mut model, &Change::Silence { node: NodeId(3) }).unwrap();
    change(&mut model, &Change::Heal { id: 2 }).unwrap();
    assert!(passes(&model, 0, 1) && !passes(&model, 0, 2));
    assert_eq!(
        model.cut(NodeId(2), NodeId(3)),
        Some(DropReason::Silence),
        "a silence is not undone by a heal"
    );
    change(&mut model, &Change::Unsilence { node: NodeId(3) }).unwrap();
    change(&mut model, &Change::Heal { id: 1 }).unwrap();
    assert!(passes(&model, 0, 3) && passes(&model, 2, 1));
}

#[test]
fn a_cut_stops_what_is_on_its_way() {
    let mut model = LinkModel::new(&network(2)).unwrap();
    let at = arrival(&mut model, 0, 0, 1).unwrap();
    change(&mut model, &Change::Silence { node: NodeId(1) }).unwrap();
    assert_eq!(
        model.arrive(Nanos(at), NodeId(0), NodeId(1), 1_000),
        Verdict::Drop(DropReason::Silence)
    );
}

#[test]
fn of_two_shapes_the_latest_wins_and_its_end_restores_the_other() {
    let mut model = LinkModel::new(&network(2)).unwrap();
    let slower = |id, ms| Change::Shape {
        id,
        nodes: vec![NodeId(0)],
        shape: Shape {
            delay: Some(Nanos(ms * MS)),
            ..Shape::default()
        },
    };
    change(&mut model, &slower(1, 30)).unwrap();
    change(&mut model, &slower(2, 20)).unwrap();
    assert_eq!(arrival(&mut model, 0, 0, 1), Some(30 * MS));
    change(&mut model, &Change::Unshape { id: 2 }).unwrap();
    assert_eq!(arrival(&mut model, 0, 0, 1), Some(40 * MS));
    change(&mut model, &Change::Unshape { id: 1 }).unwrap();
    assert_eq!(arrival(&mut model, 0, 0, 1), Some(10 * MS));
}

#[test]
fn networks_and_changes_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut Network)| {
        let mut network = network(3);
        change(&mut network);
        LinkModel::new(&network).map(|_| ()).unwrap_err()
    };
    assert_eq!(
        refused(|n| n.nodes[2].ip = n.nodes[1].ip),
        NetworkError::AddressTwice(NodeId(2), Ipv4Addr::new(10, 0, 0, 2))
    );
    assert_eq!(
        refused(|n| n.nodes[0].ip = Ipv4Addr::new(10, 255, 255, 255)),
        NetworkError::BadAddress(NodeId(0), Ipv4Addr::new(10, 255, 255, 255))
    );
    assert_eq!(
        refused(|n| n.nodes[1].region = 1),
        NetworkError::UnknownRegion(NodeId(1), 1)
    );
    assert_eq!(
        refused(|n| n.regions.push("there".into())),
        NetworkError::PathsNotSquare
    );
    assert_eq!(
        refused(|n| n.nodes[1].down_bps = Some(0)),
        NetworkError::ZeroRate(NodeId(1))
    );
    assert_eq!(refused(|n| n.mtu = 500), NetworkError::MtuTooSmall(500));

    let mut model = LinkModel::new(&network(3)).unwrap();
    let overlap = Change::Partition {
        id: 1,
        groups: vec![vec![NodeId(0)], vec![NodeId(1), NodeId(0)]],
        one_way: false,
    };
    assert_eq!(
        change(&mut model, &overlap),
        Err(ChangeError::NodeInTwoGroups(NodeId(0)))
    );
    assert_eq!(
        change(&mut model, &Change::Silence { node: NodeId(3) }),
        Err(ChangeError::UnknownNode(NodeId(3)))
    );
    assert_eq!(
        model.send(Nanos::ZERO, NodeId(0), NodeId(3), 100),
        Err(DropReason::Unroutable)
    );
}

#[test]
fn golden_values_of_the_random_streams() {
    let mut network = network(3);
    network.seed = 42;
    network.paths[0][0].jitter = Nanos(5 * MS);
    network.nodes[0].loss = Loss::Bernoulli {
        chance: Loss::ONE / 4,
    };
    let mut model = LinkModel::new(&network).unwrap();
    let mut links = [Vec::new(), Vec::new(), Vec::new()];
    for n in 0..6 {
        for (link, (src, dst)) in links.iter_mut().zip([(0, 1), (1, 0), (0, 2)]) {
            link.push(arrival(&mut model, n * 10 * MS, src, dst));
        }
    }
    let some = |arrivals: [u64; 6]| arrivals.map(|at| (at > 0).then_some(at)).to_vec();
    assert_eq!(
        links,
        [
            some([
                11_258_926, 23_392_242, 31_045_425, 40_594_182, 54_585_006, 64_324_444
            ]),
            some([
                14_212_828, 23_013_277, 34_199_389, 42_657_775, 54_691_950, 62_666_245
            ]),
            some([
                14_773_666, 20_517_396, 34_045_491, 40_446_913, 51_139_780, 0
            ]),
        ]
    );
}

#[test]
fn a_node_that_joins_is_on_no_side_until_the_network_heals() {
    let mut model = LinkModel::new(&network(2)).unwrap();
    let partition = Change::Partition {
        id: 0,
        groups: vec![vec![NodeId(0)], vec![NodeId(1)]],
        one_way: false,
    };
    change(&mut model, &partition).unwrap();
    let link = network(3).nodes[2].clone();
    assert_eq!(model.join(&link), Ok(NodeId(2)));
    let twice = NetworkError::AddressTwice(NodeId(3), link.ip);
    assert_eq!(model.join(&link), Err(twice));
    for other in [0, 1] {
        assert_eq!(arrival(&mut model, 0, 2, other), None);
        assert_eq!(arrival(&mut model, 0, other, 2), None);
    }
    change(&mut model, &Change::Heal { id: 0 }).unwrap();
    for other in [0, 1] {
        assert!(arrival(&mut model, 0, 2, other).is_some());
        assert!(arrival(&mut model, 0, other, 2).is_some());
    }
    change(&mut model, &Change::Silence { node: NodeId(2) }).unwrap();
    assert_eq!(arrival(&mut model, 0, 0, 2), None);
}
