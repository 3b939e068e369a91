//! Compact blocks against the block that they are made of, against rust-bitcoin's, and against
//! what a hostile peer may write.

use bitcoin::bip152::HeaderAndShortIds;
use bitcoin::consensus::{Encodable, deserialize, serialize};
use bitcoin::{Network, OutPoint, ScriptBuf, TxIn, Txid};

use super::*;
use crate::wire::{Command, Message};

/// The genesis block with some more transactions, all different.
fn block_of(count: u8) -> Arc<Block> {
    let mut block = bitcoin::constants::genesis_block(Network::Regtest);
    for n in 1..count {
        let mut tx = block.txdata[0].clone();
        tx.input = vec![TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([n; 32]), 0),
            script_sig: ScriptBuf::from_bytes(vec![n; usize::from(n)]),
            ..TxIn::default()
        }];
        block.txdata.push(tx);
    }
    Arc::new(block)
}

fn payload_of(message: &Message) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    message.write_payload(&mut writer);
    writer.into_bytes()
}

/// A `cmpctblock` as a liar writes it.
fn forged(short_ids: &[u8], id_count: u64, prefilled: &[(u64, Transaction)]) -> Vec<u8> {
    let mut bytes = serialize(&block_of(1).header);
    bytes.extend_from_slice(&[7; 8]);
    bitcoin::VarInt(id_count)
        .consensus_encode(&mut bytes)
        .unwrap();
    bytes.extend_from_slice(short_ids);
    bitcoin::VarInt(prefilled.len() as u64)
        .consensus_encode(&mut bytes)
        .unwrap();
    for (gap, tx) in prefilled {
        bitcoin::VarInt(*gap).consensus_encode(&mut bytes).unwrap();
        tx.consensus_encode(&mut bytes).unwrap();
    }
    bytes
}

fn read_block(bytes: &[u8]) -> Result<Message, PayloadError> {
    Message::read(Command::CmpctBlock.into(), bytes)
}

fn read_places(counted: u64, gaps: &[u64]) -> Result<Message, PayloadError> {
    let mut bytes = vec![9; 32];
    for number in [counted].iter().chain(gaps) {
        bitcoin::VarInt(*number)
            .consensus_encode(&mut bytes)
            .unwrap();
    }
    Message::read(Command::GetBlockTxn.into(), &bytes)
}

#[test]
fn rust_bitcoin_makes_the_same_of_the_same_block() {
    let block = block_of(40);
    let ours = payload_of(&Message::CmpctBlock(Arc::new(
        CompactBlock::of(&block, 77).unwrap(),
    )));
    let theirs = HeaderAndShortIds::from_block(&block, 77, 2, &[]).unwrap();
    assert_eq!(ours, serialize(&theirs));
    assert_eq!(deserialize::<HeaderAndShortIds>(&ours).unwrap(), theirs);
}

#[test]
fn rust_bitcoin_s_prefilled_transactions_are_read_at_their_places() {
    let block = block_of(40);
    let theirs = HeaderAndShortIds::from_block(&block, 77, 2, &[3, 4, 39]).unwrap();
    let Message::CmpctBlock(read) = read_block(&serialize(&theirs)).unwrap() else {
        panic!("no compact block");
    };
    let places: Vec<u16> = read.prefilled().iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 3, 4, 39]);
    assert_eq!(read.transaction_count(), 40);
    for (place, tx) in read.prefilled() {
        assert_eq!(**tx, block.txdata[usize::from(*place)]);
    }
    assert_eq!(payload_of(&Message::CmpctBlock(read)), serialize(&theirs));
}

#[test]
fn every_transaction_is_found_at_its_place_by_its_wtxid() {
    let block = block_of(40);
    let compact = CompactBlock::of(&block, 1).unwrap();
    for (place, tx) in block.txdata.iter().enumerate().skip(1) {
        assert_eq!(compact.place_of(tx.compute_wtxid()), Some(place as u16));
    }
    assert_eq!(compact.place_of(Wtxid::from_byte_array([1; 32])), None);
    assert!(!compact.has_twins());
    let other_salt = CompactBlock::of(&block, 2).unwrap();
    assert_ne!(compact.short_ids(), other_salt.short_ids());
}

