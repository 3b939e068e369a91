//! What blocks may spend: coins that exist, are mature and unlocked, and no more than they hold.

use bitcoin::script::Builder;
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness};
use bitcoin::{hashes::Hash, transaction};

use crate::chain::block_check::TxIds;
use crate::chain::connect::{Place, check_connect};
use crate::chain::fixture::{Ledger, SPACING_SECS, anyone, output_of, reworked, spend_to};
use crate::chain::rules::subsidy;
use crate::chain::{Coin, CoinSet};

const MISSING: &str = "bad-txns-inputs-missingorspent";

fn refusal_of(ledger: &mut Ledger, transactions: Vec<Transaction>) -> String {
    let block = ledger.block(transactions);
    ledger.refusal(&block)
}

fn one_sat() -> TxOut {
    TxOut {
        value: Amount::ONE_SAT,
        script_pubkey: anyone(),
    }
}

#[test]
fn only_what_exists_can_be_spent() {
    let (mut ledger, _) = Ledger::with_mature(1);
    let nowhere = OutPoint {
        txid: bitcoin::Txid::from_byte_array([9; 32]),
        vout: 0,
    };
    assert_eq!(
        refusal_of(&mut ledger, vec![spend_to(&[nowhere], vec![one_sat()])]),
        MISSING
    );
}

#[test]
fn a_coin_is_spent_once() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let (first, second) = (ledger.spend(&coins, 1_000), ledger.spend(&coins, 2_000));
    assert_eq!(
        refusal_of(&mut ledger, vec![first.clone(), second.clone()]),
        MISSING
    );
    ledger.confirm(vec![first]);
    assert_eq!(refusal_of(&mut ledger, vec![second]), MISSING);
}

#[test]
fn within_a_block_parents_come_first() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let parent = ledger.spend(&coins, 1_000);
    let child = spend_to(&[output_of(&parent, 0)], vec![one_sat()]);
    let (parent, child) = (parent, child);
    assert_eq!(
        refusal_of(&mut ledger, vec![child.clone(), parent.clone()]),
        MISSING
    );
    // Twice by two children: the coin lives and dies within the block.
    let rival = spend_to(&[output_of(&parent, 0)], vec![one_sat(), one_sat()]);
    assert_eq!(
        refusal_of(&mut ledger, vec![parent.clone(), child.clone(), rival]),
        MISSING
    );
    ledger.confirm(vec![parent.clone(), child]);
    assert_eq!(ledger.chain.coin(&output_of(&parent, 0)), None);
}

#[test]
fn unspendable_outputs_are_no_coins() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let long = ScriptBuf::from_bytes(vec![0x51; 10_001]);
    let longest = ScriptBuf::from_bytes(vec![0x51; 10_000]);
    let outputs = [ScriptBuf::from_bytes(vec![0x6a]), long, longest].map(|script_pubkey| TxOut {
        value: Amount::ONE_SAT,
        script_pubkey,
    });
    let tx = spend_to(&coins, outputs.to_vec());
    ledger.confirm(vec![tx.clone()]);
    assert_eq!(ledger.chain.coin(&output_of(&tx, 0)), None);
    assert_eq!(ledger.chain.coin(&output_of(&tx, 1)), None);
    assert!(ledger.chain.coin(&output_of(&tx, 2)).is_some());
    assert_eq!(
        refusal_of(
            &mut ledger,
            vec![spend_to(&[output_of(&tx, 0)], vec![one_sat()])]
        ),
        MISSING
    );
}

#[test]
fn coinbase_outputs_mature_after_100_blocks() {
    let mut ledger = Ledger::new();
    ledger.mine(99);
    let coin = ledger.coinbase_at(1);
    let spend = ledger.spend(&[coin], 1_000);
    assert_eq!(
        refusal_of(&mut ledger, vec![spend.clone()]),
        "bad-txns-premature-spend-of-coinbase"
    );
    ledger.mine(1);
    ledger.confirm(vec![spend]);
}

#[test]
fn nothing_pays_out_more_than_it_takes_in() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let mut greedy = ledger.spend(&coins, 0);
    ledger.confirm(vec![]);
    greedy.output[0].value += Amount::ONE_SAT;
    assert_eq!(
        refusal_of(&mut ledger, vec![greedy.clone()]),
        "bad-txns-in-belowout"
    );
    greedy.output[0].value -= Amount::ONE_SAT;
    ledger.confirm(vec![greedy]);
}

#[test]
fn the_coinbase_takes_subsidy_and_fees_and_no_more() {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let spend = ledger.spend(&coins, 1_234);
    let block = ledger.block(vec![spend]);
    let allowed = subsidy(101) + Amount::from_sat(1_234);
    let paying = |value: Amount| {
        reworked(block.clone(), |block| {
            block.txdata[0].output[0].value = value
        })
    };
    assert_eq!(
        ledger.refusal(&paying(allowed + Amount::ONE_SAT)),
        "bad-cb-amount"
    );
    ledger.accept(&paying(allowed)).unwrap();
}

#[test]
fn the_subsidy_halves_in_the_coinbase_too() {
    let mut ledger = Ledger::new();
    ledger.mine(149);
    let block = ledger.block(Vec::new());
    let greedy = reworked(block.clone(), |block| {
        block.txdata[0].output[0].value = subsidy(149)
    });
    assert_eq!(ledger.refusal(&greedy), "bad-cb-amount");
    ledger.accept(&block).unwrap();
    assert_eq!(
        ledger.chain.utxo_stats().total_amount,
        subsidy(1) * 149 + subsidy(150)
    );
}

