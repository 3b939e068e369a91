//! Peers that do what no honest peer does. Each is let go for the stated reason, and the node
//! lives on.

use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Amount, BlockHash, Txid, Wtxid};
use peerlab_node::Config;
use peerlab_node::chain::template;
use peerlab_node::io::PeerId;
use peerlab_node::mempool::Mempool;
use peerlab_node::wire::{MAGIC_REGTEST, Message, PeerAddress};

use crate::ledger::*;
use crate::puppet::*;
use crate::world::*;

/// A node, and a puppet connected to it that does something. Returns the reasons for which the
/// node closed the connection; checks that the node lives on.
fn reasons_for(act: impl FnOnce(&mut World, Node, PeerId)) -> Vec<String> {
    let mut world = World::new(1);
    let node = world.add(Config::default());
    let friend = world.add(connect_to(&[node]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, PAST_BLOCKS as i32);
    act(&mut world, puppet, link);
    world.run(secs(2));
    let reasons = world
        .reasons(node, puppet)
        .iter()
        .map(|r| (*r).to_owned())
        .collect();
    world.mine(friend);
    world.run_until(secs(5), "the node lives on", |w| {
        w.tip(node) == w.tip(friend)
    });
    reasons
}

/// A block on the common past.
fn next_block() -> bitcoin::Block {
    let block = mine_on(&chain_with_past(), &Mempool::new(), START.unix_secs(), 5);
    bitcoin::Block::clone(&block)
}

/// Makes a header miss its target.
fn without_work(header: &mut Header) {
    while header.validate_pow(header.target()).is_ok() {
        header.nonce += 1;
    }
}

#[test]
fn headers_without_work() {
    let reasons = reasons_for(|world, puppet, link| {
        let mut header = next_block().header;
        without_work(&mut header);
        world.say(puppet, link, Message::Headers(vec![header].into()));
    });
    assert_eq!(reasons, ["invalid header: high-hash"]);
}

#[test]
fn headers_that_do_not_follow_each_other() {
    let reasons = reasons_for(|world, puppet, link| {
        let headers = vec![past()[3].header, past()[5].header];
        world.say(puppet, link, Message::Headers(headers.into()));
    });
    assert_eq!(reasons, ["invalid header: non-continuous headers sequence"]);
}

#[test]
fn headers_that_connect_to_nothing_again_and_again() {
    let reasons = reasons_for(|world, puppet, link| {
        for n in 0..11 {
            let mut header = next_block().header;
            header.prev_blockhash = BlockHash::from_byte_array([n + 1; 32]);
            while header.validate_pow(header.target()).is_err() {
                header.nonce += 1;
            }
            world.say(puppet, link, Message::Headers(vec![header].into()));
        }
    });
    assert_eq!(reasons, ["headers that connect to nothing"]);
}

#[test]
fn a_block_that_pays_its_miner_too_much() {
    let reasons = reasons_for(|world, puppet, link| {
        let mut block = next_block();
        block.txdata[0].output[0].value += Amount::from_sat(1);
        template::commit_to_body(&mut block);
        assert!(template::mine(&mut block));
        world.say(puppet, link, Message::Headers(vec![block.header].into()));
        world.say(puppet, link, Message::Block(Arc::new(block)));
    });
    assert_eq!(reasons, ["invalid block: bad-cb-amount"]);
}

#[test]
fn a_block_whose_body_is_not_its_header_s() {
    let reasons = reasons_for(|world, puppet, link| {
        let mut block = next_block();
        block.txdata[0].output[0].value -= Amount::from_sat(1);
        world.say(puppet, link, Message::Block(Arc::new(block)));
    });
    assert_eq!(reasons, ["invalid block: bad-txnmrklroot"]);
}

#[test]
fn headers_on_top_of_an_invalid_block() {
    let mut world = World::new(2);
    let node = world.add(connect_to(&[]));
    let mut block = next_block();
    block.txdata[0].output[0].value += Amount::from_sat(1);
    template::commit_to_body(&mut block);
    assert!(template::mine(&mut block));
    let mut child = block.header;
    child.prev_blockhash = block.block_hash();
    while child.validate_pow(child.target()).is_err() {
        child.nonce += 1;
    }
    let first = world.add_puppet();
    let link = world.puppet_joins(first, node, 0);
    world.say(first, link, Message::Block(Arc::new(block.clone())));
    world.run(secs(1));
    let second = world.add_puppet();
    let link = world.puppet_joins(second, node, 0);
    world.say(
        second,
        link,
        Message::Headers(vec![block.header, child].into()),
    );
    world.run(secs(1));
    assert_eq!(
        world.reasons(node, second),
        ["invalid header: duplicate-invalid"]
    );
}

#[test]
fn a_transaction_that_makes_money() {
    let reasons = reasons_for(|world, puppet, link| {
        let mut tx = bitcoin::Transaction::clone(&spend_past(0, 0));
        tx.output[0].value = Amount::from_int_btc(51);
        world.say(puppet, link, Message::Tx(Arc::new(tx).into()));
    });
    assert_eq!(reasons, ["invalid transaction: bad-txns-in-belowout"]);
}

#[test]
fn bytes_that_are_no_message() {
    let reasons = reasons_for(|world, puppet, link| {
        world.say_bytes(puppet, link, b"GET / HTTP/1.1\r\nHost: node\r\n\r\n");
    });
    assert_eq!(reasons, ["wrong network magic 47455420"]);
}

#[test]
fn a_message_larger_than_its_kind_may_be() {
    let reasons = reasons_for(|world, puppet, link| {
        let mut bytes = MAGIC_REGTEST.to_vec();
        bytes.extend_from_slice(b"headers\0\0\0\0\0");
        bytes.extend_from_slice(&3_999_999u32.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        world.say_bytes(puppet, link, &bytes);
    });
    assert_eq!(
        reasons,
        ["oversized message: headers of 3999999 bytes, at most 162003"]
    );
}

#[test]
fn a_message_with_a_wrong_checksum() {
    let reasons = reasons_for(|world, puppet, link| {
        let bytes = spoilt(&Message::Ping(7), |bytes| bytes[30] ^= 1);
        world.say_bytes(puppet, link, &bytes);
    });
    assert_eq!(reasons, ["checksum of ping does not match"]);
}

#[test]
fn a_flood_of_addresses() {
    let reasons = reasons_for(|world, puppet, link| {
        for batch in 0..25u8 {
            let addresses = (0..1_000u16)
                .map(|n| PeerAddress {
                    last_seen_secs: START.unix_secs(),
                    services: 9,
                    addr: ([11, batch, (n >> 8) as u8, n as u8], 18_444).into(),
                })
                .collect();
            world.say(puppet, link, Message::Addr(addresses));
        }
    });
    assert_eq!(reasons, ["flood of addresses"]);
}

#[test]
fn a_liar_about_addresses_fills_a_quarter_of_the_book() {
    let mut world = World::new(3);
    let node = world.add(Config {
        addresses_max: 100,
        ..Config::default()
    });
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, 0);
    let addresses = (0..1_000u16)
        .map(|n| PeerAddress {
            last_seen_secs: START.unix_secs(),
            services: 9,
            addr: ([11, 0, (n >> 8) as u8, n as u8], 18_444).into(),
        })
        .collect();
    world.say(puppet, link, Message::Addr(addresses));
    world.run(secs(1));
    assert_eq!(world.machine(node).known_addresses().count(), 25);
}

fn wtxid(n: u32) -> Wtxid {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Wtxid::from_byte_array(bytes)
}

#[test]
fn a_flood_of_announcements() {
    let reasons = reasons_for(|world, puppet, link| {
        for batch in 0..12 {
            let entries = (0..5_000)
                .map(|n| Inventory::WTx(wtxid(batch * 5_000 + n)))
                .collect();
            world.say(puppet, link, Message::Inv(entries));
        }
    });
    assert_eq!(reasons, ["flood of announcements"]);
}

#[test]
fn a_flood_of_requests() {
    let reasons = reasons_for(|world, puppet, link| {
        for _ in 0..4 {
            let entries = (0..20_000)
                .map(|_| Inventory::WitnessBlock(past()[0].block_hash()))
                .collect();
            world.say(puppet, link, Message::GetData(entries));
        }
    });
    assert_eq!(reasons, ["flood of requests"]);
}

#[test]
fn announced_transactions_that_never_come_are_forgotten() {
    let mut world = World::new(4);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, 0);
    let entries = (0..300).map(|n| Inventory::WTx(wtxid(n))).collect();
    world.say(puppet, link, Message::Inv(entries));
    let asked: usize = world
        .run_answering(secs(60), puppet)
        .iter()
        .map(|m| {
            if let Message::GetData(list) = m {
                list.len()
            } else {
                0
            }
        })
        .sum();
    assert_eq!(asked, 300, "each is asked for once");
}

