//! The chain moves between branches.

use bitcoin::{Amount, Block};

use crate::chain::fixture::{Ledger, output_of, reworked};
use crate::chain::{BlockStatus, ChainTipStatus, NamedBlock};

fn hashes(blocks: &[NamedBlock]) -> Vec<bitcoin::BlockHash> {
    blocks.iter().map(|block| block.block_hash()).collect()
}

/// A branch of blocks on a parent, made and taken in one by one.
fn grow(ledger: &mut Ledger, parent: bitcoin::BlockHash, length: usize) -> Vec<bitcoin::BlockHash> {
    let mut branch = Vec::new();
    for _ in 0..length {
        let parent = branch.last().copied().unwrap_or(parent);
        let block = ledger.block_on(&parent, Vec::new());
        ledger.accept(&block).unwrap();
        branch.push(block.block_hash());
    }
    branch
}

#[test]
fn the_first_seen_of_equals_stays_and_more_work_wins() {
    let mut ledger = Ledger::new();
    ledger.mine(3);
    let fork = ledger.chain.tip().hash;
    let left = grow(&mut ledger, fork, 2);
    let right = grow(&mut ledger, fork, 2);
    assert_eq!(ledger.chain.tip().hash, left[1]);
    let block = ledger.block_on(&right[1], Vec::new());
    let moved = ledger.accept(&block).unwrap();
    assert_eq!(hashes(&moved.disconnected), [left[1], left[0]]);
    assert_eq!(
        hashes(&moved.connected),
        [right[0], right[1], block.block_hash()]
    );
    let tips = ledger.chain.tips();
    assert_eq!(tips[0].status, ChainTipStatus::Active);
    assert_eq!((tips[1].hash, tips[1].branch_len), (left[1], 2));
    assert_eq!(tips[1].status, ChainTipStatus::ValidFork);
    assert_eq!(ledger.chain.fork_point(&left[1]).unwrap().hash, fork);
    // And back, without being fetched again.
    let back = grow(&mut ledger, left[1], 2);
    assert_eq!(ledger.chain.tip().hash, back[1]);
}

#[test]
fn a_branch_not_yet_tried_is_shown_as_such() {
    let mut ledger = Ledger::new();
    let fork = ledger.chain.tip().hash;
    grow(&mut ledger, fork, 2);
    let right = grow(&mut ledger, fork, 1);
    let tip = ledger
        .chain
        .tips()
        .into_iter()
        .find(|tip| tip.hash == right[0])
        .unwrap();
    assert_eq!(tip.status, ChainTipStatus::ValidHeaders);
}

#[test]
fn bodies_may_come_in_any_order() {
    let mut other = Ledger::new();
    other.mine(6);
    let hashes: Vec<_> = (1..=6)
        .map(|height| other.chain.hash_at(height).unwrap())
        .collect();
    let headers: Vec<_> = hashes
        .iter()
        .map(|hash| other.chain.entry(hash).unwrap().header)
        .collect();
    let mut ledger = Ledger::new();
    ledger.now = other.now;
    ledger.chain.accept_headers(ledger.now, &headers).unwrap();
    let mut connected = Vec::new();
    for place in [5, 2, 1, 4, 0, 3] {
        let block = other.chain.block(&hashes[place]).unwrap().unwrap();
        let accepted = ledger.chain.accept_block(ledger.now, block).unwrap();
        connected.push(accepted.connected.len());
        assert!(
            ledger
                .chain
                .wanted_blocks(9)
                .iter()
                .all(|(hash, _)| *hash != hashes[place])
        );
    }
    assert_eq!(connected, [0, 0, 0, 0, 3, 3]);
    assert_eq!(ledger.chain.utxo_stats(), other.chain.utxo_stats());
    // Bodies towards a peer's own branch, which is not the best one.
    let fork = other.chain.hash_at(2).unwrap();
    let branch = grow(&mut other, fork, 2);
    let headers: Vec<_> = branch
        .iter()
        .map(|hash| other.chain.entry(hash).unwrap().header)
        .collect();
    ledger.chain.accept_headers(ledger.now, &headers).unwrap();
    assert_eq!(ledger.chain.wanted_blocks(9), []);
    let wanted = ledger.chain.wanted_blocks_toward(&branch[1], 9);
    assert_eq!(wanted, [(branch[0], 3), (branch[1], 4)]);
}

