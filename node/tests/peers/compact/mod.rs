//! Compact blocks: by the short way where mempools agree, by a longer one where they do not, and
//! never by a liar's.
//!
//! Here is what the stories share: blocks and their forms, and a stage with a puppet.

mod high_bandwidth;
mod invalid;
mod rebuild;
mod relay;
mod waiting;

use std::sync::Arc;

use bitcoin::bip152::ShortId;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Block, BlockHash, Transaction};
use peerlab_node::Config;
use peerlab_node::chain::Chain;
use peerlab_node::io::PeerId;
use peerlab_node::mempool::Mempool;
use peerlab_node::peers::Peer;
use peerlab_node::wire::{
    BlockTransactions, BlockTransactionsRequest, Command, CompactBlock, Message, SendCmpct,
};

use crate::ledger::*;
use crate::world::*;

const HIGH: Message = Message::SendCmpct(SendCmpct {
    high_bandwidth: true,
    version: 2,
});
const LOW: Message = Message::SendCmpct(SendCmpct {
    high_bandwidth: false,
    version: 2,
});

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
        Message::GetBlockTxn(asked) => Some(asked.places.iter().collect()),
        _ => None,
    });
    places.collect()
}

fn blocktxn(block: &Block, transactions: &[Arc<Transaction>]) -> Message {
    Message::BlockTxn(Box::new(BlockTransactions {
        block: block.block_hash(),
        transactions: transactions.to_vec(),
    }))
}

fn getblocktxn(block: BlockHash, places: impl IntoIterator<Item = u16>) -> Message {
    Message::GetBlockTxn(Box::new(BlockTransactionsRequest {
        block,
        places: places.into_iter().collect(),
    }))
}

/// Which peers of a node were asked for high bandwidth, by address.
fn chosen(world: &World, node: Node) -> Vec<Node> {
    let chosen = |p: &&Peer| p.sync.is_high_bandwidth_to();
    let peers = world.peers_of(node);
    let ips = peers.into_iter().filter(chosen).map(|p| p.addr.ip());
    ips.map(|ip| (0..99).map(Node).find(|n| n.addr().ip() == ip).unwrap())
        .collect()
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
