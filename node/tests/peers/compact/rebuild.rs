//! From a compact form to the block: what the node has, what is asked for, and when the whole block
//! is the shorter way.

use std::sync::Arc;

use bitcoin::Transaction;
use peerlab_node::wire::{Command, Message};

use super::*;

#[test]
fn missing_transactions_cost_one_more_round_trip() {
    let mut world = World::new(6);
    let nodes = line(&mut world, 3);
    for n in 0..3 {
        // Mined before they are announced.
        world.submit(nodes[0], &spend_past(2 * n, 0));
        world.submit(nodes[0], &spend_past(2 * n + 1, 0));
        world.mine(nodes[0]);
        world.run_until(secs(2), "it is everywhere", |w| w.agree());
        world.run(secs(5));
    }
    assert_eq!(received(&world, &nodes, Command::Block), 0);
    assert!(received(&world, &nodes, Command::BlockTxn) > 6 * 60);
    let header = 24 + 32;
    let request = received(&world, &nodes, Command::GetBlockTxn);
    assert_eq!(request, 6 * (header + 3), "one each, of two places");
    for node in &nodes[1..] {
        let tally = world.machine(*node).compact_tally();
        assert_eq!((tally.rebuilt, tally.asked, tally.missing), (0, 3, 6));
        // Three round trips of 40 to 80 ms.
        let waited = tally.waited.as_millis();
        assert!((120..=240).contains(&waited), "{waited} ms");
    }
}

#[test]
fn it_is_counted_how_compact_blocks_served_a_node() {
    let mut stage = Stage::set(11);
    let known = spend_past(0, 0);
    stage.world.submit(stage.node, &known);
    let counts = |stage: &Stage| {
        let tally = stage.world.machine(stage.node).compact_tally();
        (tally.rebuilt, tally.asked, tally.missing)
    };
    let block = block_with(&[known]);
    stage.say(compact(&block));
    assert_eq!(counts(&stage), (1, 0, 0));
    // Of a block that is here already nothing is put together.
    stage.say(compact(&block));
    assert_eq!(counts(&stage), (1, 0, 0));
    // Asked for as a whole, since short ids collide; said twice, it is one block still.
    let mut chain = chain_with_past();
    chain.accept_block(START.unix_secs(), block).unwrap();
    let next = block_on(&chain, &[spend_past(1, 0)], 6);
    stage.world.submit(stage.node, &spend_past(2, 0));
    let colliding = compact_naming(&next, &[spend_past(2, 0)]);
    stage.say(colliding.clone());
    stage.say(colliding);
    assert_eq!(counts(&stage), (1, 1, 0));
    let waited = |stage: &Stage| stage.world.machine(stage.node).compact_tally().waited;
    assert_eq!(waited(&stage), std::time::Duration::ZERO);
    stage.say(Message::Block(next));
    assert_eq!(counts(&stage), (1, 1, 0));
    assert!(waited(&stage) >= std::time::Duration::from_secs(2));
}

#[test]
fn only_what_is_missing_is_asked_for_and_the_puppet_s_answer_completes_the_block() {
    let mut stage = Stage::set(7);
    let known: Vec<_> = (0..3).map(|n| spend_past(n, 0)).collect();
    let secret: Vec<_> = (3..5).map(|n| spend_past(n, 0)).collect();
    for tx in &known {
        stage.world.submit(stage.node, tx);
    }
    let block = block_with(&[&known[..], &secret].concat());
    let is_secret = |tx: &Transaction| secret.iter().any(|s| **s == *tx);
    let missing: Vec<u16> = (1..=5)
        .filter(|at| is_secret(&block.txdata[usize::from(*at)]))
        .collect();
    let heard = stage.say(compact(&block));
    assert_eq!(places_asked(&heard), std::slice::from_ref(&missing));
    let in_flight = |w: &World, node| {
        let peers = w.peers_of(node);
        peers
            .iter()
            .map(|p| p.sync.blocks_in_flight())
            .sum::<usize>()
    };
    assert_eq!(in_flight(&stage.world, stage.node), 1);
    let given: Vec<_> = missing
        .iter()
        .map(|at| Arc::new(block.txdata[usize::from(*at)].clone()))
        .collect();
    stage.say(blocktxn(&block, &given));
    assert!(stage.has(&block));
    assert_eq!(in_flight(&stage.world, stage.node), 0);
    assert!(stage.reasons().is_empty());
    stage.lives_on();
}

