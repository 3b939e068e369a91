//! Stories about the pool.

use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness};
use proptest::prelude::*;

use super::{Mempool, TxReject, policy};
use crate::chain::NamedBlock;
use crate::chain::fixture::{Ledger, anyone, output_of, spend_to};
use crate::chain::template::mine;
use crate::time::Time;

/// A ledger with mature coins, and an empty pool.
fn setup(coins: u32) -> (Ledger, Vec<OutPoint>, Mempool) {
    let (ledger, coins) = Ledger::with_mature(coins);
    (ledger, coins, Mempool::new())
}

fn offer(
    pool: &mut Mempool,
    ledger: &Ledger,
    tx: &Transaction,
) -> Result<super::Accepted, TxReject> {
    pool.accept(
        &ledger.chain,
        Time::from_unix_secs(ledger.now),
        Arc::new(tx.clone()),
    )
}

fn refusal(pool: &mut Mempool, ledger: &Ledger, tx: &Transaction) -> (&'static str, bool) {
    let before = pool.by_arrival().into_iter().cloned().collect::<Vec<_>>();
    let reject = offer(pool, ledger, tx).unwrap_err();
    let after = pool.by_arrival().into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(before, after, "a refused transaction changed the pool");
    (reject.reason(), reject.punish())
}

/// A spending to several equal outputs.
fn split(ledger: &Ledger, coin: OutPoint, count: usize, fee: u64) -> Transaction {
    let value = ledger.chain.coin(&coin).unwrap().output.value.to_sat();
    let output = TxOut {
        value: Amount::from_sat((value - fee) / count as u64),
        script_pubkey: anyone(),
    };
    spend_to(&[coin], vec![output; count])
}

/// A spending of an output of an unconfirmed transaction.
fn follow(parent: &Transaction, vout: u32, fee: u64) -> Transaction {
    let value = parent.output[vout as usize].value - Amount::from_sat(fee);
    spend_to(
        &[output_of(parent, vout)],
        vec![TxOut {
            value,
            script_pubkey: anyone(),
        }],
    )
}

#[test]
fn a_good_transaction_is_taken_and_found_by_both_names() {
    let (ledger, coins, mut pool) = setup(1);
    let tx = ledger.spend(&coins, 1_000);
    let accepted = offer(&mut pool, &ledger, &tx).unwrap();
    assert_eq!(accepted.fee, Amount::from_sat(1_000));
    assert_eq!(accepted.vsize, tx.vsize() as u64);
    assert!(pool.contains(&tx.compute_txid()) && pool.contains_wtxid(&tx.compute_wtxid()));
    assert_eq!(
        pool.get_by_wtxid(&tx.compute_wtxid())
            .unwrap()
            .transaction()
            .as_ref(),
        &tx
    );
    assert_eq!((pool.len(), pool.bytes()), (1, tx.total_size()));
    assert_eq!(
        refusal(&mut pool, &ledger, &tx),
        ("txn-already-in-mempool", false)
    );
    let mut twin = tx.clone();
    twin.input[0].witness.push([1]);
    assert_eq!(
        refusal(&mut pool, &ledger, &twin),
        ("txn-same-nonwitness-data-in-mempool", false)
    );
}

#[test]
fn what_conflicts_is_refused_whatever_it_pays() {
    let (ledger, coins, mut pool) = setup(1);
    let first = ledger.spend(&coins, 1_000);
    offer(&mut pool, &ledger, &first).unwrap();
    let rival = ledger.spend(&coins, 1_000_000);
    assert_eq!(
        refusal(&mut pool, &ledger, &rival),
        ("txn-mempool-conflict", false)
    );
}

#[test]
fn missing_inputs_are_named() {
    let (ledger, coins, mut pool) = setup(1);
    let parent = ledger.spend(&coins, 1_000);
    let child = follow(&parent, 0, 1_000);
    let reject = offer(&mut pool, &ledger, &child).unwrap_err();
    assert_eq!(
        reject,
        TxReject::MissingInputs {
            missing: vec![output_of(&parent, 0)]
        }
    );
    assert_eq!(reject.reason(), "bad-txns-inputs-missingorspent");
    offer(&mut pool, &ledger, &parent).unwrap();
    offer(&mut pool, &ledger, &child).unwrap();
    // An output that the parent does not have.
    let beyond = spend_to(&[output_of(&parent, 7)], child.output.clone());
    assert!(matches!(
        offer(&mut pool, &ledger, &beyond),
        Err(TxReject::MissingInputs { .. })
    ));
}

