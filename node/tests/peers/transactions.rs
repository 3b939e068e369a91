//! Transactions on their way through the network.

use std::sync::Arc;

use bitcoin::Amount;
use bitcoin::p2p::message_blockdata::Inventory;
use peerlab_node::Config;
use peerlab_node::wire::{Command, Message};

use crate::ledger::*;
use crate::world::*;

#[test]
fn a_transaction_reaches_all_and_then_a_block() {
    let mut world = World::new(1);
    let nodes = line(&mut world, 8);
    let tx = spend_past(0, 0);
    world.submit(nodes[0], &tx);
    world.run_until(secs(30), "it is everywhere", |w| {
        nodes.iter().all(|n| w.has_tx(*n, &tx))
    });
    world.mine(nodes[7]);
    world.run_until(secs(5), "a block has it", |w| {
        nodes.iter().all(|n| !w.has_tx(*n, &tx)) && w.agree()
    });
    let sent: u64 = nodes
        .iter()
        .map(|n| world.machine(*n).totals().sent.of(Command::Tx))
        .sum();
    assert_eq!(
        sent,
        7 * u64::from(Message::Tx(tx.into()).wire_size()),
        "each node got it once"
    );
}

#[test]
fn many_transactions_and_chains_of_them_reach_all() {
    let mut world = World::new(2);
    let first: Vec<_> = (0..2).map(Node).collect();
    let nodes: Vec<_> = (0..12).map(|_| world.add(bootstrap_from(&first))).collect();
    world.run(secs(5));
    let mut sent = Vec::new();
    for n in 0..15 {
        let node = nodes[n % nodes.len()];
        let mut tx = spend_past(n, 0);
        for _ in 0..6 {
            world.submit(node, &tx);
            sent.push(Arc::clone(&tx));
            tx = spend(tx.compute_txid(), tx.output[0].value, 1);
        }
    }
    world.run_until(secs(40), "they are everywhere", |w| {
        nodes.iter().all(|n| sent.iter().all(|tx| w.has_tx(*n, tx)))
    });
    assert!(
        nodes
            .iter()
            .all(|n| world.all_reasons(*n).iter().all(|r| !r.contains("invalid")))
    );
}

#[test]
fn of_two_conflicting_transactions_one_confirms() {
    let mut world = World::new(3);
    let nodes = line(&mut world, 6);
    let (left, right) = (spend_past(0, 0), spend_past(0, 1));
    world.partition(|n| u32::from(n.0 < 3));
    world.submit(nodes[0], &left);
    world.submit(nodes[5], &right);
    world.run(secs(20));
    assert!(world.has_tx(nodes[2], &left) && world.has_tx(nodes[3], &right));
    world.mine(nodes[1]);
    world.mine(nodes[4]);
    world.mine(nodes[4]);
    world.run(secs(5));
    world.heal();
    world.run_until(secs(20), "one chain", |w| w.agree());
    let spent = |w: &World, tx: &bitcoin::Transaction| {
        let out = bitcoin::OutPoint {
            txid: tx.compute_txid(),
            vout: 0,
        };
        nodes
            .iter()
            .all(|n| w.machine(*n).chain().coin(&out).is_some())
    };
    assert!(spent(&world, &right) && !spent(&world, &left));
    assert!(nodes.iter().all(|n| !world.has_tx(*n, &left)));
    world.run(secs(60));
    assert!(nodes.iter().all(|n| world.machine(*n).mempool().is_empty()));
}

#[test]
fn a_transaction_kept_from_the_miners_by_a_partition_confirms_after_it() {
    let mut world = World::new(4);
    let nodes = line(&mut world, 4);
    world.partition(|n| u32::from(n.0 < 2));
    let tx = spend_past(0, 0);
    world.submit(nodes[0], &tx);
    world.run(secs(40));
    world.heal();
    world.run_until(secs(45), "it crosses", |w| w.has_tx(nodes[3], &tx));
    world.mine(nodes[3]);
    world.run_until(secs(5), "it is confirmed", |w| !w.has_tx(nodes[0], &tx));
    let out = bitcoin::OutPoint {
        txid: tx.compute_txid(),
        vout: 0,
    };
    assert!(world.machine(nodes[0]).chain().coin(&out).is_some());
}

#[test]
fn a_transaction_of_a_lost_block_returns_and_is_announced_again() {
    let mut world = World::new(5);
    let nodes = line(&mut world, 4);
    world.partition(|n| u32::from(n.0 < 2));
    let tx = spend_past(0, 0);
    // Not of a node's own user, so that nobody repeats it: a puppet hands it in.
    let puppet = world.add_puppet();
    world.partition(|n| u32::from(n.0 < 2 || n == puppet));
    let link = world.puppet_joins(puppet, nodes[0], 0);
    world.say(puppet, link, Message::Tx(Arc::clone(&tx).into()));
    world.run(secs(1));
    world.mine(nodes[0]);
    assert!(!world.has_tx(nodes[0], &tx), "it is in a block");
    world.run(secs(20));
    world.mine(nodes[3]);
    world.mine(nodes[3]);
    world.run(secs(10));
    world.heal();
    world.run_until(secs(15), "the longer side wins", |w| w.agree());
    assert_eq!(world.reorgs(nodes[0]), [1]);
    assert!(world.has_tx(nodes[0], &tx));
    world.run_until(secs(10), "the other side hears of it", |w| {
        w.has_tx(nodes[3], &tx)
    });
}