#[test]
fn features_after_the_handshake() {
    let reasons = reasons_for(|world, puppet, link| {
        world.say(puppet, link, Message::WtxidRelay);
    });
    assert_eq!(reasons, ["wtxidrelay after verack"]);
}

#[test]
fn an_old_protocol_version() {
    let mut world = World::new(5);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.join(puppet, node);
    let Message::Version(mut version) = puppet_version(puppet, 0) else {
        unreachable!("it is a version");
    };
    version.protocol = 70_015;
    world.say(puppet, link, Message::Version(version));
    world.run(secs(1));
    assert_eq!(
        world.reasons(node, puppet),
        ["obsolete protocol version 70015"]
    );
}

#[test]
fn orphans_without_end_are_bounded_and_parents_are_asked_for() {
    let mut world = World::new(6);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, 0);
    for n in 0..500u32 {
        let mut bytes = [3; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let parent = Txid::from_byte_array(bytes);
        world.say(
            puppet,
            link,
            Message::Tx(spend(parent, Amount::from_int_btc(1), 0).into()),
        );
    }
    world.run(secs(2));
    assert!(world.reasons(node, puppet).is_empty());
    assert_eq!(world.machine(node).mempool().len(), 0);
    let asked = world.heard(puppet).iter().any(
        |m| matches!(m, Message::GetData(l) if matches!(l[0], Inventory::WitnessTransaction(_))),
    );
    assert!(asked);
}