/// Spends a coin that is `age` blocks old when the block stands, with this sequence number.
fn relative(sequence: u32, version: i32, age: u32) -> Result<(), String> {
    let (mut ledger, coins) = Ledger::with_mature(1);
    let parent = ledger.spend(&coins, 1_000);
    ledger.confirm(vec![parent.clone()]);
    ledger.mine(age - 1);
    let mut child = spend_to(&[output_of(&parent, 0)], vec![one_sat()]);
    child.version = transaction::Version::non_standard(version);
    child.input[0].sequence = Sequence::from_consensus(sequence);
    let block = ledger.block(vec![child]);
    ledger
        .accept(&block)
        .map(|_| ())
        .map_err(|error| error.reason().into_owned())
}

#[test]
fn relative_locks_in_blocks_are_kept() {
    let locked = Err("bad-txns-nonfinal".to_owned());
    assert_eq!(relative(5, 2, 4), locked);
    assert_eq!(relative(5, 2, 5), Ok(()));
    assert_eq!(relative(5, 1, 4), Ok(()), "version 1 has no relative locks");
    assert_eq!(relative(5, -1, 4), locked, "versions count unsigned");
    assert_eq!(relative(5 | 1 << 31, 2, 4), Ok(()), "switched off");
    assert_eq!(relative(5 | 1 << 16, 2, 4), locked, "only 16 bits count");
    assert_eq!(relative(1 << 16, 2, 1), Ok(()));
}

#[test]
fn relative_locks_in_time_count_from_the_block_before_the_coin() {
    let locked = Err("bad-txns-nonfinal".to_owned());
    let seconds = |units: u32| units | 1 << 22;
    // Median times advance by a spacing per block: at an age of n, n spacings have passed.
    for age in [3, 20] {
        let passed = age * SPACING_SECS;
        assert_eq!(relative(seconds(passed / 512 + 1), 2, age), locked);
        assert_eq!(relative(seconds(passed / 512), 2, age), Ok(()));
    }
}

#[test]
fn signature_operations_in_spent_scripts_count() {
    // 190 OP_CHECKMULTISIG that never run, each counted as 20 operations.
    let mut dead = vec![0x00, 0x63];
    dead.extend([0xae; 190]);
    dead.extend([0x68, 0x51]);
    let dead = ScriptBuf::from_bytes(dead);
    let in_p2sh = |input: &mut bitcoin::TxIn| {
        input.witness = Witness::new();
        let script: &bitcoin::script::PushBytes = dead.as_bytes().try_into().unwrap();
        input.script_sig = Builder::new().push_slice(script).into_script();
    };
    let in_p2wsh = |input: &mut bitcoin::TxIn| {
        input.witness = Witness::from_slice(&[dead.as_bytes()]);
    };
    type Fill<'a> = &'a dyn Fn(&mut bitcoin::TxIn);
    let cases: [(ScriptBuf, Fill<'_>, u32); 2] = [
        (dead.to_p2sh(), &in_p2sh, 5),
        (dead.to_p2wsh(), &in_p2wsh, 21),
    ];
    for (script, fill, allowed) in cases {
        let (mut ledger, coins) = Ledger::with_mature(1);
        let output = TxOut {
            value: Amount::from_sat(1_000),
            script_pubkey: script,
        };
        let setup = spend_to(&coins, vec![output; 32]);
        ledger.confirm(vec![setup.clone()]);
        let spending = |count: u32| {
            let coins: Vec<_> = (0..count).map(|vout| output_of(&setup, vout)).collect();
            let mut tx = spend_to(&coins, vec![one_sat()]);
            tx.input.iter_mut().for_each(fill);
            tx
        };
        assert_eq!(
            refusal_of(&mut ledger, vec![spending(allowed + 1)]),
            "bad-blk-sigops"
        );
        ledger.confirm(vec![spending(allowed)]);
    }
}

/// Judges a block directly: for rules that no chain of sound blocks can come to break.
fn judged(coins: &CoinSet, block: &Block, height: u32) -> Result<(), &'static str> {
    let ids = TxIds::of(block);
    let place = Place {
        height,
        parent_median_time: 0,
        median_time_at: &|_| 0,
        scripts: &std::sync::Mutex::default(),
    };
    check_connect(coins, block, &ids, &place)
        .map(|_| ())
        .map_err(|error| error.reason)
}

#[test]
fn no_transaction_overwrites_unspent_outputs_of_its_like() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    let mut coins = CoinSet::default();
    assert_eq!(judged(&coins, &block, 1), Ok(()));
    let output = block.txdata[0].output[0].clone();
    coins.insert(
        output_of(&block.txdata[0], 0),
        Coin {
            output,
            height: 0,
            coinbase: true,
        },
    );
    assert_eq!(judged(&coins, &block, 1), Err("bad-txns-BIP30"));
}

#[test]
fn input_values_stay_in_range() {
    let (mut ledger, _) = Ledger::with_mature(1);
    let mut coins = CoinSet::default();
    let value = Amount::MAX_MONEY;
    let outpoints = [1, 2].map(|n| OutPoint {
        txid: bitcoin::Txid::from_byte_array([n; 32]),
        vout: 0,
    });
    for outpoint in outpoints {
        let output = TxOut {
            value,
            script_pubkey: anyone(),
        };
        coins.insert(
            outpoint,
            Coin {
                output,
                height: 0,
                coinbase: false,
            },
        );
    }
    let both = ledger.block(vec![spend_to(&outpoints, vec![one_sat()])]);
    assert_eq!(
        judged(&coins, &both, 101),
        Err("bad-txns-inputvalues-outofrange")
    );
    let fees = outpoints.map(|outpoint| spend_to(&[outpoint], vec![one_sat()]));
    let apart = ledger.block(fees.to_vec());
    assert_eq!(
        judged(&coins, &apart, 101),
        Err("bad-txns-accumulated-fee-outofrange")
    );
}
