//! Blocks in themselves and in their place: each rule broken alone.

use bitcoin::absolute::LockTime;
use bitcoin::script::Builder;
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness};

use crate::chain::BlockStatus;
use crate::chain::fixture::{
    Ledger, SPACING_SECS, anyone, output_of, remined, reworked, reworked_without_commitment,
    spend_to,
};
use crate::chain::rules::MAX_BLOCK_SIGOPS_COST;

/// A ledger, a good block on its tip with one spending, and a change to that block that makes it
/// faulty in one way.
fn refusal(change: impl FnOnce(&mut Block)) -> String {
    let (mut ledger, coins) = Ledger::with_mature(2);
    let spend = ledger.spend(&coins, 1_000);
    let good = ledger.block(vec![spend]);
    let bad = reworked(good.clone(), change);
    let reason = ledger.refusal(&bad);
    assert_eq!(
        ledger.chain.entry(&bad.block_hash()).unwrap().status,
        BlockStatus::Invalid
    );
    ledger.accept(&good).unwrap();
    reason
}

fn pay(sat: u64) -> TxOut {
    TxOut {
        value: Amount::from_sat(sat),
        script_pubkey: anyone(),
    }
}

#[test]
fn the_merkle_root_must_name_the_body_and_a_wrong_body_is_not_held_against_the_hash() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let good = ledger.block(vec![ledger.spend(&coins, 1_000)]);
    let mut bad = good.clone();
    bad.txdata[1].lock_time = LockTime::from_consensus(1);
    assert_eq!(ledger.refusal(&bad), "bad-txnmrklroot");
    ledger.accept(&good).unwrap();
}

#[test]
fn a_body_with_doubled_transactions_and_the_same_root_is_refused_without_consequence() {
    // CVE-2012-2459: with three transactions the last is paired with itself.
    let (mut ledger, coins) = Ledger::with_mature(2);
    let spends = coins
        .iter()
        .map(|coin| ledger.spend(&[*coin], 1_000))
        .collect();
    let good = ledger.block(spends);
    let mut bad = good.clone();
    bad.txdata.push(good.txdata[2].clone());
    assert!(bad.check_merkle_root());
    assert_eq!(ledger.refusal(&bad), "bad-txns-duplicate");
    ledger.accept(&good).unwrap();
}

#[test]
fn there_must_be_transactions() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    let empty = remined(block, |block| {
        block.txdata.clear();
        block.header.merkle_root = bitcoin::hashes::Hash::all_zeros();
    });
    assert_eq!(ledger.refusal(&empty), "bad-blk-length");
}

#[test]
fn the_first_transaction_alone_is_a_coinbase() {
    assert_eq!(
        refusal(|block| {
            block.txdata.remove(0);
        }),
        "bad-cb-missing"
    );
    assert_eq!(
        refusal(|block| {
            let mut second = block.txdata[0].clone();
            second.output = vec![pay(0)];
            block.txdata.push(second);
        }),
        "bad-cb-multiple"
    );
}

#[test]
fn a_block_without_witness_is_limited_in_size() {
    // Two outputs with scripts of half a megabyte each, no witness: a million bytes and a few.
    let mut ledger = Ledger::new();
    let fill = |bytes: usize| TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(vec![0x6a; bytes]),
    };
    let block = ledger.block(Vec::new());
    let base = block.total_size() - block.txdata[0].input[0].witness.size() - 2;
    let sized = |bytes: usize| {
        reworked(block.clone(), |block| {
            // The output itself: value, five bytes of length.
            block.txdata[0].output.insert(1, fill(bytes - base - 13));
        })
    };
    let over = sized(1_000_001);
    assert_eq!(over.weight().to_wu(), 4_000_004 + 36);
    assert_eq!(ledger.refusal(&over), "bad-blk-length");
    let fits = sized(1_000_000 - 9);
    assert_eq!(fits.weight().to_wu(), 4_000_000);
    ledger.accept(&fits).unwrap();
}

