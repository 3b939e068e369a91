//! Records of a node's store, with a sound checksum around any payload: read, written again, and found in a
//! damaged file between other bytes.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs;

use arbitrary::{Result, Unstructured};
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, OutPoint, Txid};
use peerlab_daemon::fuzz::record::{
    BLOCK_MAGIC, INDEX_BYTES, Kind, decode_block, decode_coin, decode_index, decode_state,
    decode_undo, encode_block, encode_coin, encode_index, encode_outpoint, encode_state,
    encode_undo, index_hash, seal,
};
use peerlab_daemon::fuzz::salvage;
use peerlab_node::chain::check_work;

const STATE_KEY: &[u8] = b"state 1";
/// First bytes of the marks of records: where junk has one, it may hide what follows.
const MARK: u8 = BLOCK_MAGIC[0];

pub fn check(bytes: &[u8]) -> bool {
    record(&mut Unstructured::new(bytes)).unwrap_or(false)
}

/// Whether there is a sound record of the kind.
fn record(draw: &mut Unstructured<'_>) -> Result<bool> {
    let kind = draw.arbitrary::<u8>()? % 5;
    let length = usize::from(draw.arbitrary::<u8>()?).min(draw.len());
    let junk = draw.bytes(length)?;
    let payload = draw.bytes(draw.len())?.to_vec();
    let (record, is_sound) = match kind {
        0 => block(payload),
        1 => index(payload),
        2 => undo(payload),
        3 => coin(payload),
        _ => state(payload),
    };
    salvaged(junk, &record);
    Ok(is_sound)
}

/// The hash of a header at the beginning of bytes.
fn hash_of(bytes: &[u8]) -> BlockHash {
    BlockHash::hash(&bytes[..Header::SIZE.min(bytes.len())])
}

fn block(body: Vec<u8>) -> (Vec<u8>, bool) {
    let hash = hash_of(&body);
    let mut record = BLOCK_MAGIC.to_vec();
    record.extend((body.len() as u32).to_le_bytes());
    record.extend(seal(Kind::Block, hash.as_ref(), body));
    let read = decode_block(&hash, &record);
    let is_sound = read.is_ok();
    if let Ok(block) = read {
        let again = decode_block(&hash, &encode_block(&hash, &block));
        assert_eq!(again, Ok(block));
    }
    (record, is_sound)
}

fn index(mut payload: Vec<u8>) -> (Vec<u8>, bool) {
    payload.resize(INDEX_BYTES, 0);
    let mut whole = [0; INDEX_BYTES];
    whole.copy_from_slice(&payload);
    let hash = index_hash(&whole);
    payload.truncate(INDEX_BYTES - 8);
    let record = seal(Kind::Index, hash.as_ref(), payload);
    let read = decode_index(&hash, &record);
    let is_sound = read.is_ok();
    if let Ok(index) = read {
        let again = decode_index(&hash, &encode_index(&hash, &index));
        assert_eq!(again, Ok(index));
    }
    (record, is_sound)
}

fn undo(payload: Vec<u8>) -> (Vec<u8>, bool) {
    let hash = hash_of(&payload);
    let record = seal(Kind::Undo, hash.as_ref(), payload);
    let read = decode_undo(&hash, &record);
    let is_sound = read.is_ok();
    if let Ok(undo) = read {
        let again = decode_undo(&hash, &encode_undo(&hash, &undo));
        assert_eq!(again, Ok(undo));
    }
    (record, is_sound)
}

fn coin(payload: Vec<u8>) -> (Vec<u8>, bool) {
    let outpoint = OutPoint {
        txid: Txid::hash(b"any"),
        vout: payload.len() as u32,
    };
    let key = encode_outpoint(&outpoint);
    let record = seal(Kind::Coin, &key, payload);
    let read = decode_coin(&key, &record);
    let is_sound = read.is_ok();
    if let Ok((_, coin)) = read {
        let again = decode_coin(&key, &encode_coin(&outpoint, &coin));
        assert_eq!(again, Ok((outpoint, coin)));
    }
    (record, is_sound)
}

fn state(payload: Vec<u8>) -> (Vec<u8>, bool) {
    let record = seal(Kind::State, STATE_KEY, payload);
    let read = decode_state(STATE_KEY, &record);
    let is_sound = read.is_ok();
    if let Ok(state) = read {
        let again = decode_state(STATE_KEY, &encode_state(STATE_KEY, &state));
        assert_eq!(again.map(|again| again.tip), Ok(state.tip));
        // Its sum may be none that a sound node comes to.
        let _ = state.muhash.finalize();
    }
    (record, is_sound)
}

/// A sound block between junk is found.
fn salvaged(junk: &[u8], record: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), [junk, record, junk].concat()).expect("room for it");
    let salvage = salvage::of_file(file.path()).expect("a file that can be read");
    let bodies: Vec<BlockHash> = salvage.bodies.map(|block| block.block_hash()).collect();
    let body = record.get(8..).unwrap_or_default();
    let hash = hash_of(body);
    let is_sound =
        decode_block(&hash, record).is_ok_and(|block| check_work(&block.header, &hash).is_ok());
    if is_sound && !junk.contains(&MARK) {
        assert_eq!(bodies, [hash]);
    }
}

peerlab_fuzz::target!();
