//! Random trees of blocks, delivered in random order, good and bad: the chain ends where a simple
//! model says, with the coins of a chain that never saw the other branches.

use std::collections::BTreeSet;

use bitcoin::{Block, BlockHash, OutPoint};
use proptest::prelude::*;

use crate::chain::UtxoStats;
use crate::chain::fixture::{Ledger, spend_to};

/// Coins that the blocks fight over.
pub(super) const COINS: u32 = 5;

/// Blocks below the tree.
const BASE: u32 = COINS + 99;

/// A block of the tree: on which earlier one (0 is the base), which coins it spends.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    parent: usize,
    spends: Vec<usize>,
}

/// What the model knows of a block.
#[derive(Clone, Debug)]
pub(super) struct Node {
    hash: BlockHash,
    parent: usize,
    height: u32,
    /// No coin is spent twice from the base to here.
    valid: bool,
    spent: BTreeSet<usize>,
}

pub(super) fn plans() -> impl Strategy<Value = (Vec<Plan>, Vec<usize>)> {
    let plan = |index: usize| {
        // Mostly on one of the last few, so that branches grow long.
        (
            0..=index.min(4),
            proptest::collection::vec(0..COINS as usize, 0..2),
        )
            .prop_map(move |(back, spends)| Plan {
                parent: index - back,
                spends,
            })
    };
    (1usize..14).prop_flat_map(move |length| {
        let plans: Vec<_> = (0..length).map(plan).collect();
        let order: Vec<usize> = (0..length).collect();
        (plans, Just(order).prop_shuffle())
    })
}

/// Builds all blocks, valid or not, without asking any chain to accept them.
pub(super) fn build(
    base: &mut Ledger,
    coins: &[OutPoint],
    plans: &[Plan],
) -> (Vec<Node>, Vec<Block>) {
    let root = Node {
        hash: base.chain.tip().hash,
        parent: 0,
        height: BASE,
        valid: true,
        spent: BTreeSet::new(),
    };
    let (mut nodes, mut blocks) = (vec![root], Vec::new());
    for plan in plans {
        let parent = nodes[plan.parent].clone();
        let spendings = plan.spends.iter().map(|coin| {
            let output = bitcoin::TxOut {
                value: bitcoin::Amount::from_sat(1_000),
                script_pubkey: crate::chain::fixture::anyone(),
            };
            spend_to(&[coins[*coin]], vec![output])
        });
        let block = base.block_on(&parent.hash, spendings.collect());
        // The headers alone, so that the next block can be built on this one.
        base.now = base.now.max(block.header.time);
        base.chain
            .accept_headers(base.now, &[block.header])
            .unwrap();
        let mut spent = parent.spent.clone();
        let fresh = plan.spends.iter().all(|coin| spent.insert(*coin));
        nodes.push(Node {
            hash: block.block_hash(),
            parent: plan.parent,
            height: parent.height + 1,
            valid: parent.valid && fresh,
            spent,
        });
        blocks.push(block);
    }
    (nodes, blocks)
}

/// Where a chain must end: the highest valid block; of equals the one whose ancestors were all
/// there first.
fn expected_tip(nodes: &[Node], order: &[usize]) -> usize {
    let mut here = BTreeSet::from([0]);
    let mut linked = vec![0];
    for arrived in order {
        here.insert(arrived + 1);
        // Breadth first, in the order of arrival, as one body may complete several branches.
        let mut next = vec![arrived + 1];
        while !next.is_empty() {
            let (now, _): (Vec<_>, Vec<_>) = next.drain(..).partition(|node| {
                here.contains(node)
                    && linked.contains(&nodes[*node].parent)
                    && !linked.contains(node)
            });
            linked.extend(&now);
            for node in &now {
                let arrivals = order.iter().map(|other| other + 1);
                next.extend(
                    arrivals.filter(|other| nodes[*other].parent == *node && here.contains(other)),
                );
            }
        }
    }
    let mut best = 0;
    for node in linked {
        if nodes[node].valid && nodes[node].height > nodes[best].height {
            best = node;
        }
    }
    best
}

fn path_to(nodes: &[Node], mut node: usize) -> Vec<usize> {
    let mut path = Vec::new();
    while node != 0 {
        path.push(node);
        node = nodes[node].parent;
    }
    path.reverse();
    path
}

/// The base, again, in a ledger that has seen nothing else.
pub(super) fn replay(base: &Ledger) -> Ledger {
    let mut ledger = Ledger::new();
    for height in 1..=BASE {
        let hash = base.chain.hash_at(height).unwrap();
        let block = base.chain.block(&hash).unwrap().unwrap();
        ledger.accept(&block).unwrap();
    }
    ledger
}

fn without_others(base: &Ledger, nodes: &[Node], blocks: &[Block], tip: usize) -> UtxoStats {
    let mut ledger = replay(base);
    for node in path_to(nodes, tip) {
        let moved = ledger.accept(&blocks[node - 1]).unwrap();
        assert_eq!(moved.connected.len(), 1);
    }
    ledger.chain.utxo_stats()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_random_tree_in_random_order_ends_at_the_best_valid_chain((plans, order) in plans()) {
        let (mut base, coins) = Ledger::with_mature(COINS);
        let (nodes, blocks) = build(&mut base, &coins, &plans);
        let mut ledger = replay(&base);
        ledger.now = base.now;
        // All headers first, as in headers-first sync.
        for block in &blocks {
            ledger.chain.accept_headers(ledger.now, &[block.header]).unwrap();
        }
        let mut path: Vec<BlockHash> = vec![ledger.chain.tip().hash];
        for place in &order {
            match ledger.accept(&blocks[*place]) {
                Ok(moved) => {
                    // What it says about the move is what happened.
                    for block in &moved.disconnected {
                        prop_assert_eq!(path.pop(), Some(block.block_hash()));
                    }
                    path.extend(moved.connected.iter().map(|block| block.block_hash()));
                }
                Err(_) => prop_assert!(!nodes[place + 1].valid),
            }
            prop_assert_eq!(path.last(), Some(&ledger.chain.tip().hash));
        }
        let tip = expected_tip(&nodes, &order);
        prop_assert_eq!(ledger.chain.tip().hash, nodes[tip].hash);
        prop_assert_eq!(ledger.chain.utxo_stats(), without_others(&base, &nodes, &blocks, tip));
        for (height, hash) in (BASE..).zip(path) {
            prop_assert_eq!(ledger.chain.hash_at(height), Some(hash));
        }
    }
}