#[test]
fn a_block_with_witness_is_limited_in_weight() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    // An output whose witness may begin with anything: drop it, then true.
    let drop_then_true = ScriptBuf::from_bytes(vec![0x75, 0x51]);
    let setup = spend_to(
        &coins,
        (0..8000)
            .map(|_| TxOut {
                value: Amount::from_sat(1_000),
                script_pubkey: drop_then_true.to_p2wsh(),
            })
            .collect(),
    );
    ledger.confirm(vec![setup.clone()]);
    let mut big = spend_to(
        &(0..7_000)
            .map(|vout| output_of(&setup, vout))
            .collect::<Vec<_>>(),
        vec![pay(1_000)],
    );
    for input in &mut big.input {
        input.witness = Witness::from_slice(&[&[0u8; 395][..], drop_then_true.as_bytes()]);
    }
    let block = ledger.block(vec![big]);
    let spare = 4_000_000 - block.weight().to_wu() as usize;
    assert!(spare < 100_000, "{spare}");
    // Fill up the rest by an output of nothing but bytes, four units each.
    let filled = |more: usize| {
        reworked(block.clone(), |block| {
            let bytes = spare / 4 - 13 + more;
            block.txdata[0].output.insert(
                1,
                TxOut {
                    value: Amount::ZERO,
                    script_pubkey: ScriptBuf::from_bytes(vec![0x6a; bytes]),
                },
            );
        })
    };
    let over = filled(4);
    assert!(over.weight().to_wu() > 4_000_000 && over.weight().to_wu() < 4_000_100);
    assert_eq!(ledger.refusal(&over), "bad-blk-weight");
}

#[test]
fn transactions_need_inputs_and_outputs() {
    assert_eq!(
        refusal(|block| block.txdata[1].input.clear()),
        "bad-txns-vin-empty"
    );
    assert_eq!(
        refusal(|block| block.txdata[1].output.clear()),
        "bad-txns-vout-empty"
    );
}

#[test]
fn output_values_stay_in_range() {
    let with = |values: &[u64]| {
        let outputs: Vec<TxOut> = values.iter().map(|value| pay(*value)).collect();
        refusal(|block| block.txdata[1].output = outputs)
    };
    let max = Amount::MAX_MONEY.to_sat();
    assert_eq!(with(&[u64::MAX]), "bad-txns-vout-negative");
    assert_eq!(with(&[1 << 63]), "bad-txns-vout-negative");
    assert_eq!(with(&[max + 1]), "bad-txns-vout-toolarge");
    assert_eq!(with(&[max, 1]), "bad-txns-txouttotal-toolarge");
    assert_eq!(with(&[max]), "bad-txns-in-belowout");
}

#[test]
fn no_input_may_be_named_twice() {
    let reason = refusal(|block| {
        let again = block.txdata[1].input[0].clone();
        block.txdata[1].input.push(again);
    });
    assert_eq!(reason, "bad-txns-inputs-duplicate");
}

#[test]
fn only_a_coinbase_has_a_null_input() {
    let reason = refusal(|block| block.txdata[1].input[1].previous_output = OutPoint::null());
    assert_eq!(reason, "bad-txns-prevout-null");
}

#[test]
fn a_coinbase_script_has_2_to_100_bytes() {
    let with = |bytes: usize| {
        move |block: &mut Block| {
            let mut script = block.txdata[0].input[0].script_sig.to_bytes();
            script.resize(bytes, 0);
            block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(script);
        }
    };
    assert_eq!(refusal(with(1)), "bad-cb-length");
    assert_eq!(refusal(with(101)), "bad-cb-length");
    let mut ledger = Ledger::new();
    let longest = ledger.block(Vec::new());
    ledger.accept(&reworked(longest, with(100))).unwrap();
    // Height 2 takes one byte.
    let shortest = ledger.block(Vec::new());
    ledger.accept(&reworked(shortest, with(2))).unwrap();
}

