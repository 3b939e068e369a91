//! `getblocks`, as Bitcoin Core answers it: hashes of the active chain after the fork point, by `inv`.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use peerlab_node::io::PeerId;
use peerlab_node::wire::{LocatorRequest, Message};

use crate::ledger::*;
use crate::world::*;

/// Hashes in an answer at most.
const LIMIT: usize = 500;

/// A node with so many blocks beyond the common past, and a puppet that asks it.
struct Asked {
    world: World,
    node: Node,
    puppet: Node,
    link: PeerId,
}

impl Asked {
    fn with_blocks(count: usize) -> Asked {
        let mut world = World::new(3);
        let node = world.add(connect_to(&[]));
        for _ in 0..count {
            world.mine(node);
        }
        let puppet = world.add_puppet();
        let link = world.puppet_joins(puppet, node, 0);
        world.heard(puppet);
        Asked {
            world,
            node,
            puppet,
            link,
        }
    }

    /// The node's answer to a message.
    fn answer(&mut self, message: Message) -> Vec<Message> {
        self.world.say(self.puppet, self.link, message);
        self.world.run(secs(1));
        self.world.heard(self.puppet)
    }

    fn getblocks(&mut self, locator: &[BlockHash], stop: BlockHash) -> Vec<Message> {
        self.answer(Message::GetBlocks(Box::new(LocatorRequest {
            locator: locator.to_vec(),
            stop,
        })))
    }

    fn getdata(&mut self, hash: BlockHash) -> Vec<Message> {
        self.answer(Message::GetData(vec![Inventory::WitnessBlock(hash)]))
    }

    fn at(&self, height: usize) -> BlockHash {
        let chain = self.world.machine(self.node).chain();
        chain.hash_at(height as u32).unwrap()
    }

    /// An `inv` of the blocks at these heights.
    fn inv(&self, heights: impl Iterator<Item = usize>) -> Message {
        Message::Inv(
            heights
                .map(|height| Inventory::Block(self.at(height)))
                .collect(),
        )
    }
}

fn nowhere() -> BlockHash {
    BlockHash::all_zeros()
}

const PAST: usize = PAST_BLOCKS as usize;

#[test]
fn the_blocks_after_the_last_common_one_are_announced() {
    let mut asked = Asked::with_blocks(0);
    let unknown = BlockHash::from_byte_array([9; 32]);
    let heard = asked.getblocks(&[unknown, asked.at(10), asked.at(3)], nowhere());
    assert_eq!(heard, [asked.inv(11..=PAST)]);
}

#[test]
fn without_a_common_block_all_after_genesis_are_announced() {
    let mut asked = Asked::with_blocks(0);
    let unknown = BlockHash::from_byte_array([9; 32]);
    for locator in [&[][..], &[unknown]] {
        let heard = asked.getblocks(locator, nowhere());
        assert_eq!(heard, [asked.inv(1..=PAST)]);
    }
}

#[test]
fn the_stop_block_itself_is_not_announced() {
    let mut asked = Asked::with_blocks(0);
    let heard = asked.getblocks(&[asked.at(10)], asked.at(20));
    assert_eq!(heard, [asked.inv(11..20)]);
    assert_eq!(asked.getblocks(&[asked.at(10)], asked.at(11)), []);
}

#[test]
fn who_has_the_tip_hears_nothing() {
    let mut asked = Asked::with_blocks(0);
    assert_eq!(asked.getblocks(&[asked.at(PAST)], nowhere()), []);
}

#[test]
fn at_most_500_are_announced_and_the_tip_once_the_last_of_them_is_fetched() {
    let mut asked = Asked::with_blocks(600);
    let heard = asked.getblocks(&[asked.at(0)], nowhere());
    assert_eq!(heard, [asked.inv(1..=LIMIT)]);
    let is_block = |message: &Message| matches!(message, Message::Block(_));
    let other = asked.getdata(asked.at(LIMIT - 1));
    assert!(other.len() == 1 && is_block(&other[0]), "{other:?}");
    // The block first, then the announcement that makes the peer ask again.
    let last = asked.getdata(asked.at(LIMIT));
    let tip = asked.inv(std::iter::once(PAST + 600));
    assert!(is_block(&last[0]));
    assert_eq!(last[1..], [tip]);
    // Once.
    assert_eq!(asked.getdata(asked.at(LIMIT)).len(), 1);
    let heard = asked.getblocks(&[asked.at(LIMIT)], nowhere());
    assert_eq!(heard, [asked.inv(LIMIT + 1..=PAST + 600)]);
}

#[test]
fn an_answer_that_is_not_full_is_followed_by_nothing() {
    let mut asked = Asked::with_blocks(0);
    asked.getblocks(&[asked.at(10)], nowhere());
    assert_eq!(asked.getdata(asked.at(PAST)).len(), 1);
}
