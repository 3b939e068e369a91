//! What a block must satisfy given its place in the chain, before any coin is looked up: locktimes,
//! BIP34 height, BIP141 commitment, weight. Bitcoin Core's `ContextualCheckBlock`.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::script::Builder;
use bitcoin::{Block, Transaction};

use super::block_check::{TxIds, merkle_root};
use super::error::BlockInvalid;
use super::locktime::is_final;
use super::rules::MAX_BLOCK_WEIGHT;

/// How an output script that holds a witness commitment begins (BIP141): OP_RETURN, a push of 36
/// bytes, and the four bytes that mark it.
pub const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Length of the prefix and the hash.
pub const COMMITMENT_BYTES: usize = 38;

/// Checks a block that would stand at `height` after a parent with this median time past.
pub fn check_block_in_context(
    block: &Block,
    ids: &TxIds,
    height: u32,
    parent_median_time: u32,
) -> Result<(), BlockInvalid> {
    for (tx, txid) in block.txdata.iter().zip(&ids.txids) {
        if !is_final(tx, height, parent_median_time) {
            return Err(BlockInvalid::with(
                "bad-txns-nonfinal",
                format!("transaction {txid}"),
            ));
        }
    }
    let expected = Builder::new().push_int(i64::from(height)).into_script();
    let coinbase = &block.txdata[0];
    if !coinbase.input[0]
        .script_sig
        .as_bytes()
        .starts_with(expected.as_bytes())
    {
        return Err(BlockInvalid::new("bad-cb-height"));
    }
    check_witness_commitment(block, ids)?;
    if block.weight().to_wu() > MAX_BLOCK_WEIGHT {
        return Err(BlockInvalid::new("bad-blk-weight"));
    }
    Ok(())
}

/// The commitment that the coinbase makes: the last output that looks like one counts.
fn commitment(coinbase: &Transaction) -> Option<&[u8]> {
    coinbase
        .output
        .iter()
        .rev()
        .map(|output| output.script_pubkey.as_bytes())
        .find(|script| script.len() >= COMMITMENT_BYTES && script.starts_with(&COMMITMENT_PREFIX))
        .map(|script| &script[COMMITMENT_PREFIX.len()..COMMITMENT_BYTES])
}

/// What the coinbase must commit to, given its 32-byte reserved value.
pub fn witness_commitment(ids: &TxIds, reserved: &[u8]) -> [u8; 32] {
    let mut leaves: Vec<[u8; 32]> = ids
        .wtxids
        .iter()
        .map(|wtxid| wtxid.to_byte_array())
        .collect();
    // The coinbase cannot commit to itself.
    leaves[0] = [0; 32];
    let (root, _) = merkle_root(leaves);
    sha256d::Hash::hash(&[&root, reserved].concat()).to_byte_array()
}

fn check_witness_commitment(block: &Block, ids: &TxIds) -> Result<(), BlockInvalid> {
    let coinbase = &block.txdata[0];
    let Some(committed) = commitment(coinbase) else {
        let bare = block
            .txdata
            .iter()
            .flat_map(|tx| &tx.input)
            .all(|input| input.witness.is_empty());
        return if bare {
            Ok(())
        } else {
            Err(BlockInvalid::mutated("unexpected-witness"))
        };
    };
    let witness = &coinbase.input[0].witness;
    let reserved = match witness.nth(0) {
        Some(reserved) if witness.len() == 1 && reserved.len() == 32 => reserved,
        _ => return Err(BlockInvalid::mutated("bad-witness-nonce-size")),
    };
    if witness_commitment(ids, reserved) != committed {
        return Err(BlockInvalid::mutated("bad-witness-merkle-match"));
    }
    Ok(())
}
