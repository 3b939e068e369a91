//! Blocks: first download, announcements, partitions, and peers that do not deliver.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use peerlab_node::wire::{Command, CompactBlock, LocatorRequest, Message};

use crate::ledger::*;
use crate::world::*;

/// A ring of nodes with the common past.
fn ring(world: &mut World, count: usize) -> Vec<Node> {
    let first = world.nodes().len();
    (first..first + count)
        .map(|n| {
            let next = first + (n - first + 1) % count;
            world.add(connect_to(&[Node(next)]))
        })
        .collect()
}

#[test]
fn a_node_without_blocks_fetches_the_chain_from_its_peers() {
    let mut world = World::new(1);
    let full: Vec<_> = (0..3).map(|_| world.add(connect_to(&[]))).collect();
    let fresh = world.add_fresh(connect_to(&full));
    world.run_until(secs(10), "the chain is fetched", |w| {
        w.height(fresh) == PAST_BLOCKS
    });
    assert!(world.agree());
    let givers = world
        .peers_of(fresh)
        .iter()
        .filter(|p| p.last_block.is_some())
        .count();
    assert_eq!(givers, 3, "blocks came from every peer");
}

#[test]
fn a_long_chain_takes_several_messages_of_headers() {
    let mut world = World::new(2);
    let miner = world.add(connect_to(&[]));
    for _ in 0..4_500 {
        world.mine(miner);
    }
    let others: Vec<_> = (0..2).map(|_| world.add(connect_to(&[miner]))).collect();
    let fresh = world.add_fresh(connect_to(&[miner, others[0], others[1]]));
    world.run_until(secs(120), "everyone has it", |w| w.agree());
    let headers: u64 = world
        .peers_of(fresh)
        .iter()
        .map(|p| p.traffic.received.of(Command::Headers))
        .sum();
    assert!(
        headers < 2 * 4_620 * 81,
        "headers were asked of one peer mostly: {headers} bytes"
    );
}

#[test]
fn a_new_block_reaches_a_ring_by_headers_and_each_node_once() {
    let mut world = World::new(3);
    let nodes = ring(&mut world, 20);
    world.run(secs(3));
    let bytes_before: u64 = block_bytes(&world, &nodes);
    world.mine(nodes[0]);
    world.run_until(secs(5), "all have the block", |w| w.agree());
    world.run(secs(1));
    let compact = CompactBlock::of(&past()[7], 0).unwrap();
    let one = u64::from(Message::CmpctBlock(Arc::new(compact)).wire_size());
    let spent = block_bytes(&world, &nodes) - bytes_before;
    assert!(
        (19 * one - 100..=19 * one + 2_000).contains(&spent),
        "{spent} bytes, block {one}"
    );
    let inv: u64 = world
        .peers_of(nodes[3])
        .iter()
        .map(|p| p.traffic.sent.of(Command::Inv))
        .sum();
    assert_eq!(inv, 0, "announced by headers");
}

/// Bytes of blocks in either form.
fn block_bytes(world: &World, nodes: &[Node]) -> u64 {
    let received = nodes.iter().map(|n| world.machine(*n).totals().received);
    received
        .map(|bytes| bytes.of(Command::Block) + bytes.of(Command::CmpctBlock))
        .sum()
}

#[test]
fn after_a_partition_the_side_with_less_work_reorganises() {
    let mut world = World::new(4);
    let nodes = ring(&mut world, 8);
    world.run(secs(3));
    world.partition(|n| u32::from(n.0 < 4));
    for _ in 0..3 {
        world.mine(nodes[0]);
        world.run(secs(5));
    }
    for _ in 0..5 {
        world.mine(nodes[6]);
        world.run(secs(5));
    }
    assert_eq!(
        (world.height(nodes[1]), world.height(nodes[5])),
        (PAST_BLOCKS + 3, PAST_BLOCKS + 5)
    );
    world.heal();
    world.run_until(secs(15), "one chain", |w| w.agree());
    assert_eq!(world.height(nodes[1]), PAST_BLOCKS + 5);
    assert_eq!(world.reorgs(nodes[1]), [3]);
    assert_eq!(world.reorgs(nodes[5]), [0; 0]);
}

#[test]
fn a_partition_shorter_than_the_peer_timeout_heals_on_the_same_connections() {
    let mut world = World::new(5);
    let nodes = ring(&mut world, 4);
    world.run(secs(3));
    world.partition(|n| u32::from(n.0 < 2));
    world.run(secs(1));
    world.mine(nodes[0]);
    world.run(secs(6));
    world.heal();
    world.run_until(secs(3), "one chain", |w| w.agree());
    assert!(nodes.iter().all(|n| world.all_reasons(*n).is_empty()));
}