#[test]
fn what_the_mempool_refused_and_what_waits_for_its_parent_are_found_too() {
    let mut stage = Stage::set(8);
    stage.world.submit(stage.node, &spend_past(0, 0));
    let rival = spend_past(0, 1);
    let parent = spend_past(1, 0);
    let child = spend(parent.compute_txid(), parent.output[0].value, 0);
    stage.say(Message::Tx(Arc::clone(&rival).into()));
    stage.say(Message::Tx(Arc::clone(&child).into()));
    assert_eq!(stage.world.machine(stage.node).mempool().len(), 1);
    let block = block_with(&[rival, parent, child]);
    let heard = stage.say(compact(&block));
    let missing = places_asked(&heard);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].len(), 1, "the parent only");
    let parent = &block.txdata[usize::from(missing[0][0])];
    assert_eq!(*parent, *spend_past(1, 0));
    stage.say(blocktxn(&block, &[spend_past(1, 0)]));
    assert!(stage.has(&block));
}

#[test]
fn a_transaction_that_a_block_drove_out_is_found_in_the_rival_block() {
    let mut stage = Stage::set(9);
    let (ours, theirs) = (spend_past(0, 0), spend_past(0, 1));
    stage.world.submit(stage.node, &ours);
    // The first branch confirms the one, a longer one the other.
    stage.say(Message::Block(block_with(&[theirs])));
    assert!(!stage.world.has_tx(stage.node, &ours));
    let mut chain = chain_with_past();
    let bottom = block_on(&chain, &[], 1);
    chain
        .accept_block(START.unix_secs(), Arc::clone(&bottom))
        .unwrap();
    let top = block_on(&chain, &[ours], 2);
    stage.say(Message::Block(bottom));
    let heard = stage.say(compact(&top));
    assert_eq!(places_asked(&heard), [[0u16; 0]; 0]);
    assert!(stage.has(&top));
}

#[test]
fn a_short_id_collision_leads_to_the_whole_block() {
    let mut stage = Stage::set(10);
    let (ours, theirs) = (spend_past(0, 0), spend_past(1, 0));
    stage.world.submit(stage.node, &ours);
    let block = block_with(&[theirs]);
    // As if both transactions had the same short id.
    let heard = stage.say(compact_naming(&block, &[ours]));
    assert!(heard.iter().any(|m| asks_for_whole(m, &block)), "{heard:?}");
    stage.say(Message::Block(Arc::clone(&block)));
    assert!(stage.has(&block));
    assert!(stage.reasons().is_empty());
    stage.lives_on();
}

#[test]
fn twins_within_a_block_lead_to_the_whole_block() {
    let mut stage = Stage::set(11);
    let block = block_with(&[spend_past(0, 0), spend_past(1, 0)]);
    let heard = stage.say(compact_naming(
        &block,
        &[spend_past(0, 0), spend_past(0, 0)],
    ));
    assert!(heard.iter().any(|m| asks_for_whole(m, &block)), "{heard:?}");
    stage.say(Message::Block(Arc::clone(&block)));
    assert!(stage.has(&block));
    assert!(stage.reasons().is_empty());
}

#[test]
fn a_blocktxn_whose_error_a_collision_explains_leads_to_the_whole_block() {
    let mut stage = Stage::set(12);
    let block = block_with(&[spend_past(0, 0)]);
    let other = spend_past(1, 0);
    let heard = stage.say(compact_naming(&block, &[Arc::clone(&other)]));
    assert_eq!(places_asked(&heard), [[1]]);
    let heard = stage.say(blocktxn(&block, &[other]));
    assert!(heard.iter().any(|m| asks_for_whole(m, &block)), "{heard:?}");
    stage.say(Message::Block(Arc::clone(&block)));
    assert!(stage.has(&block));
    assert!(stage.reasons().is_empty());
}

#[test]
fn where_nearly_all_is_missing_the_whole_block_is_asked_for() {
    let mut stage = Stage::set(17);
    let transactions: Vec<_> = (0..18).map(|n| spend_past(n, 0)).collect();
    let block = block_with(&transactions);
    let heard = stage.say(compact(&block));
    assert!(heard.iter().any(|m| asks_for_whole(m, &block)), "{heard:?}");
    // With two of them here, single ones are asked for.
    let mut stage = Stage::set(18);
    for tx in &transactions[..2] {
        stage.world.submit(stage.node, tx);
    }
    let heard = stage.say(compact(&block));
    assert_eq!(places_asked(&heard)[0].len(), 16);
}

#[test]
fn orphans_of_a_block_that_was_put_together_enter_the_mempool() {
    let mut stage = Stage::set(37);
    let parent = spend_past(0, 0);
    let child = spend(parent.compute_txid(), parent.output[0].value, 0);
    stage.say(Message::Tx(Arc::clone(&child).into()));
    let block = block_with(&[Arc::clone(&parent)]);
    stage.say(compact(&block));
    stage.say(blocktxn(&block, &[parent]));
    assert!(stage.has(&block));
    assert!(stage.world.has_tx(stage.node, &child));
}
