//! Compact forms, and questions for parts of them, that no sound peer sends.

use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Amount, Block, BlockHash, Txid};
use peerlab_node::chain::template;
use peerlab_node::wire::Message;

use super::*;

#[test]
fn getblocktxn_of_places_that_a_block_does_not_have() {
    let mut stage = Stage::set(30);
    let unknown = BlockHash::from_byte_array([4; 32]);
    for (block, place) in [(unknown, 9), (past()[119].block_hash(), 1)] {
        stage.say(getblocktxn(block, [place]));
    }
    assert_eq!(
        stage.reasons(),
        ["getblocktxn with a place that the block does not have"]
    );
    stage.lives_on();
}

#[test]
fn a_compact_block_without_work() {
    let mut stage = Stage::set(31);
    let mut block = Block::clone(&block_with(&[]));
    let without_work = |header: &Header| header.validate_pow(header.target()).is_err();
    while !without_work(&block.header) {
        block.header.nonce += 1;
    }
    stage.say(compact(&Arc::new(block)));
    assert_eq!(stage.reasons(), ["invalid header: high-hash"]);
    stage.lives_on();
}

#[test]
fn a_compact_block_whose_parent_is_unknown_leads_to_its_headers() {
    let mut stage = Stage::set(32);
    let blocks = blocks_in_a_row(2);
    let heard = stage.say(compact(&blocks[1]));
    assert!(
        heard.iter().any(|m| matches!(m, Message::GetHeaders(_))),
        "{heard:?}"
    );
    assert_eq!(places_asked(&heard), [[0u16; 0]; 0]);
    stage.say(Message::Headers(
        vec![blocks[0].header, blocks[1].header].into(),
    ));
    for block in &blocks {
        stage.say(Message::Block(Arc::clone(block)));
    }
    assert!(stage.has(&blocks[1]));
    assert!(stage.reasons().is_empty());
}

#[test]
fn compact_blocks_that_connect_to_nothing_again_and_again() {
    let mut stage = Stage::set(33);
    for n in 0..11 {
        let mut block = Block::clone(&block_with(&[]));
        block.header.prev_blockhash = BlockHash::from_byte_array([n + 1; 32]);
        assert!(template::mine(&mut block));
        stage.say(compact(&Arc::new(block)));
    }
    assert_eq!(stage.reasons(), ["headers that connect to nothing"]);
}

#[test]
fn a_blocktxn_that_nobody_asked_for() {
    let mut stage = Stage::set(34);
    let block = block_with(&[spend_past(0, 0)]);
    let heard = stage.say(blocktxn(&block, &[spend_past(0, 0)]));
    assert_eq!(heard, []);
    assert!(stage.reasons().is_empty());
    assert_eq!(stage.world.height(stage.node), PAST_BLOCKS);
    stage.lives_on();
}

#[test]
fn an_invalid_block_in_the_compact_form_may_come_from_an_honest_peer() {
    let mut stage = Stage::set(35);
    let mut block = Block::clone(&block_with(&[]));
    block.txdata[0].output[0].value += Amount::from_sat(1);
    template::commit_to_body(&mut block);
    assert!(template::mine(&mut block));
    let block = Arc::new(block);
    stage.say(compact(&block));
    // Also when it comes again.
    stage.say(compact(&block));
    assert!(stage.reasons().is_empty());
    assert_eq!(stage.world.height(stage.node), PAST_BLOCKS);
    stage.lives_on();
}

#[test]
fn a_compact_block_on_a_branch_with_less_work_is_not_put_together() {
    let mut stage = Stage::set(36);
    let blocks = blocks_in_a_row(2);
    for block in &blocks {
        stage.say(Message::Block(Arc::clone(block)));
    }
    let rival = block_with(&[spend_past(0, 0)]);
    let heard = stage.say(compact(&rival));
    assert_eq!(heard, []);
    assert!(stage.has(&blocks[1]));
    assert!(stage.reasons().is_empty());
}

#[test]
fn a_getdata_of_nonsense_does_not_stop_the_rest() {
    let mut stage = Stage::set(38);
    let block = &past()[119];
    let txid = Txid::from_byte_array([1; 32]);
    let heard = stage.say(Message::GetData(vec![
        Inventory::Transaction(txid),
        Inventory::CompactBlock(block.block_hash()),
    ]));
    assert!(matches!(
        &heard[..],
        [Message::CmpctBlock(_), Message::NotFound(_)]
    ));
}
