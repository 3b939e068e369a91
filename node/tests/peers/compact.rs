//! Compact blocks: by the short way where mempools agree, by a longer one where they do not, and
//! never by a liar's.

use std::sync::Arc;

use bitcoin::bip152::ShortId;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Amount, Block, BlockHash, Transaction, Txid};
use peerlab_node::Config;
use peerlab_node::chain::{Chain, template};
use peerlab_node::io::PeerId;
use peerlab_node::mempool::Mempool;
use peerlab_node::peers::Peer;
use peerlab_node::wire::{Command, CompactBlock, Message};

use crate::ledger::*;
use crate::puppet::*;
use crate::world::*;

const HIGH: Message = Message::SendCmpct {
    high_bandwidth: true,
    version: 2,
};
const LOW: Message = Message::SendCmpct {
    high_bandwidth: false,
    version: 2,
};

/// Bytes of a kind that some nodes have received.
fn received(world: &World, nodes: &[Node], command: Command) -> u64 {
    let of = |n: &Node| world.machine(*n).totals().received.of(command);
    nodes.iter().map(of).sum()
}

/// A block on a chain's tip with these transactions.
fn block_on(chain: &Chain, transactions: &[Arc<Transaction>], extra_nonce: u64) -> Arc<Block> {
    let mut pool = Mempool::new();
    for tx in transactions {
        pool.accept(chain, START, Arc::clone(tx)).unwrap();
    }
    mine_on(chain, &pool, START.unix_secs(), extra_nonce)
}

/// A block on the common past with these transactions.
fn block_with(transactions: &[Arc<Transaction>]) -> Arc<Block> {
    block_on(&chain_with_past(), transactions, 5)
}

fn tip_of_past() -> Header {
    past()[PAST_BLOCKS as usize - 1].header
}

/// Blocks on the common past, each on the one before, coinbases only.
fn blocks_in_a_row(count: u64) -> Vec<Arc<Block>> {
    let mut chain = chain_with_past();
    let mut blocks = Vec::new();
    for n in 0..count {
        let block = block_on(&chain, &[], 100 + n);
        let now = START.unix_secs();
        chain.accept_block(now, Arc::clone(&block)).unwrap();
        blocks.push(block);
    }
    blocks
}

fn compact(block: &Arc<Block>) -> Message {
    Message::CmpctBlock(Arc::new(CompactBlock::of(block, 9).unwrap()))
}

/// A block's compact form in which the transactions after the coinbase have the names of these.
fn compact_naming(block: &Block, named: &[Arc<Transaction>]) -> Message {
    let keys = ShortId::calculate_siphash_keys(&block.header, 9);
    let id = |tx: &Arc<Transaction>| {
        ShortId::with_siphash_keys(&tx.compute_wtxid().to_byte_array(), keys)
    };
    let ids = named.iter().map(id).collect();
    let coinbase = (0, Arc::new(block.txdata[0].clone()));
    let made = CompactBlock::new(block.header, 9, ids, vec![coinbase]);
    Message::CmpctBlock(Arc::new(made.unwrap()))
}

fn asks_for_whole(message: &Message, block: &Block) -> bool {
    let wanted = Inventory::WitnessBlock(block.block_hash());
    matches!(message, Message::GetData(list) if *list == [wanted])
}

/// Places of transactions that a puppet was asked for.
fn places_asked(heard: &[Message]) -> Vec<Vec<u16>> {
    let places = heard.iter().filter_map(|m| match m {
        Message::GetBlockTxn { places, .. } => Some(places.iter().collect()),
        _ => None,
    });
    places.collect()
}

fn blocktxn(block: &Block, transactions: &[Arc<Transaction>]) -> Message {
    Message::BlockTxn {
        block: block.block_hash(),
        transactions: transactions.to_vec(),
    }
}

/// A node, a friend connected to it, and a puppet that speaks of compact blocks.
struct Stage {
    world: World,
    node: Node,
    friend: Node,
    puppet: Node,
    link: PeerId,
}

impl Stage {
    fn set(seed: u64) -> Stage {
        Stage::set_with(seed, connect_to(&[]))
    }