/// A fork whose second block is invalid in a way that only shows when it is connected.
struct Trap {
    ledger: Ledger,
    left: Vec<bitcoin::BlockHash>,
    good: Block,
    bad: Block,
    after: Block,
}

fn trap() -> Trap {
    let (mut ledger, coins) = Ledger::with_mature(2);
    let fork = ledger.chain.tip().hash;
    let spend = ledger.spend(&coins[..1], 1_000);
    let rival = ledger.spend(&coins[..1], 2_000);
    let left = grow(&mut ledger, fork, 2);
    let good = ledger.block_on(&fork, vec![spend]);
    ledger.accept(&good).unwrap();
    let bad = ledger.block_on(&good.block_hash(), vec![rival]);
    ledger.accept(&bad).unwrap();
    let after = ledger.block_on(&bad.block_hash(), Vec::new());
    Trap {
        ledger,
        left,
        good,
        bad,
        after,
    }
}

#[test]
fn a_better_branch_that_proves_invalid_leads_back_where_we_were() {
    let Trap {
        mut ledger,
        left,
        good,
        bad,
        after,
    } = trap();
    let before = ledger.chain.utxo_stats();
    // It is refused, since it stands on the bad one; which only now was looked at.
    assert_eq!(ledger.refusal(&after), "bad-prevblk");
    assert_eq!(ledger.chain.tip().hash, left[1]);
    assert_eq!(ledger.chain.utxo_stats(), before);
    let status = |hash| ledger.chain.entry(&hash).unwrap().status;
    assert_eq!(status(good.block_hash()), BlockStatus::Valid);
    assert_eq!(status(bad.block_hash()), BlockStatus::Invalid);
    assert_eq!(status(after.block_hash()), BlockStatus::InvalidAncestor);
    assert!(
        ledger.chain.block(&bad.block_hash()).unwrap().is_none(),
        "not kept"
    );
    let tip = ledger
        .chain
        .tips()
        .into_iter()
        .find(|tip| tip.hash == after.block_hash())
        .unwrap();
    assert_eq!(tip.status, ChainTipStatus::Invalid);
    // The good part of the branch is still of use.
    let more = grow(&mut ledger, good.block_hash(), 2);
    assert_eq!(ledger.chain.tip().hash, more[1]);
}

#[test]
fn an_invalid_block_found_on_the_way_is_reported_and_the_rest_taken() {
    let (mut ledger, coins) = Ledger::with_mature(2);
    let fork = ledger.chain.tip().hash;
    let left = grow(&mut ledger, fork, 1);
    // On the other side everything but the first body is here, and the last one is bad.
    let first = ledger.block_on(&fork, Vec::new());
    ledger
        .chain
        .accept_headers(first.header.time, &[first.header])
        .unwrap();
    let second = ledger.block_on(&first.block_hash(), vec![ledger.spend(&coins[..1], 1_000)]);
    ledger.accept(&second).unwrap();
    let third = ledger.block_on(&second.block_hash(), Vec::new());
    let third = reworked(third, |block| {
        block.txdata[0].output[0].value = Amount::MAX_MONEY
    });
    ledger.accept(&third).unwrap();
    let moved = ledger.accept(&first).unwrap();
    assert_eq!(hashes(&moved.disconnected), left);
    assert_eq!(
        hashes(&moved.connected),
        [first.block_hash(), second.block_hash()]
    );
    assert_eq!(moved.rejected.len(), 1);
    assert_eq!(moved.rejected[0].0, third.block_hash());
    assert_eq!(moved.rejected[0].1.reason, "bad-cb-amount");
}

#[test]
fn coins_come_back_when_their_spending_is_undone() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let fork = ledger.chain.tip().hash;
    let before = ledger.chain.utxo_stats();
    let parent = ledger.spend(&coins, 1_000);
    let old_coin = ledger.chain.coin(&coins[0]).unwrap().clone();
    ledger.confirm(vec![parent.clone()]);
    assert_eq!(ledger.chain.coin(&coins[0]), None);
    assert!(ledger.chain.coin(&output_of(&parent, 0)).is_some());
    let right = grow(&mut ledger, fork, 2);
    assert_eq!(ledger.chain.tip().hash, right[1]);
    assert_eq!(ledger.chain.coin(&coins[0]), Some(&old_coin));
    assert_eq!(ledger.chain.coin(&output_of(&parent, 0)), None);
    assert_eq!(ledger.chain.utxo_stats().txouts, before.txouts + 2);
}
