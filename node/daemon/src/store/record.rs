//! How each record is written, with a checksum over its key and value, and read back with every
//! doubt: bytes from the disk are trusted no more than bytes from a peer.

use bitcoin::block::Header;
use bitcoin::consensus::encode::{self, Decodable};
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::{Block, BlockHash, OutPoint, ScriptBuf, TxOut, VarInt, consensus};
use peerlab_node::chain::{
    BlockStatus, BlockUndo, Coin, IndexRecord, MUHASH_NUM_BYTES, MuHash, State,
    rules::MAX_BLOCK_WEIGHT,
};

/// Marks the start of a block record, so that it can be found in a damaged file.
pub const BLOCK_MAGIC: [u8; 4] = *b"PLBK";

/// Marks the start of an index record, likewise.
pub const INDEX_MAGIC: [u8; 4] = *b"PLIX";

/// Bytes of an index record: magic, header, status, transaction count, sequence, checksum.
pub const INDEX_BYTES: usize = 4 + Header::SIZE + 1 + 4 + 8 + CHECKSUM_BYTES;

/// Bytes before the body: magic and length.
pub const BLOCK_HEAD_BYTES: usize = 8;

/// Bytes of a checksum: the first of a SHA-256. Guards against accidents and clumsy hands, not
/// against someone who computes it anew; hashes and the coin set's own hash stand behind it.
pub const CHECKSUM_BYTES: usize = 8;

/// A body is never longer, since its weight is limited.
pub const MAX_BODY_BYTES: usize = MAX_BLOCK_WEIGHT as usize;

/// Spent coins of one block are never more: an input takes 41 bytes of it.
const MAX_SPENT: u64 = MAX_BODY_BYTES as u64 / 41;

/// Which table a record is in: part of its checksum, so that no record passes for one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bodies by block hash.
    Block = 1,
    /// Undo data by block hash.
    Undo = 2,
    /// Index records by block hash.
    Index = 3,
    /// Coins by outpoint.
    Coin = 4,
    /// The one state.
    State = 5,
}

/// A record is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub &'static str);

impl From<encode::Error> for RecordError {
    fn from(_: encode::Error) -> RecordError {
        RecordError("bytes make no sense")
    }
}

fn checksum(kind: Kind, key: &[u8], payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut engine = sha256::Hash::engine();
    engine.input(&[kind as u8, key.len() as u8]);
    engine.input(key);
    engine.input(payload);
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hash[..CHECKSUM_BYTES]);
    sum
}

/// A record: its payload, and the checksum over that and the key.
pub fn seal(kind: Kind, key: &[u8], mut payload: Vec<u8>) -> Vec<u8> {
    let sum = checksum(kind, key, &payload);
    payload.extend_from_slice(&sum);
    payload
}

fn unseal<'a>(kind: Kind, key: &[u8], value: &'a [u8]) -> Result<&'a [u8], RecordError> {
    let Some((payload, sum)) = value.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(RecordError("too short"));
    };
    if checksum(kind, key, payload) == *sum {
        Ok(payload)
    } else {
        Err(RecordError("checksum does not fit"))
    }
}

/// A body: magic, length, the block as on the wire, checksum.
pub fn encode_block(hash: &BlockHash, block: &Block) -> Vec<u8> {
    let body = consensus::serialize(block);
    let sum = checksum(Kind::Block, hash.as_ref(), &body);
    let mut record = Vec::with_capacity(BLOCK_HEAD_BYTES + body.len() + CHECKSUM_BYTES);
    record.extend_from_slice(&BLOCK_MAGIC);
    record.extend_from_slice(&(body.len() as u32).to_le_bytes());
    record.extend_from_slice(&body);
    record.extend_from_slice(&sum);
    record
}

/// A body, checked by checksum and against the hash that it is kept under.
pub fn decode_block(hash: &BlockHash, record: &[u8]) -> Result<Block, RecordError> {
    let Some((head, rest)) = record.split_first_chunk::<BLOCK_HEAD_BYTES>() else {
        return Err(RecordError("too short"));
    };
    if head[..4] != BLOCK_MAGIC || body_len(head) + CHECKSUM_BYTES != rest.len() {
        return Err(RecordError("not a block record"));
    }
    let body = unseal(Kind::Block, hash.as_ref(), rest)?;
    let block: Block = consensus::deserialize(body)?;
    if block.block_hash() != *hash || !block.check_merkle_root() {
        return Err(RecordError("not the block of this hash"));
    }
    Ok(block)
}

/// The length that the head of a block record states.
pub fn body_len(head: &[u8; BLOCK_HEAD_BYTES]) -> usize {
    u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize
}

/// The hash of the block in a sound record, given body and checksum (what follows its head).
pub fn sound_hash(body_and_sum: &[u8]) -> Option<BlockHash> {
    let hash = BlockHash::hash(body_and_sum.get(..Header::SIZE)?);
    unseal(Kind::Block, hash.as_ref(), body_and_sum).ok()?;
    Some(hash)
}