    fn set_with(seed: u64, config: Config) -> Stage {
        let mut world = World::new(seed);
        let node = world.add(config);
        let friend = world.add(connect_to(&[node]));
        let puppet = world.add_puppet();
        let link = world.puppet_joins(puppet, node, PAST_BLOCKS as i32);
        world.say(puppet, link, LOW);
        // It has the tip: answers what every node asks first.
        world.say(puppet, link, Message::Headers(vec![tip_of_past()].into()));
        world.run(secs(1));
        world.heard(puppet);
        Stage {
            world,
            node,
            friend,
            puppet,
            link,
        }
    }

    /// The puppet says something. Returns what it hears of it.
    fn say(&mut self, message: Message) -> Vec<Message> {
        self.world.say(self.puppet, self.link, message);
        self.world.run(secs(1));
        self.world.heard(self.puppet)
    }

    fn reasons(&self) -> Vec<&str> {
        self.world.reasons(self.node, self.puppet)
    }

    fn has(&self, block: &Block) -> bool {
        self.world.tip(self.node) == block.block_hash()
    }

    /// The node lives on, and is at one with its friend.
    fn lives_on(&mut self) {
        self.world.mine(self.friend);
        let (node, friend) = (self.node, self.friend);
        self.world.run_until(secs(30), "the node lives on", |w| {
            w.tip(node) == w.tip(friend)
        });
    }
}

/// A line of nodes, each connected to the one before.
fn line(world: &mut World, count: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for n in 0..count {
        let before = n.checked_sub(1).map(|b| nodes[b]);
        nodes.push(world.add(connect_to(before.as_slice())));
    }
    world.run(secs(3));
    nodes
}

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
    // It was told of the parent.
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
    let headers = blocks[..2].iter().map(|b| b.header).collect();
    world.say(other, link, Message::Headers(headers));
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
    // BIP339 beside it: who said wtxidrelay is told by wtxid.
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
    stage.say(Message::Tx(Arc::clone(&rival)));
    stage.say(Message::Tx(Arc::clone(&child)));
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
    // The friend told of it by headers: it is awaited of the puppet still.
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

/// Which peers of a node were asked for high bandwidth, by address.
fn chosen(world: &World, node: Node) -> Vec<Node> {
    let chosen = |p: &&Peer| p.sync.is_high_bandwidth_to();
    let peers = world.peers_of(node);
    let ips = peers.into_iter().filter(chosen).map(|p| p.addr.ip());
    ips.map(|ip| (0..99).map(Node).find(|n| n.addr().ip() == ip).unwrap())
        .collect()
}

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
    assert!(world.heard(puppets[1].0).contains(&LOW), "it is told");
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
        Some(Message::SendCmpct {
            high_bandwidth: true,
            version: 1,
        }),
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
    let headers = blocks.iter().map(|b| b.header).collect();
    let heard = stage.say(Message::Headers(headers));
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
        let heard = stage.say(Message::GetBlockTxn {
            block: block.block_hash(),
            places: [0].into_iter().collect(),
        });
        let coinbase = Arc::new(block.txdata[0].clone());
        match is_single {
            true => assert_eq!(heard, [blocktxn(block, &[coinbase])]),
            false => assert_eq!(heard, [Message::Block(Arc::clone(block))]),
        }
    }
    assert!(stage.reasons().is_empty());
}

#[test]
fn getblocktxn_of_places_that_a_block_does_not_have() {
    let mut stage = Stage::set(30);
    let unknown = BlockHash::from_byte_array([4; 32]);
    for (block, place) in [(unknown, 9), (past()[119].block_hash(), 1)] {
        stage.say(Message::GetBlockTxn {
            block,
            places: [place].into_iter().collect(),
        });
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
        heard
            .iter()
            .any(|m| matches!(m, Message::GetHeaders { .. })),
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
fn orphans_of_a_block_that_was_put_together_enter_the_mempool() {
    let mut stage = Stage::set(37);
    let parent = spend_past(0, 0);
    let child = spend(parent.compute_txid(), parent.output[0].value, 0);
    stage.say(Message::Tx(Arc::clone(&child)));
    let block = block_with(&[Arc::clone(&parent)]);
    stage.say(compact(&block));
    stage.say(blocktxn(&block, &[parent]));
    assert!(stage.has(&block));
    assert!(stage.world.has_tx(stage.node, &child));
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
