//! Block files in Bitcoin Core's format.

use bitcoin::{Block, consensus};
use proptest::prelude::*;

use crate::chain::block_file::{BlockFileError, BlockFileReader, write_block};
use crate::chain::fixture::Ledger;

fn blocks() -> Vec<Block> {
    let mut ledger = Ledger::new();
    ledger.mine(5);
    ledger.bodies()
}

fn written(blocks: &[Block]) -> Vec<u8> {
    let mut bytes = Vec::new();
    blocks
        .iter()
        .for_each(|block| write_block(&mut bytes, block).unwrap());
    bytes
}

#[test]
fn blocks_come_back_as_written() {
    let blocks = blocks();
    let bytes = written(&blocks);
    assert_eq!(bytes[..4], [0xfa, 0xbf, 0xb5, 0xda]);
    assert_eq!(
        bytes[4..8],
        (consensus::serialize(&blocks[0]).len() as u32).to_le_bytes()
    );
    let read: Result<Vec<Block>, _> = BlockFileReader::new(&bytes[..]).collect();
    assert_eq!(read.unwrap(), blocks);
}

#[test]
fn gaps_and_trailing_zeros_are_skipped() {
    let blocks = blocks();
    let mut bytes = vec![0; 100];
    for block in &blocks {
        bytes.extend(written(std::slice::from_ref(block)));
        bytes.extend([0xfa, 0xbf, 0xfa, 0, 0xfa]);
    }
    bytes.extend([0; 5_000]);
    let read: Result<Vec<Block>, _> = BlockFileReader::new(&bytes[..]).collect();
    assert_eq!(read.unwrap(), blocks);
}

#[test]
fn a_torn_file_gives_what_is_whole_and_then_says_where() {
    let blocks = blocks();
    let bytes = written(&blocks);
    let mut reader = BlockFileReader::new(&bytes[..bytes.len() - 1]);
    for block in &blocks[..4] {
        assert_eq!(&reader.next().unwrap().unwrap(), block);
    }
    let offset = written(&blocks[..4]).len() as u64;
    match reader.next() {
        Some(Err(BlockFileError::Truncated { offset: at })) => assert_eq!(at, offset),
        other => panic!("{other:?}"),
    }
    assert!(reader.next().is_none());
}

#[test]
fn false_lengths_are_refused_before_memory_is_taken() {
    for length in [0u32, 80, 4_000_001, u32::MAX] {
        let bytes = [&[0xfa, 0xbf, 0xb5, 0xda][..], &length.to_le_bytes()].concat();
        let mut reader = BlockFileReader::new(&bytes[..]);
        assert!(matches!(
            reader.next(),
            Some(Err(BlockFileError::BadBlock { offset: 0 }))
        ));
    }
}

#[test]
fn a_file_without_blocks_is_given_up() {
    let mut reader = BlockFileReader::new(std::io::repeat(0));
    assert!(matches!(reader.next(), Some(Err(BlockFileError::NoBlocks))));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let framed = [&[0xfa, 0xbf, 0xb5, 0xda, 100, 0, 0, 0][..], &bytes].concat();
        BlockFileReader::new(&bytes[..]).for_each(drop);
        BlockFileReader::new(&framed[..]).for_each(drop);
    }
}