#[test]
fn an_own_transaction_is_repeated_until_a_block_has_it() {
    let mut world = World::new(6);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    world.puppet_joins(puppet, node, 0);
    let tx = spend_past(0, 0);
    world.submit(node, &tx);
    let inv = Message::Inv(vec![Inventory::WTx(tx.compute_wtxid())]);
    let times = |heard: Vec<Message>| heard.iter().filter(|m| **m == inv).count();
    let first = times(world.run_answering(secs(60), puppet));
    assert!((3..10).contains(&first), "{first} times in a minute");
    world.mine(node);
    assert_eq!(
        times(world.run_answering(secs(60), puppet)),
        0,
        "no more once it is confirmed"
    );
}

#[test]
fn a_child_that_comes_before_its_parent_waits_for_it() {
    let mut world = World::new(7);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, 0);
    let parent = spend_past(0, 0);
    let child = spend(parent.compute_txid(), Amount::from_int_btc(49), 0);
    world.say(puppet, link, Message::Tx(Arc::clone(&child).into()));
    world.run(secs(1));
    assert!(!world.has_tx(node, &child));
    let wanted = Message::GetData(vec![Inventory::WitnessTransaction(parent.compute_txid())]);
    assert!(world.heard(puppet).contains(&wanted));
    world.say(puppet, link, Message::Tx(Arc::clone(&parent).into()));
    world.run(secs(1));
    assert!(world.has_tx(node, &parent) && world.has_tx(node, &child));
}

#[test]
fn a_transaction_that_one_announcer_keeps_is_asked_of_another() {
    let mut world = World::new(8);
    let node = world.add(connect_to(&[]));
    let (silent, giver) = (world.add_puppet(), world.add_puppet());
    let tx = spend_past(0, 0);
    let inv = Message::Inv(vec![Inventory::WTx(tx.compute_wtxid())]);
    let ask = Message::GetData(vec![Inventory::WTx(tx.compute_wtxid())]);
    for puppet in [silent, giver] {
        let link = world.puppet_joins(puppet, node, 0);
        world.say(puppet, link, inv.clone());
        world.run(secs(1));
    }
    assert!(world.heard(silent).contains(&ask));
    assert!(!world.heard(giver).contains(&ask));
    world.run(secs(5));
    assert!(world.heard(giver).contains(&ask));
}

#[test]
fn a_transaction_that_was_lost_to_a_block_is_asked_for_again() {
    let mut world = World::new(10);
    let nodes = line(&mut world, 2);
    let puppet = world.add_puppet();
    world.partition(|n| u32::from(n.0 == nodes[1].0));
    let (tx, rival) = (spend_past(0, 0), spend_past(0, 1));
    let link = world.puppet_joins(puppet, nodes[0], 0);
    let inv = Message::Inv(vec![Inventory::WTx(tx.compute_wtxid())]);
    let ask = Message::GetData(vec![Inventory::WTx(tx.compute_wtxid())]);
    let asked = |w: &mut World| w.heard(puppet).contains(&ask);
    world.say(puppet, link, inv.clone());
    world.run(secs(1));
    assert!(asked(&mut world));
    world.say(puppet, link, Message::Tx(Arc::clone(&tx).into()));
    world.run(secs(1));
    world.say(puppet, link, inv.clone());
    world.run(secs(1));
    assert!(world.has_tx(nodes[0], &tx));
    assert!(!asked(&mut world), "what is here is not asked for");
    world.submit(nodes[1], &rival);
    world.mine(nodes[1]);
    world.heal();
    world.run_until(secs(20), "the block is everywhere", |w| w.agree());
    assert!(!world.has_tx(nodes[0], &tx));
    world.say(puppet, link, inv);
    world.run(secs(1));
    assert!(asked(&mut world));
}

#[test]
fn what_the_user_submits_meanwhile_is_asked_of_nobody_else() {
    let mut world = World::new(11);
    let node = world.add(connect_to(&[]));
    let (silent, other) = (world.add_puppet(), world.add_puppet());
    let tx = spend_past(0, 0);
    let inv = Message::Inv(vec![Inventory::WTx(tx.compute_wtxid())]);
    let ask = Message::GetData(vec![Inventory::WTx(tx.compute_wtxid())]);
    for puppet in [silent, other] {
        let link = world.puppet_joins(puppet, node, 0);
        world.say(puppet, link, inv.clone());
        world.run(secs(1));
    }
    assert!(world.heard(silent).contains(&ask));
    world.submit(node, &tx);
    world.run(secs(10));
    assert!(!world.heard(other).contains(&ask));
}

#[test]
fn a_node_that_wants_no_transactions_is_told_of_none() {
    let mut world = World::new(9);
    let node = world.add(connect_to(&[]));
    let quiet = world.add(Config {
        relay_transactions: false,
        ..connect_to(&[node])
    });
    world.run(secs(2));
    let tx = spend_past(0, 0);
    world.submit(node, &tx);
    world.run(secs(40));
    assert!(!world.has_tx(quiet, &tx));
    assert_eq!(world.peers_of(quiet).len(), 1);
    assert_eq!(world.machine(quiet).totals().received.of(Command::Inv), 0);
}