#[test]
fn what_is_confirmed_is_known() {
    let (mut ledger, coins, mut pool) = setup(1);
    let tx = ledger.spend(&coins, 1_000);
    ledger.confirm(vec![tx.clone()]);
    assert_eq!(
        refusal(&mut pool, &ledger, &tx),
        ("txn-already-known", false)
    );
}

/// The refusal of a good spending after a change.
fn refused_after(change: impl FnOnce(&Ledger, &mut Transaction)) -> (&'static str, bool) {
    let (ledger, coins, mut pool) = setup(1);
    let mut tx = ledger.spend(&coins, 1_000);
    change(&ledger, &mut tx);
    refusal(&mut pool, &ledger, &tx)
}

#[test]
fn consensus_comes_first_and_is_punished() {
    let coinbase = refused_after(|ledger, tx| {
        let tip = ledger
            .chain
            .block(&ledger.chain.tip().hash)
            .unwrap()
            .unwrap();
        *tx = tip.txdata[0].clone();
    });
    assert_eq!(coinbase, ("coinbase", true));
    assert_eq!(
        refused_after(|_, tx| tx.output.clear()),
        ("bad-txns-vout-empty", true)
    );
    let inflated = refused_after(|_, tx| tx.output[0].value = Amount::MAX_MONEY);
    assert_eq!(inflated, ("bad-txns-in-belowout", true));
    let unsigned = refused_after(|_, tx| tx.input[0].witness = Witness::new());
    assert_eq!(unsigned, ("mandatory-script-verify-flag-failed", true));
}

#[test]
fn what_may_not_be_mined_next_has_to_wait() {
    let early = refused_after(|ledger, tx| {
        tx.lock_time = LockTime::from_consensus(ledger.chain.tip().height + 1);
        tx.input[0].sequence = Sequence::ZERO;
    });
    assert_eq!(early, ("non-final", false));
    let (ledger, coins, mut pool) = setup(1);
    let parent = ledger.spend(&coins, 1_000);
    offer(&mut pool, &ledger, &parent).unwrap();
    let mut child = follow(&parent, 0, 1_000);
    child.input[0].sequence = Sequence::from_height(1);
    assert_eq!(
        refusal(&mut pool, &ledger, &child),
        ("non-BIP68-final", false)
    );
    let (mut ledger, _, mut pool) = setup(1);
    let young = ledger.coinbase_at(2);
    let spend = ledger.spend(&[young], 1_000);
    let premature = "bad-txns-premature-spend-of-coinbase";
    assert_eq!(refusal(&mut pool, &ledger, &spend).0, premature);
    ledger.mine(1);
    offer(&mut pool, &ledger, &spend).unwrap();
}

#[test]
fn policy_is_modest() {
    let small = refused_after(|_, tx| {
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51]);
    });
    assert_eq!(small, ("tx-size-small", false));
    let large = refused_after(|_, tx| {
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x6a; 100_000]);
    });
    assert_eq!(large, ("tx-size", false));
    let sigops = refused_after(|_, tx| {
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; 4_001]);
    });
    assert_eq!(sigops, ("bad-txns-too-many-sigops", false));
}

#[test]
fn the_fee_must_reach_the_rate() {
    let (ledger, coins, mut pool) = setup(1);
    let vsize = ledger.spend(&coins, 0).vsize() as u64;
    let cheap = ledger.spend(&coins, vsize - 1);
    assert_eq!(
        refusal(&mut pool, &ledger, &cheap),
        ("min relay fee not met", false)
    );
    pool.set_min_relay_fee(2_000);
    let fair = ledger.spend(&coins, vsize);
    assert_eq!(
        refusal(&mut pool, &ledger, &fair),
        ("min relay fee not met", false)
    );
    pool.set_min_relay_fee(policy::MIN_RELAY_FEE_SAT_PER_KVB);
    offer(&mut pool, &ledger, &fair).unwrap();
}