#[test]
fn two_equal_short_ids_are_noticed() {
    let coinbase = block_of(1).txdata[0].clone();
    let twins = read_block(&forged(&[5; 12], 2, &[(0, coinbase)])).unwrap();
    assert!(matches!(twins, Message::CmpctBlock(compact) if compact.has_twins()));
}

#[test]
fn prefilled_transactions_out_of_their_places_are_refused() {
    let tx = || block_of(1).txdata[0].clone();
    let out_of_place = PayloadError::Invalid("prefilled transaction out of its place");
    // One short id and one prefilled transaction have places 0 and 1.
    assert!(read_block(&forged(&[5; 6], 1, &[(1, tx())])).is_ok());
    assert_eq!(
        read_block(&forged(&[5; 6], 1, &[(2, tx())])).unwrap_err(),
        out_of_place
    );
    assert_eq!(
        read_block(&forged(&[], 0, &[(0, tx()), (1, tx())])).unwrap_err(),
        out_of_place
    );
    for gap in [65_536, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(
            read_block(&forged(&[], 0, &[(gap, tx())])).unwrap_err(),
            PayloadError::Limit("place over 16 bits")
        );
    }
    // The sum overflows, not the gap.
    assert_eq!(
        read_block(&forged(&[], 0, &[(0, tx()), (u64::MAX, tx())])).unwrap_err(),
        PayloadError::Limit("place over 16 bits")
    );
}

#[test]
fn more_ids_than_a_block_can_have_or_than_came_are_refused() {
    let coinbase = || vec![(0, block_of(1).txdata[0].clone())];
    assert_eq!(
        read_block(&forged(&[], u64::MAX, &[])).unwrap_err(),
        PayloadError::Limit("more than 65535 short ids")
    );
    assert_eq!(
        read_block(&forged(&[5; 17], 3, &[])).unwrap_err(),
        PayloadError::Short
    );
    assert_eq!(
        read_block(&forged(&[], 0, &[])).unwrap_err(),
        PayloadError::Invalid("compact block of no transactions")
    );
    // As many ids as there may be, and one transaction more.
    let ids = vec![5; 65_535 * SHORT_ID_BYTES];
    assert!(read_block(&forged(&ids, 65_535, &[])).is_ok());
    assert_eq!(
        read_block(&forged(&ids, 65_535, &coinbase())).unwrap_err(),
        PayloadError::Limit("more than 65535 transactions")
    );
    // Bytes after a short id would be a longer one: they are no payload.
    let mut longer = forged(&[5; 7], 1, &coinbase());
    assert!(read_block(&longer).is_err());
    longer.push(0);
    assert!(read_block(&longer).is_err());
}

#[test]
fn places_are_bounded_and_cannot_be_doubled_or_unsorted() {
    let read = |message: Result<Message, PayloadError>| match message.unwrap() {
        Message::GetBlockTxn(asked) => asked.places.iter().collect::<Vec<u16>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(read(read_places(3, &[0, 0, 5])), [0, 1, 7]);
    assert_eq!(read(read_places(2, &[65_534, 0])), [65_534, 65_535]);
    assert_eq!(
        read_places(2, &[65_535, 0]).unwrap_err(),
        PayloadError::Limit("place over 16 bits")
    );
    assert_eq!(
        read_places(1, &[u64::MAX]).unwrap_err(),
        PayloadError::Limit("place over 16 bits")
    );
    assert_eq!(
        read_places(65_536, &[]).unwrap_err(),
        PayloadError::Limit("more than 65535 places")
    );
    assert_eq!(read_places(9, &[0]).unwrap_err(), PayloadError::Short);
    let asked: TxPlaces = [9, 2, 2, 65_535].into_iter().collect();
    assert_eq!(asked.iter().collect::<Vec<_>>(), [2, 9, 65_535]);
}

#[test]
fn a_longest_getblocktxn_is_within_its_limit() {
    // A gap of 253 or more takes three bytes instead of one; there is room for few of them.
    let spread: TxPlaces = (0..u16::MAX).step_by(254).collect();
    let all: TxPlaces = (0..u16::MAX).collect();
    for places in [spread, all] {
        let block = BlockHash::from_byte_array([1; 32]);
        let asked = BlockTransactionsRequest { block, places };
        let bytes = payload_of(&Message::GetBlockTxn(Box::new(asked))).len();
        assert!(bytes <= Command::GetBlockTxn.payload_bytes_max());
    }
}
