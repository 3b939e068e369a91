//! Headers: each rule broken alone, and the bound on their number.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget};

use crate::chain::fixture::{Ledger, SPACING_SECS, remined, reworked};
use crate::chain::rules::MAX_FUTURE_SECS;
use crate::chain::{BlockStatus, ChainTipStatus, HeaderError};

/// Headers of a chain of empty blocks after `parent`, made in a ledger of its own.
fn branch(on: &Ledger, length: u32, extra_nonce: u64) -> Vec<Header> {
    let mut other = Ledger::new();
    other.extra_nonce = extra_nonce;
    for hash in (1..=on.chain.tip().height).filter_map(|height| on.chain.hash_at(height)) {
        let block = on.chain.block(&hash).unwrap().unwrap();
        other.accept(&block).unwrap();
    }
    let start = other.chain.tip().height;
    other.mine(length);
    (start + 1..=start + length)
        .map(|height| {
            other
                .chain
                .entry(&other.chain.hash_at(height).unwrap())
                .unwrap()
                .header
        })
        .collect()
}

fn refusal(ledger: &mut Ledger, header: Header) -> HeaderError {
    let known = ledger.chain.entries().count();
    let now = ledger.now;
    let error = ledger.chain.accept_headers(now, &[header]).unwrap_err();
    assert_eq!(ledger.chain.entries().count(), known);
    error
}

fn good(ledger: &mut Ledger) -> Header {
    let block = ledger.block(Vec::new());
    ledger.now = ledger.now.max(block.header.time);
    block.header
}

/// Changes a header and finds new work.
fn changed(ledger: &mut Ledger, change: impl FnOnce(&mut Header)) -> Header {
    let block = ledger.block(Vec::new());
    ledger.now = ledger.now.max(block.header.time);
    remined(block, |block| change(&mut block.header)).header
}

#[test]
fn good_headers_extend_the_tree_and_want_their_blocks() {
    let mut ledger = Ledger::new();
    ledger.mine(3);
    let headers = branch(&ledger, 5, 100);
    ledger.now = headers[4].time;
    let accepted = ledger.chain.accept_headers(ledger.now, &headers).unwrap();
    assert_eq!((accepted.new, accepted.best_changed), (5, true));
    assert_eq!(accepted.last, Some(headers[4].block_hash()));
    assert_eq!(ledger.chain.best_header().height, 8);
    assert_eq!(ledger.chain.tip().height, 3);
    let wanted = ledger.chain.wanted_blocks(3);
    let expected: Vec<_> = headers[..3]
        .iter()
        .map(Header::block_hash)
        .zip(4..)
        .collect();
    assert_eq!(wanted, expected);
    let again = ledger.chain.accept_headers(ledger.now, &headers).unwrap();
    assert_eq!((again.new, again.best_changed), (0, false));
    assert_eq!(ledger.chain.tips()[0].status, ChainTipStatus::HeadersOnly);
    assert_eq!(ledger.chain.tips()[0].branch_len, 5);
}

#[test]
fn work_that_misses_the_target_is_refused() {
    let mut ledger = Ledger::new();
    let mut header = good(&mut ledger);
    while header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    assert_eq!(refusal(&mut ledger, header), HeaderError::HighHash);
}

#[test]
fn another_difficulty_is_refused() {
    let mut ledger = Ledger::new();
    // Harder than demanded, and met: still not what the rules say.
    let mut header = good(&mut ledger);
    header.bits = CompactTarget::from_consensus(0x207f_fffe);
    while !header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    assert_eq!(refusal(&mut ledger, header), HeaderError::BadBits);
}

#[test]
fn time_must_pass_the_median_of_eleven() {
    let mut ledger = Ledger::new();
    ledger.mine(12);
    let median = ledger.chain.median_time_past(&ledger.chain.tip().hash);
    assert_eq!(median, ledger.chain.tip().header.time - 5 * SPACING_SECS);
    let header = changed(&mut ledger, |header| header.time = median);
    assert_eq!(refusal(&mut ledger, header), HeaderError::TimeTooOld);
    let header = changed(&mut ledger, |header| header.time = median + 1);
    ledger.chain.accept_headers(ledger.now, &[header]).unwrap();
}

#[test]
fn time_may_be_two_hours_ahead_and_no_more() {
    let mut ledger = Ledger::new();
    ledger.mine(1);
    let limit = ledger.now + SPACING_SECS + MAX_FUTURE_SECS;
    let header = changed(&mut ledger, |header| header.time = limit + 1);
    let error = refusal(&mut ledger, header);
    assert_eq!(error, HeaderError::TimeTooNew);
    assert!(!error.punish(), "clocks differ");
    ledger
        .chain
        .accept_headers(ledger.now + 1, &[header])
        .unwrap();
    let header = changed(&mut ledger, |header| header.time = limit);
    ledger.chain.accept_headers(ledger.now, &[header]).unwrap();
}

#[test]
fn versions_before_bip65_are_refused() {
    let mut ledger = Ledger::new();
    for version in [-1, 0, 1, 2, 3] {
        let header = changed(&mut ledger, |header| {
            header.version = Version::from_consensus(version)
        });
        assert!(matches!(
            refusal(&mut ledger, header),
            HeaderError::BadVersion(_)
        ));
    }
    let header = changed(&mut ledger, |header| {
        header.version = Version::from_consensus(4)
    });
    ledger.chain.accept_headers(ledger.now, &[header]).unwrap();
    assert_eq!(
        HeaderError::BadVersion(1).reason(),
        "bad-version(0x00000001)"
    );
}

