//! What was written is there after reopening.

use std::convert::Infallible;
use std::path::Path;

use peerlab_node::chain::StoreError;
use peerlab_node::chain::fixture::{Ledger, output_of, reworked, spend_to};
use peerlab_node::chain::{BlockStatus, Chain, OpenReport, UtxoStats};

use crate::store::RedbStore;

pub fn open(path: &Path) -> Ledger {
    let (ledger, report) = open_any(path);
    assert_eq!(report.damage, []);
    ledger
}

pub fn open_any(path: &Path) -> (Ledger, OpenReport) {
    let (chain, report) = Chain::open(Box::new(RedbStore::open(path).unwrap())).unwrap();
    let now = chain
        .best_header()
        .header
        .time
        .max(peerlab_node::chain::fixture::START_SECS);
    (
        Ledger {
            chain,
            now,
            extra_nonce: u64::from(chain_seed(&report)),
        },
        report,
    )
}

/// Blocks of different lives must differ.
fn chain_seed(report: &OpenReport) -> u32 {
    report.height * 1_000
}

/// A chain of 120 blocks with spendings, a stale branch, an invalid block and a body above a gap.
pub fn write_sample(path: &Path) -> UtxoStats {
    let mut ledger = open(path);
    let mut source = Ledger::new();
    source.mine(110);
    let blocks = source.bodies();
    ledger
        .chain
        .import(source.now, blocks.into_iter().map(Ok::<_, Infallible>))
        .unwrap();
    for height in 1..=8 {
        let coin = ledger.coinbase_at(height);
        let output = ledger.spend(&[coin], 1_000).output.remove(0);
        let parent = spend_to(
            &[coin],
            vec![
                bitcoin::TxOut {
                    value: output.value / 20,
                    ..output
                };
                20
            ],
        );
        let child = spend_to(&[output_of(&parent, 3)], parent.output[..1].to_vec());
        ledger.confirm(vec![parent, child]);
    }
    let fork = ledger.chain.hash_at(116).unwrap();
    let stale = ledger.block_on(&fork, Vec::new());
    ledger.accept(&stale).unwrap();
    let bad = ledger.block(Vec::new());
    let bad = reworked(bad, |block| block.txdata[0].output[0].value *= 2);
    ledger.refusal(&bad);
    ledger.mine(2);
    let missing = ledger.block(Vec::new());
    ledger
        .chain
        .accept_headers(missing.header.time, &[missing.header])
        .unwrap();
    let above = ledger.block_on(&missing.block_hash(), Vec::new());
    ledger.accept(&above).unwrap();
    assert_eq!(ledger.chain.tip().height, 120);
    ledger.chain.utxo_stats()
}

#[test]
fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain");
    let stats = write_sample(&path);
    let ledger = open(&path);
    assert_eq!(ledger.chain.utxo_stats(), stats);
    assert_eq!(ledger.bodies().len(), 120 + 1 + 1);
    let count = |status| {
        ledger
            .chain
            .entries()
            .filter(|entry| entry.status == status)
            .count()
    };
    assert_eq!(count(BlockStatus::Invalid), 1);
    assert_eq!(
        count(BlockStatus::Stored),
        2,
        "the stale one and the one above the gap"
    );
    assert_eq!(count(BlockStatus::HeaderOnly), 1);
    assert_eq!(ledger.chain.best_header().height, 122);
    let wanted = ledger.chain.wanted_blocks(9);
    assert_eq!(wanted.len(), 1);
    assert_eq!(wanted[0].1, 121);
    // Every entry is as it was, but for who noted it when.
    let again = open_after_drop(ledger, &path);
    assert_eq!(again.chain.utxo_stats(), stats);
}

fn open_after_drop(ledger: Ledger, path: &Path) -> Ledger {
    drop(ledger);
    open(path)
}

#[test]
fn a_reorganisation_works_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain");
    write_sample(&path);
    let mut ledger = open(&path);
    let mut parent = ledger.chain.hash_at(105).unwrap();
    let mut moved = None;
    for _ in 0..16 {
        let block = ledger.block_on(&parent, Vec::new());
        parent = block.block_hash();
        moved = Some(ledger.accept(&block).unwrap());
    }
    assert_eq!(moved.unwrap().disconnected.len(), 15);
    let stats = ledger.chain.utxo_stats();
    assert_eq!(stats.txouts, 121);
    let ledger = open_after_drop(ledger, &path);
    assert_eq!(ledger.chain.utxo_stats(), stats);
    // From scratch, with the best chain alone, it is the same.
    let mut fresh = Ledger::new();
    for height in 1..=stats.height {
        let hash = ledger.chain.hash_at(height).unwrap();
        fresh
            .accept(&ledger.chain.block(&hash).unwrap().unwrap())
            .unwrap();
    }
    assert_eq!(fresh.chain.utxo_stats(), stats);
}

#[test]
fn the_first_seen_of_equals_stays_the_tip_after_reopening() {
    for _ in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain");
        let mut ledger = open(&path);
        ledger.mine(2);
        let first = ledger.block(Vec::new());
        let rivals = [(); 3].map(|()| ledger.block(Vec::new()));
        ledger.accept(&first).unwrap();
        rivals
            .iter()
            .for_each(|rival| assert!(ledger.accept(rival).unwrap().connected.is_empty()));
        let ledger = open_after_drop(ledger, &path);
        assert_eq!(ledger.chain.tip().hash, first.block_hash());
    }
}

#[test]
fn a_second_user_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain");
    let _ledger = open(&path);
    assert!(matches!(RedbStore::open(&path), Err(StoreError::InUse(_))));
}

#[test]
fn a_device_that_fails_is_not_taken_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::Io { .. })));
    let nowhere = folder.path().join("missing").join("chain");
    assert!(matches!(
        RedbStore::open(&nowhere),
        Err(StoreError::Io { .. })
    ));
}
