//! How a block is announced on: at once in the compact form, by headers, or by its old name; and which
//! form of a block is asked for and given.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use peerlab_node::Config;
use peerlab_node::wire::{Command, Message};

use super::*;
use crate::puppet::*;

#[test]
fn a_block_goes_over_three_hops_without_one_whole_block() {
    let mut world = World::new(1);
    let nodes = line(&mut world, 4);
    for n in 0..6 {
        for k in 0..3 {
            world.submit(nodes[n % 4], &spend_past(3 * n + k, 0));
        }
        world.run(secs(20));
        world.mine(nodes[0]);
        world.run_until(secs(2), "it is everywhere", |w| w.agree());
    }
    assert_eq!(received(&world, &nodes, Command::Block), 0);
    assert_eq!(received(&world, &nodes, Command::GetBlockTxn), 0);
    // Header, nonce, two counts, three short ids, and the prefilled coinbase with its place.
    let tip = world.tip(nodes[0]);
    let block = world
        .machine(nodes[0])
        .chain()
        .block(&tip)
        .unwrap()
        .unwrap();
    assert_eq!(block.txdata.len(), 4);
    let one = 24 + 80 + 8 + 1 + 3 * 6 + 1 + 1 + block.txdata[0].total_size() as u64;
    let all = received(&world, &nodes, Command::CmpctBlock);
    assert!(
        (6 * 3 * one - 40..=6 * 3 * one).contains(&all),
        "{all} of {one}"
    );
    // The first one had to be asked for; then all came unasked.
    let requests = received(&world, &nodes, Command::GetData);
    let one = 24 + 1 + 36;
    let transactions = 6 * 3 * 3;
    assert!(requests <= (transactions + 3) * one, "{requests}");
}

#[test]
fn who_asked_for_high_bandwidth_hears_at_once_and_others_by_headers() {
    let mut stage = Stage::set(2);
    let Stage {
        world,
        node,
        puppet,
        link,
        ..
    } = &mut stage;
    world.say(*puppet, *link, Message::SendHeaders);
    world.run(secs(1));
    world.heard(*puppet);
    world.mine(*node);
    world.run(secs(1));
    let heard = world.heard(*puppet);
    assert!(
        matches!(&heard[..], [Message::Headers(h)] if h.len() == 1),
        "{heard:?}"
    );
    world.say(*puppet, *link, HIGH);
    world.run(secs(1));
    world.mine(*node);
    world.run(secs(1));
    let heard = world.heard(*puppet);
    // The parent was announced to it.
    assert!(matches!(&heard[..], [Message::CmpctBlock(_)]), "{heard:?}");
    world.say(*puppet, *link, LOW);
    world.run(secs(1));
    world.mine(*node);
    world.run(secs(1));
    assert!(matches!(&world.heard(*puppet)[..], [Message::Headers(_)]));
}

#[test]
fn who_lacks_more_than_one_block_is_told_by_headers() {
    let mut stage = Stage::set(3);
    stage.say(HIGH);
    stage.say(Message::SendHeaders);
    let Stage { world, node, .. } = &mut stage;
    let blocks = blocks_in_a_row(3);
    // The node gets the first two in the wrong order: both join the chain at once.
    let other = world.add_puppet();
    let link = world.puppet_joins(other, *node, 0);
    let headers: Vec<_> = blocks[..2].iter().map(|b| b.header).collect();
    world.say(other, link, Message::Headers(headers.into()));
    for n in [1, 0] {
        world.say(other, link, Message::Block(Arc::clone(&blocks[n])));
    }
    world.run(secs(1));
    let heard = stage.world.heard(stage.puppet);
    assert!(
        matches!(&heard[..], [Message::Headers(h)] if h.len() == 2),
        "{heard:?}"
    );
}

#[test]
fn without_sendheaders_and_wtxidrelay_the_old_names_are_told() {
    let mut world = World::new(4);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.join(puppet, node);
    let version = puppet_version(puppet, PAST_BLOCKS as i32);
    world.say(puppet, link, version);
    world.say(puppet, link, Message::Verack);
    world.run(secs(1));
    world.heard(puppet);
    let tx = spend_past(0, 0);
    world.submit(node, &tx);
    world.run(secs(10));
    let heard = world.heard(puppet);
    let by_txid = Message::Inv(vec![Inventory::Transaction(tx.compute_txid())]);
    assert!(heard.contains(&by_txid), "{heard:?}");
    let block = world.mine(node);
    world.run(secs(1));
    let heard = world.heard(puppet);
    assert_eq!(heard, [Message::Inv(vec![Inventory::Block(block)])]);
    // BIP339 beside it: to who said wtxidrelay all is announced by wtxid.
    let modern = world.add_puppet();
    world.puppet_joins(modern, node, PAST_BLOCKS as i32);
    let tx = spend_past(1, 0);
    world.submit(node, &tx);
    world.run(secs(10));
    let heard = world.heard(modern);
    assert!(heard.contains(&Message::Inv(vec![Inventory::WTx(tx.compute_wtxid())])));
}