#[test]
fn chains_of_unconfirmed_transactions_are_bounded() {
    let (ledger, coins, mut pool) = setup(2);
    let mut last = ledger.spend(&coins[..1], 1_000);
    offer(&mut pool, &ledger, &last).unwrap();
    for _ in 1..policy::MAX_PACKAGE_COUNT {
        last = follow(&last, 0, 1_000);
        offer(&mut pool, &ledger, &last).unwrap();
    }
    let one_more = follow(&last, 0, 1_000);
    assert_eq!(
        refusal(&mut pool, &ledger, &one_more),
        ("too-long-mempool-chain", false)
    );
    // In breadth as in depth.
    let root = split(&ledger, coins[1], 30, 10_000);
    offer(&mut pool, &ledger, &root).unwrap();
    for vout in 1..policy::MAX_PACKAGE_COUNT as u32 {
        offer(&mut pool, &ledger, &follow(&root, vout, 1_000)).unwrap();
    }
    let one_more = follow(&root, 0, 1_000);
    assert_eq!(
        refusal(&mut pool, &ledger, &one_more),
        ("too-long-mempool-chain", false)
    );
}

#[test]
fn a_full_pool_lets_the_worst_payer_go_with_its_children() {
    let (mut ledger, coins, mut pool) = setup(4);
    let poor = ledger.spend(&coins[..1], 500);
    let heir = follow(&poor, 0, 50_000);
    let middle = ledger.spend(&coins[1..2], 2_000);
    for tx in [&poor, &heir, &middle] {
        offer(&mut pool, &ledger, tx).unwrap();
    }
    pool.count_max = 3;
    let rich = ledger.spend(&coins[2..3], 9_000);
    let evicted = offer(&mut pool, &ledger, &rich).unwrap().evicted;
    let mut names: Vec<_> = evicted.iter().map(|tx| tx.compute_txid()).collect();
    let mut expected = [poor.compute_txid(), heir.compute_txid()];
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    // From now on one must pay more than what was thrown out, until there is a block.
    let like_poor = ledger.spend(&coins[3..4], 500);
    assert_eq!(
        refusal(&mut pool, &ledger, &like_poor),
        ("mempool min fee not met", false)
    );
    let block = ledger.confirm(Vec::new());
    pool.block_connected(&NamedBlock::of(Arc::new(block)));
    offer(&mut pool, &ledger, &like_poor).unwrap();
    // One that is itself the worst is refused for want of room.
    let (ledger, coins, mut pool) = setup(2);
    pool.count_max = 1;
    offer(&mut pool, &ledger, &ledger.spend(&coins[..1], 9_000)).unwrap();
    let reject = offer(&mut pool, &ledger, &ledger.spend(&coins[1..2], 500)).unwrap_err();
    assert_eq!(reject.reason(), "mempool full");
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_block_takes_out_what_it_confirms_and_what_conflicts() {
    let (mut ledger, coins, mut pool) = setup(3);
    let confirmed = ledger.spend(&coins[..1], 1_000);
    let loser = ledger.spend(&coins[1..2], 1_000);
    let heir = follow(&loser, 0, 1_000);
    let bystander = ledger.spend(&coins[2..3], 1_000);
    for tx in [&confirmed, &loser, &heir, &bystander] {
        offer(&mut pool, &ledger, tx).unwrap();
    }
    let winner = ledger.spend(&coins[1..2], 5_000);
    let block = ledger.block(vec![confirmed, winner]);
    let update = ledger.accept(&block).unwrap();
    let lost = pool.chain_updated(&ledger.chain, Time::from_unix_secs(ledger.now), &update);
    assert_eq!(lost.len(), 2);
    let left: Vec<_> = pool.iter().map(|entry| entry.txid()).collect();
    assert_eq!(left, [bystander.compute_txid()]);
}

#[test]
fn a_reorganisation_brings_transactions_back_and_throws_out_what_lost_its_ground() {
    let (mut ledger, coins, mut pool) = setup(3);
    let fork = ledger.chain.tip().hash;
    let returning = ledger.spend(&coins[..1], 1_000);
    let double = ledger.spend(&coins[1..2], 1_000);
    let block = ledger.confirm(vec![returning.clone(), double.clone()]);
    pool.block_connected(&NamedBlock::of(Arc::new(block)));
    let child = follow(&returning, 0, 1_000);
    let orphaned = follow(&double, 0, 1_000);
    let matured = ledger.coinbase_at(2);
    assert_eq!(matured, coins[1]);
    let young = ledger.coinbase_at(3);
    let premature = {
        ledger.mine(1);
        ledger.spend(&[young], 1_000)
    };
    for tx in [&child, &orphaned, &premature] {
        offer(&mut pool, &ledger, tx).unwrap();
    }
    // The other branch: the double spending's rival, and more work by one block; coins younger
    // by nothing, since it is longer.
    let rival = spend_to(
        &coins[1..2],
        vec![TxOut {
            value: Amount::ONE_SAT,
            script_pubkey: anyone(),
        }],
    );
    let mut parent = fork;
    let mut update = None;
    for transactions in [vec![rival], vec![], vec![]] {
        let block = ledger.block_on(&parent, transactions);
        parent = block.block_hash();
        update = Some(ledger.accept(&block).unwrap());
    }
    let update = update.unwrap();
    assert_eq!((update.disconnected.len(), update.connected.len()), (2, 3));
    let lost = pool.chain_updated(&ledger.chain, Time::from_unix_secs(ledger.now), &update);
    assert!(
        pool.contains(&returning.compute_txid()),
        "back from the old branch"
    );
    assert!(
        pool.contains(&child.compute_txid()),
        "it had stood on a confirmed one"
    );
    assert!(
        pool.contains(&premature.compute_txid()),
        "the new branch is as high"
    );
    assert!(!pool.contains(&double.compute_txid()) && !pool.contains(&orphaned.compute_txid()));
    let lost: Vec<_> = lost.iter().map(|tx| tx.compute_txid()).collect();
    assert_eq!(lost, [double.compute_txid(), orphaned.compute_txid()]);
    // Scripts were not verified a second time for those that came back.
    let mut sequences: Vec<_> = pool
        .iter()
        .map(|entry| (entry.sequence, entry.txid()))
        .collect();
    sequences.sort_unstable();
    assert_eq!(
        sequences[0].1,
        returning.compute_txid(),
        "parents come first"
    );
}

#[test]
fn a_block_does_not_verify_again_what_the_pool_has_verified() {
    let (mut ledger, coins, mut pool) = setup(1);
    let tx = ledger.spend(&coins, 1_000);
    let verified = |ledger: &Ledger| ledger.chain.script_cache().lock().unwrap().verified_count();
    let before = verified(&ledger);
    offer(&mut pool, &ledger, &tx).unwrap();
    ledger.confirm(vec![tx]);
    assert_eq!(verified(&ledger), before + 1);
}

/// Mines what the pool offers, on the tip.
fn mine_pool(ledger: &mut Ledger, pool: &Mempool) -> bitcoin::Block {
    let mut block = pool
        .template(&ledger.chain, anyone(), 7)
        .assemble(&ledger.chain, ledger.now);
    assert!(mine(&mut block));
    let update = ledger.accept(&block).unwrap();
    assert_eq!(update.connected.len(), 1);
    block
}

#[test]
fn the_best_payers_are_mined_first_with_the_parents_they_need() {
    let (mut ledger, coins, mut pool) = setup(3);
    let poor = ledger.spend(&coins[..1], 200);
    let rich_child = follow(&poor, 0, 100_000);
    let fair = ledger.spend(&coins[1..2], 3_000);
    let rich = ledger.spend(&coins[2..3], 20_000);
    for tx in [&poor, &fair, &rich, &rich_child] {
        offer(&mut pool, &ledger, tx).unwrap();
    }
    let block = mine_pool(&mut ledger, &pool);
    let order: Vec<_> = block.txdata[1..]
        .iter()
        .map(|tx| tx.compute_txid())
        .collect();
    let expected = [&poor, &rich_child, &rich, &fair].map(|tx| tx.compute_txid());
    assert_eq!(order, expected);
    let fees = 200 + 100_000 + 3_000 + 20_000;
    let paid = block.txdata[0].output[0].value;
    assert_eq!(
        paid,
        crate::chain::rules::subsidy(103) + Amount::from_sat(fees)
    );
}

#[test]
fn a_template_stays_within_the_limits_of_a_block() {
    let (mut ledger, coins, mut pool) = setup(12);
    // Eleven transactions of almost the largest weight: ten would be a block without anything
    // else in it.
    for (coin, fee) in coins[..11].iter().zip(1u64..) {
        let mut tx = ledger.spend(&[*coin], 1_000_000 * fee);
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x6a; 99_800]);
        offer(&mut pool, &ledger, &tx).unwrap();
    }
    let block = mine_pool(&mut ledger, &pool);
    assert_eq!(block.txdata.len(), 1 + 9);
    pool.block_connected(&NamedBlock::of(Arc::new(block)));
    // And within its signature operations, which are used up sooner here.
    let (mut ledger, coins, mut pool) = setup(8);
    for coin in &coins {
        let mut tx = ledger.spend(&[*coin], 1_000_000);
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; 3_900]);
        offer(&mut pool, &ledger, &tx).unwrap();
    }
    let block = mine_pool(&mut ledger, &pool);
    assert_eq!(block.txdata.len(), 1 + 5);
}