#[test]
fn equal_work_on_two_sides_is_settled_by_the_next_block() {
    let mut world = World::new(6);
    let nodes = ring(&mut world, 6);
    world.run(secs(3));
    world.partition(|n| u32::from(n.0 < 3));
    world.mine(nodes[0]);
    world.mine(nodes[4]);
    world.run(secs(30));
    world.heal();
    world.run(secs(15));
    assert!(!world.agree(), "first seen stays");
    world.mine(nodes[1]);
    world.run_until(secs(5), "one chain", |w| w.agree());
}

#[test]
fn a_peer_that_does_not_deliver_is_passed_over_and_then_let_go() {
    let mut world = World::new(7);
    let miner = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let fresh = world.add_fresh(connect_to(&[]));
    let link = world.puppet_joins(puppet, fresh, PAST_BLOCKS as i32);
    // The puppet gives headers, and keeps the bodies.
    let headers: Vec<_> = past().iter().map(|b| b.header).collect();
    world.say(puppet, link, Message::Headers(headers.into()));
    let heard = world.run_answering(secs(1), puppet);
    assert!(heard.iter().any(|m| matches!(m, Message::GetData(_))));
    world.command(fresh, |m| m.add_node(START, miner.addr()));
    world.run_until(secs(20), "others deliver", |w| {
        w.height(fresh) == PAST_BLOCKS
    });
    assert!(
        world.reasons(fresh, puppet).is_empty(),
        "one stall is forgiven"
    );

    // Alone with headers that nobody can fill, it stalls to the end.
    let secret = world.machine(miner);
    let block = mine_on(secret.chain(), secret.mempool(), START.unix_secs(), 77);
    world.say(puppet, link, Message::Headers(vec![block.header].into()));
    world.run_answering(secs(90), puppet);
    assert_eq!(world.reasons(fresh, puppet), ["block download stalled"]);
    world.mine(miner);
    world.run_until(secs(5), "an honest block gets through", |w| {
        w.tip(fresh) == w.tip(miner)
    });
}

#[test]
fn bodies_withheld_for_the_best_headers_do_not_stop_an_honest_chain() {
    let mut world = World::new(8);
    let honest = world.add(connect_to(&[]));
    let node = world.add(connect_to(&[honest]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, PAST_BLOCKS as i32);
    // Ten blocks of a secret chain, headers only.
    let mut secret = chain_with_past();
    let mut headers = Vec::new();
    for n in 0..10 {
        let now = START.unix_secs();
        let block = mine_on(
            &secret,
            &peerlab_node::mempool::Mempool::new(),
            now,
            900 + n,
        );
        secret.accept_block(now, Arc::clone(&block)).unwrap();
        headers.push(block.header);
    }
    world.say(puppet, link, Message::Headers(headers.into()));
    world.run(secs(1));
    assert_eq!(
        world.machine(node).chain().best_header().height,
        PAST_BLOCKS + 10
    );
    for _ in 0..3 {
        world.mine(honest);
        world.run(secs(1));
        assert_eq!(world.tip(node), world.tip(honest));
    }
}

#[test]
fn headers_and_blocks_are_served_as_asked() {
    let mut world = World::new(9);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, 0);
    world.heard(puppet);
    let locator = vec![past()[9].block_hash()];
    world.say(
        puppet,
        link,
        Message::GetHeaders(Box::new(LocatorRequest {
            locator,
            stop: BlockHash::all_zeros(),
        })),
    );
    let unknown = BlockHash::from_byte_array([9; 32]);
    world.say(
        puppet,
        link,
        Message::GetData(vec![
            Inventory::WitnessBlock(past()[20].block_hash()),
            Inventory::WitnessBlock(unknown),
            Inventory::Block(past()[21].block_hash()),
        ]),
    );
    world.run(secs(1));
    let heard = world.heard(puppet);
    let headers: Vec<_> = past()[10..].iter().map(|b| b.header).collect();
    assert!(heard.contains(&Message::Headers(headers.into())));
    assert!(heard.contains(&Message::Block(Arc::clone(&past()[20]))));
    assert!(heard.contains(&Message::NotFound(vec![Inventory::WitnessBlock(unknown)])));
    let stripped = heard.iter().any(|m| match m {
        Message::Block(b) => {
            b.header == past()[21].header && b.txdata[0].input[0].witness.is_empty()
        }
        _ => false,
    });
    assert!(
        stripped,
        "a block asked for in the old way has no witnesses"
    );
}