#[test]
fn a_compact_block_is_passed_on_as_it_came() {
    let mut stage = Stage::set(5);
    let tx = spend_past(0, 0);
    stage.world.submit(stage.node, &tx);
    let listener = stage.world.add_puppet();
    let link = stage
        .world
        .puppet_joins(listener, stage.node, PAST_BLOCKS as i32);
    stage.world.say(listener, link, HIGH);
    // Only who is known to have the parent is sent a compact block.
    let has_tip = Message::Headers(vec![tip_of_past()].into());
    stage.world.say(listener, link, has_tip);
    stage.world.run(secs(1));
    stage.world.heard(listener);
    let block = block_with(&[tx]);
    let Message::CmpctBlock(sent) = compact(&block) else {
        unreachable!("it is a compact block");
    };
    stage.say(Message::CmpctBlock(Arc::clone(&sent)));
    let heard = stage.world.heard(listener);
    let passed = heard
        .iter()
        .any(|m| matches!(m, Message::CmpctBlock(passed) if Arc::ptr_eq(passed, &sent)));
    assert!(passed, "{heard:?}");
}

#[test]
fn nodes_of_one_process_hold_a_block_that_each_put_together_once() {
    let mut world = World::new(39);
    world.share_chains();
    let nodes = line(&mut world, 4);
    for n in 0..2 {
        world.submit(nodes[0], &spend_past(n, 0));
        world.run(secs(20));
        world.mine(nodes[0]);
        world.run_until(secs(2), "it is everywhere", |w| w.agree());
    }
    assert_eq!(received(&world, &nodes, Command::Block), 0);
    let held = |n: &Node| world.machine(*n).chain().block(&world.tip(*n));
    let held: Vec<_> = nodes.iter().map(|n| held(n).unwrap().unwrap()).collect();
    assert_eq!(held[0].txdata.len(), 2);
    assert!(held.iter().all(|block| Arc::ptr_eq(block, &held[0])));
}

#[test]
fn a_node_without_a_mempool_of_others_asks_for_whole_blocks() {
    let config = Config {
        relay_transactions: false,
        ..connect_to(&[])
    };
    let mut stage = Stage::set_with(26, config);
    let blocks = blocks_in_a_row(2);
    let heard = stage.say(compact(&blocks[0]));
    assert!(
        heard.iter().any(|m| asks_for_whole(m, &blocks[0])),
        "{heard:?}"
    );
    stage.say(Message::Block(Arc::clone(&blocks[0])));
    assert!(stage.has(&blocks[0]));
    assert_eq!(chosen(&stage.world, stage.node), []);
    let heard = stage.say(Message::Headers(vec![blocks[1].header].into()));
    assert!(
        heard.iter().any(|m| asks_for_whole(m, &blocks[1])),
        "{heard:?}"
    );
}

#[test]
fn the_next_block_is_asked_for_in_the_compact_form_and_several_are_not() {
    let blocks = blocks_in_a_row(2);
    let mut stage = Stage::set(27);
    let heard = stage.say(Message::Headers(vec![blocks[0].header].into()));
    let wanted = Inventory::CompactBlock(blocks[0].block_hash());
    assert!(heard.contains(&Message::GetData(vec![wanted])), "{heard:?}");
    // A whole block is an answer as well.
    stage.say(Message::Block(Arc::clone(&blocks[0])));
    assert!(stage.has(&blocks[0]));
    let mut stage = Stage::set(28);
    let headers: Vec<_> = blocks.iter().map(|b| b.header).collect();
    let heard = stage.say(Message::Headers(headers.into()));
    let wanted = blocks
        .iter()
        .map(|b| Inventory::WitnessBlock(b.block_hash()));
    assert!(
        heard.contains(&Message::GetData(wanted.collect())),
        "{heard:?}"
    );
}

#[test]
fn recent_blocks_are_given_in_the_compact_form_and_older_ones_whole() {
    let mut stage = Stage::set(29);
    let at = |depth: usize| &past()[PAST_BLOCKS as usize - 1 - depth];
    for (depth, is_compact) in [(0, true), (5, true), (6, false), (40, false)] {
        let block = at(depth);
        let wanted = vec![Inventory::CompactBlock(block.block_hash())];
        let heard = stage.say(Message::GetData(wanted));
        match (&heard[..], is_compact) {
            ([Message::CmpctBlock(given)], true) => assert_eq!(given.hash(), block.block_hash()),
            ([Message::Block(given)], false) => assert_eq!(given, block),
            _ => panic!("at {depth}: {heard:?}"),
        }
        let twice = Message::GetData(vec![Inventory::CompactBlock(block.block_hash())]);
        assert_eq!(stage.say(twice), heard, "made once, with one nonce");
    }
    let unknown = vec![Inventory::CompactBlock(BlockHash::from_byte_array([4; 32]))];
    let heard = stage.say(Message::GetData(unknown.clone()));
    assert_eq!(heard, [Message::NotFound(unknown)]);
    for (depth, is_single) in [(0, true), (10, true), (11, false)] {
        let block = at(depth);
        let heard = stage.say(getblocktxn(block.block_hash(), [0]));
        let coinbase = Arc::new(block.txdata[0].clone());
        match is_single {
            true => assert_eq!(heard, [blocktxn(block, &[coinbase])]),
            false => assert_eq!(heard, [Message::Block(Arc::clone(block))]),
        }
    }
    assert!(stage.reasons().is_empty());
}