/// A coin's record.
pub fn encode_coin(outpoint: &OutPoint, coin: &Coin) -> Vec<u8> {
    let mut payload = consensus::serialize(&(coin_code(coin), coin.output.value));
    payload.extend_from_slice(coin.output.script_pubkey.as_bytes());
    seal(Kind::Coin, &encode_outpoint(outpoint), payload)
}

/// The reverse of [`encode_coin`], with the key.
pub fn decode_coin(key: &[u8], record: &[u8]) -> Result<(OutPoint, Coin), RecordError> {
    let outpoint: OutPoint = consensus::deserialize(key)?;
    let payload = unseal(Kind::Coin, key, record)?;
    let ((code, value), read) = consensus::deserialize_partial(payload)?;
    let output = TxOut {
        value,
        script_pubkey: ScriptBuf::from_bytes(payload[read..].to_vec()),
    };
    Ok((outpoint, coin_from(code, output)))
}

/// A coin's key.
pub fn encode_outpoint(outpoint: &OutPoint) -> Vec<u8> {
    consensus::serialize(outpoint)
}

fn coin_code(coin: &Coin) -> u32 {
    (coin.height << 1) | u32::from(coin.coinbase)
}

fn coin_from(code: u32, output: TxOut) -> Coin {
    Coin {
        output,
        height: code >> 1,
        coinbase: code & 1 == 1,
    }
}

/// Undo data's record.
pub fn encode_undo(hash: &BlockHash, undo: &BlockUndo) -> Vec<u8> {
    let mut payload = consensus::serialize(&VarInt::from(undo.spent.len()));
    for (outpoint, coin) in &undo.spent {
        let output = coin.output.clone();
        payload.extend(consensus::serialize(&(*outpoint, coin_code(coin), output)));
    }
    seal(Kind::Undo, hash.as_ref(), payload)
}

/// The reverse of [`encode_undo`].
pub fn decode_undo(hash: &BlockHash, record: &[u8]) -> Result<BlockUndo, RecordError> {
    let mut bytes = unseal(Kind::Undo, hash.as_ref(), record)?;
    let count = VarInt::consensus_decode(&mut bytes)?.0;
    if count > MAX_SPENT {
        return Err(RecordError("too many spent coins"));
    }
    let mut spent = Vec::new();
    for _ in 0..count {
        let (outpoint, code, output) = Decodable::consensus_decode(&mut bytes)?;
        spent.push((outpoint, coin_from(code, output)));
    }
    if !bytes.is_empty() {
        return Err(RecordError("bytes left over"));
    }
    Ok(BlockUndo { spent })
}

/// The hash of the block in what may be an index record.
pub fn index_hash(record: &[u8; INDEX_BYTES]) -> BlockHash {
    BlockHash::hash(&record[INDEX_MAGIC.len()..INDEX_MAGIC.len() + Header::SIZE])
}

/// An index record.
pub fn encode_index(hash: &BlockHash, record: &IndexRecord) -> Vec<u8> {
    let tx_count = record.tx_count.unwrap_or(u32::MAX);
    let status = record.status as u8;
    let fields = (
        INDEX_MAGIC,
        record.header,
        status,
        tx_count,
        record.sequence,
    );
    seal(Kind::Index, hash.as_ref(), consensus::serialize(&fields))
}

/// The reverse of [`encode_index`].
pub fn decode_index(hash: &BlockHash, record: &[u8]) -> Result<IndexRecord, RecordError> {
    let payload = unseal(Kind::Index, hash.as_ref(), record)?;
    let (magic, header, code, tx_count, sequence) =
        consensus::deserialize::<([u8; 4], Header, u8, u32, u64)>(payload)?;
    if magic != INDEX_MAGIC {
        return Err(RecordError("not an index record"));
    }
    if header.block_hash() != *hash {
        return Err(RecordError("not the header of this hash"));
    }
    let status = [
        BlockStatus::HeaderOnly,
        BlockStatus::Stored,
        BlockStatus::Valid,
        BlockStatus::Invalid,
        BlockStatus::InvalidAncestor,
    ];
    Ok(IndexRecord {
        header,
        status: *status
            .get(code as usize)
            .ok_or(RecordError("unknown status"))?,
        tx_count: (tx_count != u32::MAX).then_some(tx_count),
        sequence,
    })
}

/// The state's record.
pub fn encode_state(key: &[u8], state: &State) -> Vec<u8> {
    let (numerator, denominator) = state.muhash.to_parts();
    let mut payload = consensus::serialize(&(state.tip, state.coins));
    payload.extend_from_slice(&numerator);
    payload.extend_from_slice(&denominator);
    seal(Kind::State, key, payload)
}

/// The reverse of [`encode_state`].
pub fn decode_state(key: &[u8], record: &[u8]) -> Result<State, RecordError> {
    let payload = unseal(Kind::State, key, record)?;
    let parts = || {
        let (rest, denominator) = payload.split_last_chunk::<MUHASH_NUM_BYTES>()?;
        let (head, numerator) = rest.split_last_chunk::<MUHASH_NUM_BYTES>()?;
        Some((head, MuHash::from_parts(numerator, denominator)))
    };
    let (head, muhash) = parts().ok_or(RecordError("too short"))?;
    let (tip, coins) = consensus::deserialize(head)?;
    Ok(State { tip, coins, muhash })
}