#[test]
fn signature_operations_are_limited_legacy_ones_at_four_each() {
    let with = |sigops: u64| {
        move |block: &mut Block| {
            // OP_CHECKSIG over and over, in outputs that nobody needs to be able to spend.
            let script = ScriptBuf::from_bytes(vec![0xac; sigops as usize]);
            block.txdata[0].output.insert(
                0,
                TxOut {
                    value: Amount::ZERO,
                    script_pubkey: script,
                },
            );
        }
    };
    let limit = MAX_BLOCK_SIGOPS_COST / 4;
    assert_eq!(refusal(with(limit + 1)), "bad-blk-sigops");
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    ledger.accept(&reworked(block, with(limit))).unwrap();
}

#[test]
fn legacy_operations_are_counted_before_a_block_is_stored() {
    // On a side branch nothing is connected, so only the check of the block itself can see it.
    let mut ledger = Ledger::new();
    ledger.mine(2);
    let parent = ledger.chain.hash_at(1).unwrap();
    let block = ledger.block_on(&parent, Vec::new());
    let bad = reworked(block, |block| {
        let script = ScriptBuf::from_bytes(vec![0xac; MAX_BLOCK_SIGOPS_COST as usize / 4 + 1]);
        block.txdata[0].output.insert(
            0,
            TxOut {
                value: Amount::ZERO,
                script_pubkey: script,
            },
        );
    });
    assert_eq!(ledger.refusal(&bad), "bad-blk-sigops");
}

#[test]
fn the_coinbase_must_begin_with_the_height() {
    let with = |script: ScriptBuf| refusal(|block| block.txdata[0].input[0].script_sig = script);
    assert_eq!(with(ScriptBuf::from_bytes(vec![0, 0, 0])), "bad-cb-height");
    let wrong = Builder::new().push_int(101).push_int(0).into_script();
    assert_eq!(with(wrong), "bad-cb-height");
    // The right number in a longer encoding.
    assert_eq!(
        with(ScriptBuf::from_bytes(vec![2, 102, 0])),
        "bad-cb-height"
    );
}

#[test]
fn heights_up_to_16_are_pushed_by_an_opcode() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    let pushed = |script: &[u8]| {
        let script = ScriptBuf::from_bytes(script.to_vec());
        reworked(block.clone(), |block| {
            block.txdata[0].input[0].script_sig = script
        })
    };
    assert_eq!(ledger.refusal(&pushed(&[1, 1, 0])), "bad-cb-height");
    ledger.accept(&pushed(&[0x51, 0])).unwrap();
}

/// A block whose only spending has this locktime, refused or not.
fn with_locktime(lock: impl Fn(&Ledger) -> u32, sequence: Sequence) -> Result<(), String> {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let mut spend = ledger.spend(&coins, 1_000);
    spend.lock_time = LockTime::from_consensus(lock(&ledger));
    spend.input[0].sequence = sequence;
    let block = ledger.block(vec![spend]);
    ledger
        .accept(&block)
        .map(|_| ())
        .map_err(|error| error.reason().into_owned())
}

#[test]
fn a_locktime_in_blocks_is_kept() {
    let final_at = |height: u32| with_locktime(move |_| height, Sequence::ENABLE_LOCKTIME_NO_RBF);
    // The block stands at 101.
    assert_eq!(final_at(101), Err("bad-txns-nonfinal".to_owned()));
    assert_eq!(final_at(100), Ok(()));
    assert_eq!(
        with_locktime(|_| 101, Sequence::MAX),
        Ok(()),
        "sequences switch it off"
    );
}

#[test]
fn a_locktime_in_seconds_counts_by_median_time_past() {
    let at = |offset: i64| {
        with_locktime(
            move |ledger| {
                let tip = ledger.chain.tip();
                let median = ledger.chain.median_time_past(&tip.hash);
                // Far below the block's own time: only BIP113 refuses this.
                assert!(median + 1 < tip.header.time + SPACING_SECS);
                (i64::from(median) + offset) as u32
            },
            Sequence::ENABLE_LOCKTIME_NO_RBF,
        )
    };
    assert_eq!(at(0), Err("bad-txns-nonfinal".to_owned()));
    assert_eq!(at(-1), Ok(()));
}