#[test]
fn an_unknown_parent_is_no_crime() {
    let mut ledger = Ledger::new();
    let parent = BlockHash::from_byte_array([7; 32]);
    let header = changed(&mut ledger, |header| header.prev_blockhash = parent);
    let error = refusal(&mut ledger, header);
    assert_eq!(error, HeaderError::UnknownParent(parent));
    assert_eq!(error.reason(), "prev-blk-not-found");
    assert!(!error.punish());
}

#[test]
fn headers_of_one_message_must_follow_each_other() {
    let mut ledger = Ledger::new();
    let first = good(&mut ledger);
    let second = good(&mut ledger);
    let error = ledger
        .chain
        .accept_headers(ledger.now, &[first, second])
        .unwrap_err();
    assert_eq!(error, HeaderError::NotContinuous);
    assert!(error.punish());
}

#[test]
fn nothing_may_stand_on_an_invalid_block() {
    let mut ledger = Ledger::new();
    let bad = ledger.block(Vec::new());
    let bad = reworked(bad, |block| {
        block.txdata[0].output[0].value += bitcoin::Amount::ONE_SAT
    });
    let child = remined(bad.clone(), |block| {
        block.header.prev_blockhash = bad.block_hash();
        block.header.time += 1;
    });
    // The header of the child is known before the parent's body turns out bad.
    ledger.now = child.header.time;
    ledger
        .chain
        .accept_headers(ledger.now, &[bad.header, child.header])
        .unwrap();
    assert_eq!(ledger.refusal(&bad), "bad-cb-amount");
    let status = |hash| ledger.chain.entry(&hash).unwrap().status;
    assert_eq!(status(bad.block_hash()), BlockStatus::Invalid);
    assert_eq!(status(child.block_hash()), BlockStatus::InvalidAncestor);
    assert_eq!(ledger.chain.best_header().height, 0);
    assert_eq!(ledger.chain.wanted_blocks(9), []);
    let grandchild = remined(child.clone(), |block| {
        block.header.prev_blockhash = child.block_hash();
        block.header.time += 1;
    });
    assert_eq!(
        refusal(&mut ledger, grandchild.header),
        HeaderError::InvalidParent
    );
    assert_eq!(
        refusal(&mut ledger, child.header),
        HeaderError::InvalidParent
    );
    assert_eq!(refusal(&mut ledger, bad.header), HeaderError::KnownInvalid);
    assert_eq!(ledger.refusal(&bad), "duplicate-invalid");
}

#[test]
fn a_flood_of_headers_is_bounded_and_the_best_branch_lives() {
    let mut ledger = Ledger::new();
    ledger.mine(2);
    ledger.chain.ledger_mut().tree.limit_bare_headers(16);
    let best = branch(&ledger, 8, 100);
    ledger.now = best[7].time;
    ledger.chain.accept_headers(ledger.now, &best).unwrap();
    for flood in 0..40 {
        let headers = branch(&ledger, 1, 1_000 + flood);
        ledger.chain.accept_headers(ledger.now, &headers).unwrap();
        assert!(ledger.chain.entries().count() <= 16 + 3);
    }
    assert!(
        best.iter()
            .all(|header| ledger.chain.entry(&header.block_hash()).is_some())
    );
    assert_eq!(ledger.chain.best_header().hash, best[7].block_hash());
    // Too far ahead of the bodies: it has to wait, without blame.
    let long = branch(&ledger, 30, 5_000);
    ledger.now = long[29].time;
    let error = ledger.chain.accept_headers(ledger.now, &long).unwrap_err();
    assert_eq!(error, HeaderError::TooManyHeaders);
    assert!(!error.punish());
    assert!(ledger.chain.entries().count() <= 16 + 3);
    // A block with its body is always welcome.
    ledger.mine(1);
    assert_eq!(ledger.chain.tip().height, 3);
}

#[test]
fn locators_thin_out_and_lead_to_what_is_missing() {
    let mut ledger = Ledger::new();
    ledger.mine(60);
    let tip = ledger.chain.tip().hash;
    let heights: Vec<u32> = ledger
        .chain
        .locator(&tip)
        .iter()
        .map(|hash| ledger.chain.entry(hash).unwrap().height)
        .collect();
    assert_eq!(
        heights,
        [
            60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 48, 44, 36, 20, 0
        ]
    );
    let at = |height| ledger.chain.hash_at(height).unwrap();
    let none = BlockHash::all_zeros();
    let headers = ledger
        .chain
        .headers_after(&[none, at(57), at(20)], none, 2_000);
    let hashes: Vec<BlockHash> = headers.iter().map(Header::block_hash).collect();
    assert_eq!(hashes, [at(58), at(59), at(60)]);
    assert_eq!(ledger.chain.headers_after(&[none], none, 7).len(), 7);
    assert_eq!(
        ledger.chain.headers_after(&[at(10)], at(13), 2_000).len(),
        3
    );
    assert_eq!(
        ledger.chain.headers_after(&[], at(13), 2_000)[0].block_hash(),
        at(13)
    );
    assert_eq!(ledger.chain.headers_after(&[at(60)], none, 2_000), []);
    assert_eq!(ledger.chain.locator(&none), []);
}
