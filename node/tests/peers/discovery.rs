//! How nodes find each other.

use std::time::Duration;

use peerlab_node::Config;
use peerlab_node::peers::ConnectionKind;

use crate::world::*;

#[test]
fn fifty_nodes_that_know_three_find_each_other_by_gossip() {
    let mut world = World::new(1);
    let first: Vec<_> = (0..3).map(Node).collect();
    let nodes: Vec<_> = (0..50).map(|_| world.add(bootstrap_from(&first))).collect();
    world.run_until(secs(8), "eight automatic connections each", |w| {
        nodes[3..]
            .iter()
            .all(|n| w.count_of(*n, ConnectionKind::Automatic) >= 8)
    });
    // The first three are connected to by everybody, and need nobody else.
    assert!(first.iter().all(|n| world.peers_of(*n).len() >= 40));
    world.mine(nodes[49]);
    world.run_until(secs(3), "a block reaches all", |w| w.agree());
}

#[test]
fn fifty_nodes_find_each_other_through_a_seed_and_leave_it() {
    let mut world = World::new(2);
    let seed = world.add(Config::default());
    let config = Config {
        seed_nodes: vec![seed.addr()],
        ..Config::default()
    };
    let nodes: Vec<_> = (0..50).map(|_| world.add(config.clone())).collect();
    world.run_until(secs(20), "eight automatic connections each", |w| {
        nodes
            .iter()
            .all(|n| w.count_of(*n, ConnectionKind::Automatic) >= 8)
    });
    world.run(secs(60));
    let fetching = nodes
        .iter()
        .map(|n| world.count_of(*n, ConnectionKind::AddressFetch));
    assert_eq!(fetching.sum::<usize>(), 0);
    world.mine(nodes[0]);
    world.run_until(secs(3), "a block reaches all", |w| w.agree());
}

#[test]
fn a_hundred_nodes_that_start_at_once_are_connected_in_seconds() {
    let mut world = World::new(3);
    let first: Vec<_> = (0..3).map(Node).collect();
    let nodes: Vec<_> = (0..100)
        .map(|_| world.add(bootstrap_from(&first)))
        .collect();
    world.run(secs(5));
    world.mine(nodes[99]);
    world.run_until(secs(3), "a block reaches all", |w| w.agree());
}

#[test]
fn more_nodes_than_a_bootstrap_node_has_places_for_still_find_each_other() {
    let mut world = World::new(4);
    let first = [Node(0)];
    let small = Config {
        connections_max: 30,
        ..Config::default()
    };
    let nodes: Vec<_> = (0..120)
        .map(|n| {
            let known = if n == 0 { &[][..] } else { &first };
            world.add(Config {
                connections_max: small.connections_max,
                ..bootstrap_from(known)
            })
        })
        .collect();
    world.run_until(secs(90), "everybody has eight outbound connections", |w| {
        nodes[1..].iter().all(|n| {
            let outbound = w
                .peers_of(*n)
                .iter()
                .filter(|p| !p.kind.is_inbound())
                .count();
            outbound >= 8
        })
    });
    assert!(nodes.iter().all(|n| world.peers_of(*n).len() <= 32));
    world.mine(nodes[50]);
    world.run_until(secs(5), "a block reaches all", |w| w.agree());
}

#[test]
fn a_partition_longer_than_every_timeout_heals_without_fixed_connections() {
    let mut world = World::new(5);
    let seed = world.add(Config::default());
    let config = Config {
        seed_nodes: vec![seed.addr()],
        ..Config::default()
    };
    let nodes: Vec<_> = (0..40).map(|_| world.add(config.clone())).collect();
    world.run(secs(20));
    world.partition(|n| u32::from(n.0 % 2 == 0));
    world.run(secs(20));
    for _ in 0..4 {
        world.mine(nodes[1]);
        world.run(secs(10));
    }
    // Whoever announces it notices that nobody answers.
    world.mine(nodes[2]);
    world.run(secs(20));
    let across = |w: &World| {
        nodes.iter().any(|n| {
            w.peers_of(*n).iter().any(|p| {
                (p.addr.ip() != n.addr().ip())
                    && w.nodes()
                        .iter()
                        .any(|o| o.addr().ip() == p.addr.ip() && o.0 % 2 != n.0 % 2)
            })
        })
    };
    assert!(!across(&world), "the sides have lost each other");
    world.heal();
    world.run_until(secs(15), "one chain", |w| w.agree());
    world.run(secs(60));
    assert!(across(&world), "some connections across remain");
}

#[test]
fn a_node_does_not_stay_connected_to_itself() {
    let mut world = World::new(6);
    let node = world.add(bootstrap_from(&[Node(0)]));
    world.run(secs(5));
    assert_eq!(world.peers_of(node).len(), 0);
    assert!(
        world
            .all_reasons(node)
            .iter()
            .all(|r| *r == "connected to self")
    );
    let dials = world.all_reasons(node).len();
    world.run(secs(120));
    assert_eq!(
        world.all_reasons(node).len(),
        dials,
        "it does not try again"
    );
}

#[test]
fn a_network_smaller_than_the_connections_aimed_at_falls_silent() {
    let mut world = World::new(7);
    let nodes: Vec<_> = (0..4)
        .map(|_| world.add(bootstrap_from(&[Node(0)])))
        .collect();
    world.run(secs(30));
    for node in &nodes {
        let peers: std::collections::BTreeSet<_> =
            world.peers_of(*node).iter().map(|p| p.addr.ip()).collect();
        assert_eq!(peers.len(), 3);
    }
    let total = |w: &World| -> u64 {
        nodes
            .iter()
            .map(|n| w.machine(*n).totals().sent.total())
            .sum()
    };
    let before = total(&world);
    world.run(secs(600));
    let rate = (total(&world) - before) / 600 / 4;
    assert!(rate < 150, "{rate} bytes a second and node, doing nothing");
}

#[test]
fn the_operator_adds_removes_bans_and_disconnects() {
    let mut world = World::new(8);
    let a = world.add(connect_to(&[]));
    let b = world.add(connect_to(&[]));
    let now = world.now;
    assert!(world.command(a, |m| m.add_node(now, b.addr())));
    assert!(!world.command(a, |m| m.add_node(now, b.addr())));
    world.run(secs(1));
    assert_eq!(world.count_of(a, ConnectionKind::Manual), 1);

    let now = world.now;
    assert!(world.command(a, |m| m.disconnect_node(now, b.addr())));
    world.run(Duration::from_millis(50));
    assert_eq!(world.peers_of(a).len(), 0);
    world.run(secs(2));
    assert_eq!(
        world.peers_of(a).len(),
        1,
        "an added node is connected to again"
    );

    let now = world.now;
    let subnet: peerlab_node::peers::Subnet = "10.0.0.0/24".parse().unwrap();
    world.command(b, |m| m.set_ban(now, subnet, now + secs(30)));
    world.run(secs(20));
    assert_eq!(world.peers_of(b).len(), 0);
    assert!(world.reasons(b, a).iter().all(|r| *r == "banned"));
    world.run_until(secs(90), "a ban ends", |w| w.peers_of(b).len() == 1);
    assert!(world.command(a, |m| m.remove_node(b.addr())));
}
