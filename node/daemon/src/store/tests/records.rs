//! Records are read back as written, and nothing else is read as a record.

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, TxOut, Txid};
use peerlab_node::chain::fixture::Ledger;
use peerlab_node::chain::{BlockStatus, Coin, CoinSet};
use peerlab_node::chain::{BlockUndo, IndexRecord, State};
use proptest::prelude::*;

use crate::store::record::*;

fn coins() -> impl Strategy<Value = (OutPoint, Coin)> {
    let script = proptest::collection::vec(any::<u8>(), 0..80);
    (
        any::<[u8; 32]>(),
        any::<u32>(),
        any::<u64>(),
        script,
        0..1u32 << 31,
        any::<bool>(),
    )
        .prop_map(|(txid, vout, value, script, height, coinbase)| {
            let script_pubkey = ScriptBuf::from_bytes(script);
            let output = TxOut {
                value: Amount::from_sat(value),
                script_pubkey,
            };
            let outpoint = OutPoint {
                txid: Txid::from_byte_array(txid),
                vout,
            };
            (
                outpoint,
                Coin {
                    output,
                    height,
                    coinbase,
                },
            )
        })
}

proptest! {
    #[test]
    fn coins_and_undo_data_come_back(spent in proptest::collection::vec(coins(), 0..8)) {
        for (outpoint, coin) in &spent {
            let read = decode_coin(&encode_outpoint(outpoint), &encode_coin(outpoint, coin));
            prop_assert_eq!(read, Ok((*outpoint, coin.clone())));
        }
        let hash = BlockHash::all_zeros();
        let undo = BlockUndo { spent };
        prop_assert_eq!(decode_undo(&hash, &encode_undo(&hash, &undo)), Ok(undo));
    }

    #[test]
    fn any_other_byte_is_noticed((outpoint, coin) in coins(), place: usize, flip in 1u8..) {
        let key = encode_outpoint(&outpoint);
        let mut record = encode_coin(&outpoint, &coin);
        let place = place % record.len();
        record[place] ^= flip;
        prop_assert!(decode_coin(&key, &record).is_err());
    }

    #[test]
    fn noise_is_no_record(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let hash = BlockHash::all_zeros();
        prop_assert!(decode_block(&hash, &noise).is_err());
        prop_assert!(decode_undo(&hash, &noise).is_err());
        prop_assert!(decode_index(&hash, &noise).is_err());
        prop_assert!(decode_state(b"key", &noise).is_err());
        prop_assert!(decode_coin(&noise, &noise).is_err());
        prop_assert!(sound_hash(&noise).is_none());
    }
}

#[test]
fn blocks_index_and_state_come_back() {
    let mut ledger = Ledger::new();
    let block = ledger.block(Vec::new());
    let hash = block.block_hash();
    let record = encode_block(&hash, &block);
    assert_eq!(decode_block(&hash, &record), Ok(block.clone()));
    assert_eq!(sound_hash(&record[BLOCK_HEAD_BYTES..]), Some(hash));
    let other = BlockHash::all_zeros();
    assert!(
        decode_block(&other, &record).is_err(),
        "kept under another name"
    );
    for status in [
        BlockStatus::HeaderOnly,
        BlockStatus::Stored,
        BlockStatus::Valid,
        BlockStatus::Invalid,
        BlockStatus::InvalidAncestor,
    ] {
        for tx_count in [None, Some(3)] {
            let entry = IndexRecord {
                header: block.header,
                status,
                tx_count,
                sequence: 77,
            };
            assert_eq!(decode_index(&hash, &encode_index(&hash, &entry)), Ok(entry));
        }
    }
    let mut coins = CoinSet::default();
    let output = block.txdata[0].output[0].clone();
    coins.insert(
        OutPoint::null(),
        Coin {
            output,
            height: 1,
            coinbase: true,
        },
    );
    let state = State {
        tip: hash,
        coins: 1,
        muhash: coins.muhash().clone(),
    };
    assert_eq!(
        decode_state(b"key", &encode_state(b"key", &state)),
        Ok(state.clone())
    );
    assert!(decode_state(b"other", &encode_state(b"key", &state)).is_err());
}
