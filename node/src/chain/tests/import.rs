//! Many blocks at once.

use std::convert::Infallible;

use bitcoin::Block;

use crate::chain::MemoryStore;
use crate::chain::fixture::{Ledger, reworked};
use crate::chain::{Chain, ImportError};

fn chain() -> Chain {
    Chain::open(Box::new(MemoryStore::default())).unwrap().0
}

fn blocks(length: u32) -> (Ledger, Vec<Block>) {
    let mut ledger = Ledger::new();
    ledger.mine(length);
    let blocks = (1..=length)
        .map(|height| ledger.chain.hash_at(height).unwrap())
        .map(|hash| ledger.chain.block(&hash).unwrap().unwrap().as_ref().clone())
        .collect();
    (ledger, blocks)
}

#[test]
fn a_chain_is_imported_in_any_order() {
    let (source, mut blocks) = blocks(40);
    blocks.reverse();
    blocks.swap(3, 30);
    let mut chain = chain();
    let report = chain
        .import(source.now, blocks.into_iter().map(Ok::<_, Infallible>))
        .unwrap();
    assert_eq!(
        (report.read, report.new, report.orphans, report.refused),
        (40, 40, 0, 0)
    );
    assert_eq!(chain.utxo_stats(), source.chain.utxo_stats());
}

#[test]
fn what_is_bad_or_hangs_in_the_air_is_left_out_and_reported() {
    let (source, mut blocks) = blocks(10);
    blocks[6] = reworked(blocks[6].clone(), |block| {
        block.txdata[0].output[0].value += bitcoin::Amount::ONE_SAT;
    });
    let mut chain = chain();
    let report = chain
        .import(source.now, blocks.into_iter().map(Ok::<_, Infallible>))
        .unwrap();
    assert_eq!(
        (report.read, report.new, report.orphans, report.refused),
        (10, 6, 3, 1)
    );
    assert!(
        report.refused_first[0].1.starts_with("bad-cb-amount"),
        "{report:?}"
    );
    assert_eq!(chain.tip().height, 6);
}

#[test]
fn what_came_before_a_failing_source_is_kept() {
    let (source, blocks) = blocks(5);
    let mut chain = chain();
    let items = blocks.into_iter().map(Ok).chain([Err("torn")]);
    let error = chain.import(source.now, items).unwrap_err();
    assert!(matches!(error, ImportError::Source("torn")));
    assert_eq!(chain.tip().height, 5);
}