#[test]
fn a_miner_may_take_less_and_takes_the_oldest_of_equal_payers() {
    let (mut ledger, coins, mut pool) = setup(5);
    let offered: Vec<_> = coins.iter().map(|c| ledger.spend(&[*c], 1_000)).collect();
    for tx in &offered {
        offer(&mut pool, &ledger, tx).unwrap();
    }
    let weight = offered[0].weight().to_wu();
    pool.set_block_weight_max(crate::chain::template::RESERVED_WEIGHT + 2 * weight);
    let block = mine_pool(&mut ledger, &pool);
    assert_eq!(block.txdata[1..], offered[..2]);
    pool.block_connected(&NamedBlock::of(Arc::new(block)));
    // Less than what is kept free anyway: nothing but the coinbase.
    pool.set_block_weight_max(1);
    assert_eq!(mine_pool(&mut ledger, &pool).txdata.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever hangs on whatever: a block of it is valid, nothing is left out for want of a
    /// parent, and the books balance.
    #[test]
    fn any_pool_makes_a_valid_block(
        links in proptest::collection::vec((0usize..30, 0u32..3, 200u64..50_000), 1..30),
    ) {
        let (mut ledger, coins, mut pool) = setup(2);
        let mut made: Vec<Transaction> =
            coins.iter().map(|coin| split(&ledger, *coin, 3, 5_000)).collect();
        for tx in &made {
            offer(&mut pool, &ledger, tx).unwrap();
        }
        for (parent, vout, fee) in links {
            let parent = &made[parent % made.len()];
            if parent.output.len() <= vout as usize {
                continue;
            }
            let value = (parent.output[vout as usize].value.to_sat() - fee) / 3;
            let output = TxOut { value: Amount::from_sat(value), script_pubkey: anyone() };
            let tx = spend_to(&[output_of(parent, vout)], vec![output; 3]);
            if offer(&mut pool, &ledger, &tx).is_ok() {
                made.push(tx);
            }
        }
        prop_assert_eq!(pool.bytes(), pool.iter().map(|entry| entry.bytes()).sum::<usize>());
        let block = mine_pool(&mut ledger, &pool);
        prop_assert_eq!(block.txdata.len(), 1 + pool.len());
        pool.block_connected(&NamedBlock::of(Arc::new(block)));
        prop_assert!(pool.is_empty() && pool.spenders.is_empty() && pool.by_wtxid.is_empty());
        prop_assert_eq!((pool.bytes(), pool.vbytes()), (0, 0));
    }
}