/// What becomes of a good block with a witness after a change that keeps the merkle root, or
/// makes a new one, but leaves the commitment.
fn uncommitted(change: impl FnOnce(&mut Block)) -> (Ledger, Block, String) {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let good = ledger.block(vec![ledger.spend(&coins, 1_000)]);
    let bad = reworked_without_commitment(good.clone(), change);
    let reason = ledger.refusal(&bad);
    (ledger, good, reason)
}

#[test]
fn the_coinbase_must_commit_to_the_witnesses() {
    let (mut ledger, good, reason) = uncommitted(|block| {
        block.txdata[1].input[0].witness.push([1]);
    });
    assert_eq!(reason, "bad-witness-merkle-match");
    // Only the copy was bad: same hash, other witness.
    ledger.accept(&good).unwrap();
}

#[test]
fn the_reserved_value_has_32_bytes_and_stands_alone() {
    for witness in [
        vec![],
        vec![vec![0; 31]],
        vec![vec![0; 33]],
        vec![vec![0; 32], vec![]],
    ] {
        let (mut ledger, good, reason) = uncommitted(|block| {
            block.txdata[0].input[0].witness = Witness::from_slice(&witness);
        });
        assert_eq!(reason, "bad-witness-nonce-size");
        ledger.accept(&good).unwrap();
    }
}

#[test]
fn a_witness_needs_a_commitment() {
    let (_, _, reason) = uncommitted(|block| {
        block.txdata[0].output.pop();
    });
    assert_eq!(reason, "unexpected-witness");
}

#[test]
fn without_any_witness_no_commitment_is_needed() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    let bare = reworked_without_commitment(block, |block| {
        block.txdata[0].output.pop();
        block.txdata[0].input[0].witness.clear();
    });
    ledger.accept(&bare).unwrap();
}

#[test]
fn the_last_commitment_counts() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    let decoy = block.txdata[0].output[1].clone();
    let good = reworked(block, |block| {
        block.txdata[0].output.insert(0, decoy.clone())
    });
    let bad = reworked_without_commitment(good.clone(), |block| {
        let mut output = decoy.clone();
        let mut script = output.script_pubkey.to_bytes();
        script[10] ^= 1;
        output.script_pubkey = ScriptBuf::from_bytes(script);
        block.txdata[0].output.push(output);
    });
    assert_eq!(ledger.refusal(&bad), "bad-witness-merkle-match");
    ledger.accept(&good).unwrap();
}

#[test]
fn a_known_block_is_no_news() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    assert!(ledger.accept(&block).unwrap().new);
    let again = ledger.accept(&block).unwrap();
    assert!(!again.new && again.connected.is_empty());
}

#[test]
fn blocks_far_ahead_are_not_kept() {
    let mut other = Ledger::new();
    other.mine(300);
    let headers: Vec<_> = (1..=300)
        .map(|height| {
            other
                .chain
                .entry(&other.chain.hash_at(height).unwrap())
                .unwrap()
                .header
        })
        .collect();
    let mut ledger = Ledger::new();
    ledger.now = other.now;
    ledger.chain.accept_headers(ledger.now, &headers).unwrap();
    let wanted = ledger.chain.wanted_blocks(1_000);
    assert_eq!(wanted.len(), 288);
    let block = |hash| other.chain.block(hash).unwrap().unwrap();
    let last = ledger
        .chain
        .accept_block(ledger.now, block(&wanted[287].0))
        .unwrap();
    assert!(last.new && last.connected.is_empty());
    let beyond = other.chain.hash_at(289).unwrap();
    let error = ledger
        .chain
        .accept_block(ledger.now, block(&beyond))
        .unwrap_err();
    assert_eq!(error.reason(), "too-far-ahead");
    assert!(!error.punish());
}

#[test]
fn what_the_other_tests_change_is_good_unchanged() {
    let (mut ledger, coins) = Ledger::with_mature(2);
    let spend: Transaction = ledger.spend(&coins, 1_000);
    let block = ledger.block(vec![spend]);
    let outcome = ledger.accept(&block).unwrap();
    assert_eq!(outcome.connected.len(), 1);
    assert_eq!(outcome.rejected, []);
}