#[test]
fn unknown_messages_are_tolerated_and_counted() {
    let reasons = reasons_for(|world, puppet, link| {
        let bytes = spoilt(&Message::Verack, |bytes| {
            bytes[4..10].copy_from_slice(b"novel\0")
        });
        world.say_bytes(puppet, link, &bytes);
        world.run(secs(1));
        let peer = world
            .peers_of(Node(0))
            .into_iter()
            .find(|p| p.traffic.received.of(peerlab_node::wire::Command::Other) == 24);
        assert!(peer.is_some());
    });
    assert_eq!(reasons, [""; 0]);
}

#[test]
fn a_crowd_of_connections_finds_no_more_places_than_there_are() {
    let mut world = World::new(7);
    let node = world.add(Config {
        connections_max: 20,
        ..connect_to(&[])
    });
    let friend = world.add(connect_to(&[node]));
    world.run(secs(5));
    for _ in 0..60 {
        let puppet = world.add_puppet();
        world.dial(puppet, node);
    }
    world.run(secs(2));
    assert!(world.machine(node).peers().count() <= 20);
    world.mine(friend);
    world.run_until(secs(5), "the friend kept its place", |w| {
        w.tip(node) == w.tip(friend)
    });
}

#[test]
fn who_misbehaved_is_not_let_in_for_a_minute() {
    let mut world = World::new(8);
    let node = world.add(connect_to(&[]));
    let puppet = world.add_puppet();
    let link = world.puppet_joins(puppet, node, 0);
    world.say(puppet, link, Message::WtxidRelay);
    world.run(secs(1));
    world.join(puppet, node);
    world.run(secs(1));
    assert_eq!(
        world.reasons(node, puppet),
        ["wtxidrelay after verack", "misbehaved lately"]
    );
    world.run(secs(60));
    world.puppet_joins(puppet, node, 0);
    assert_eq!(world.peers_of(node).len(), 1);
}
