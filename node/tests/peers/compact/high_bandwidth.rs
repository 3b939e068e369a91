//! Who is asked to send blocks at once (BIP152: high bandwidth).

use std::sync::Arc;

use peerlab_node::wire::{Message, SendCmpct};

use super::*;

#[test]
fn high_bandwidth_is_for_the_three_that_were_last_first_with_a_block() {
    let mut world = World::new(23);
    let node = world.add(connect_to(&[]));
    let puppets: Vec<_> = (0..5)
        .map(|_| {
            let puppet = world.add_puppet();
            let link = world.puppet_joins(puppet, node, 0);
            world.say(puppet, link, LOW);
            (puppet, link)
        })
        .collect();
    let blocks = blocks_in_a_row(6);
    let give = |world: &mut World, who: usize, block: usize| {
        let (puppet, link) = puppets[who];
        world.heard(puppet);
        world.say(puppet, link, Message::Block(Arc::clone(&blocks[block])));
        world.run(secs(1));
        world.heard(puppet).contains(&HIGH)
    };
    for n in 0..3 {
        assert!(give(&mut world, n, n), "the first three are all chosen");
    }
    // The first is first again, so that the second is now the one to go.
    assert!(!give(&mut world, 0, 3), "it knows already");
    assert!(give(&mut world, 3, 4));
    let names = |list: &[usize]| list.iter().map(|n| puppets[*n].0).collect::<Vec<_>>();
    assert_eq!(chosen(&world, node), names(&[0, 2, 3]));
    assert!(
        world.heard(puppets[1].0).contains(&LOW),
        "it has it announced"
    );
    // Who comes second with a block is not chosen.
    let (late, link) = puppets[4];
    world.say(late, link, Message::Block(Arc::clone(&blocks[4])));
    world.run(secs(1));
    assert_eq!(chosen(&world, node), names(&[0, 2, 3]));
    // A place that becomes free is given to the next one.
    world.kill(puppets[2].0);
    world.run(secs(1));
    assert!(give(&mut world, 4, 5));
    assert_eq!(chosen(&world, node), names(&[0, 3, 4]));
}

#[test]
fn the_last_outbound_peer_of_high_bandwidth_keeps_its_place() {
    let mut world = World::new(24);
    let miner = world.add(connect_to(&[]));
    let node = world.add(connect_to(&[miner]));
    world.run(secs(2));
    let mut chain = chain_with_past();
    let first = world.mine(miner);
    world.run(secs(2));
    assert_eq!(chosen(&world, node), [miner]);
    let block = world.machine(miner).chain().block(&first).unwrap().unwrap();
    chain.accept_block(START.unix_secs(), block).unwrap();
    let mut puppets = Vec::new();
    for n in 0..4 {
        let puppet = world.add_puppet();
        let link = world.puppet_joins(puppet, node, 0);
        world.say(puppet, link, LOW);
        let block = block_on(&chain, &[], 300 + n);
        let now = START.unix_secs();
        chain.accept_block(now, Arc::clone(&block)).unwrap();
        world.say(puppet, link, Message::Block(block));
        world.run(secs(1));
        puppets.push(puppet);
    }
    assert_eq!(chosen(&world, node), [miner, puppets[2], puppets[3]]);
    // The miner knows, and getpeerinfo shows it on either side.
    let from = |p: &&Peer| p.sync.is_high_bandwidth_from();
    assert_eq!(world.peers_of(miner).iter().filter(|p| from(p)).count(), 1);
}

#[test]
fn who_does_not_speak_of_compact_blocks_or_of_another_version_is_not_chosen() {
    let mut world = World::new(25);
    let node = world.add(connect_to(&[]));
    let blocks = blocks_in_a_row(2);
    let says = [
        None,
        Some(Message::SendCmpct(SendCmpct {
            high_bandwidth: true,
            version: 1,
        })),
    ];
    for (said, block) in says.into_iter().zip(&blocks) {
        let puppet = world.add_puppet();
        let link = world.puppet_joins(puppet, node, 0);
        if let Some(said) = said {
            world.say(puppet, link, said);
        }
        world.say(puppet, link, Message::Block(Arc::clone(block)));
        world.run(secs(1));
        assert!(!world.heard(puppet).contains(&HIGH));
    }
    assert_eq!(chosen(&world, node), []);
    let wanted = world.peers_of(node);
    assert!(wanted.iter().all(|p| !p.sync.is_high_bandwidth_from()));
}
