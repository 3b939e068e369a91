//! Blocks that are being put together: bounded in number, and none is held back by a peer that does
//! not deliver.

use std::sync::Arc;

use super::*;

#[test]
fn a_blocktxn_of_other_transactions_is_a_lie_and_the_block_comes_from_elsewhere() {
    for (seed, given) in [
        (13, vec![]),
        (14, vec![1]),
        (15, vec![0, 1]),
        (16, vec![0, 0]),
    ] {
        let mut stage = Stage::set(seed);
        let block = block_with(&[spend_past(0, 0)]);
        let heard = stage.say(compact(&block));
        assert_eq!(places_asked(&heard), [[1]]);
        let (now, friends) = (stage.world.now, Arc::clone(&block));
        let friend = stage.friend;
        stage
            .world
            .command(friend, |m| m.submit_block(now, friends).unwrap());
        let given: Vec<_> = given.iter().map(|n| spend_past(*n, 0)).collect();
        stage.say(blocktxn(&block, &given));
        assert_eq!(
            stage.reasons(),
            ["blocktxn of other transactions than asked for"]
        );
        assert!(stage.has(&block), "the friend has it");
    }
}

#[test]
fn blocks_that_are_put_together_at_once_are_bounded() {
    let mut stage = Stage::set(19);
    let chain = chain_with_past();
    let mut asked = (0, 0);
    for n in 0..6 {
        let puppet = stage.world.add_puppet();
        let link = stage.world.puppet_joins(puppet, stage.node, 0);
        stage.world.heard(puppet);
        let block = block_on(&chain, &[spend_past(n, 0)], 50 + n as u64);
        stage.world.say(puppet, link, compact(&block));
        stage.world.run(secs(1));
        let heard = stage.world.heard(puppet);
        asked.0 += places_asked(&heard).len();
        asked.1 += heard.iter().filter(|m| asks_for_whole(m, &block)).count();
    }
    assert_eq!(asked, (3, 3));
    stage.lives_on();
}

#[test]
fn transactions_that_never_come_are_asked_for_elsewhere() {
    let mut stage = Stage::set(20);
    let block = block_with(&[spend_past(0, 0)]);
    let heard = stage.say(compact(&block));
    assert_eq!(places_asked(&heard), [[1]]);
    let (now, friends) = (stage.world.now, Arc::clone(&block));
    let friend = stage.friend;
    stage
        .world
        .command(friend, |m| m.submit_block(now, friends).unwrap());
    // The friend announced it by headers: it is awaited of the puppet still.
    stage.world.run(secs(2));
    assert!(!stage.has(&block));
    stage.world.run_answering(secs(8), stage.puppet);
    assert!(stage.has(&block));
    // What comes too late does no harm.
    stage.say(blocktxn(&block, &[spend_past(0, 0)]));
    assert!(stage.reasons().is_empty());
    stage.lives_on();
}

#[test]
fn who_sends_one_compact_form_after_another_does_not_hold_a_block_back_for_ever() {
    let mut stage = Stage::set(40);
    let (ours, theirs) = (spend_past(0, 0), spend_past(1, 0));
    stage.world.submit(stage.node, &ours);
    let block = block_with(&[theirs]);
    let collides = compact_naming(&block, &[ours]);
    stage.say(collides.clone());
    let (now, friends) = (stage.world.now, Arc::clone(&block));
    let friend = stage.friend;
    stage
        .world
        .command(friend, |m| m.submit_block(now, friends).unwrap());
    let mut seconds = 0;
    while !stage.has(&block) {
        stage.world.say(stage.puppet, stage.link, collides.clone());
        stage.world.run_answering(secs(2), stage.puppet);
        seconds += 2;
        assert!(seconds <= 60, "the friend was never asked");
    }
    assert!(seconds > 10, "it had its chance");
}

#[test]
fn a_late_answer_counts_while_nobody_else_has_the_block() {
    let mut stage = Stage::set(21);
    let block = block_with(&[spend_past(0, 0)]);
    stage.say(compact(&block));
    let (puppet, link) = (stage.puppet, stage.link);
    stage.world.run_answering(secs(8), puppet);
    stage
        .world
        .say(puppet, link, blocktxn(&block, &[spend_past(0, 0)]));
    stage.world.run(secs(1));
    assert!(stage.has(&block));
}

#[test]
fn a_block_awaited_of_one_is_taken_from_another_if_nothing_is_missing() {
    let mut stage = Stage::set(22);
    let tx = spend_past(0, 0);
    let block = block_with(&[Arc::clone(&tx)]);
    let heard = stage.say(compact(&block));
    assert_eq!(places_asked(&heard), [[1]]);
    let second = stage.world.add_puppet();
    let link = stage.world.puppet_joins(second, stage.node, 0);
    stage.world.heard(second);
    stage.world.say(second, link, compact(&block));
    stage.world.run(secs(1));
    assert_eq!(places_asked(&stage.world.heard(second)), [[0u16; 0]; 0]);
    assert!(!stage.has(&block));
    stage.world.submit(stage.node, &tx);
    stage.world.say(second, link, compact(&block));
    stage.world.run(secs(1));
    assert!(stage.has(&block));
}
