//! What a block must satisfy by itself: its body is the one that the header names, and is
//! well-formed. Bitcoin Core's `CheckBlock`.

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{Block, TxMerkleNode, Txid, VarInt, Wtxid};

use super::error::BlockInvalid;
use super::rules::{MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, WITNESS_SCALE};
use super::tx_check::check_transaction;

/// The names of a block's transactions, computed once.
#[derive(Clone, Debug)]
pub struct TxIds {
    /// By place in the block.
    pub txids: Vec<Txid>,
    /// By place in the block.
    pub wtxids: Vec<Wtxid>,
}

impl TxIds {
    /// Hashes every transaction.
    pub fn of(block: &Block) -> TxIds {
        TxIds {
            txids: block.txdata.iter().map(|tx| tx.compute_txid()).collect(),
            wtxids: block.txdata.iter().map(|tx| tx.compute_wtxid()).collect(),
        }
    }
}

/// Checks a block without context.
pub fn check_block(block: &Block, ids: &TxIds) -> Result<(), BlockInvalid> {
    check_merkle_root(block, &ids.txids)?;
    check_size(block)?;
    if !block.txdata[0].is_coinbase() {
        return Err(BlockInvalid::new("bad-cb-missing"));
    }
    if block.txdata[1..].iter().any(|tx| tx.is_coinbase()) {
        return Err(BlockInvalid::new("bad-cb-multiple"));
    }
    for (tx, txid) in block.txdata.iter().zip(&ids.txids) {
        check_transaction(tx).map_err(|error| BlockInvalid {
            detail: format!("transaction {txid}"),
            ..error
        })?;
    }
    let sigops: u64 = block
        .txdata
        .iter()
        .map(|tx| tx.total_sigop_cost(|_| None) as u64)
        .sum();
    if sigops > MAX_BLOCK_SIGOPS_COST {
        return Err(BlockInvalid::new("bad-blk-sigops"));
    }
    Ok(())
}

fn check_size(block: &Block) -> Result<(), BlockInvalid> {
    let count_bytes = VarInt::from(block.txdata.len()).size() as u64;
    let tx_bytes: u64 = block.txdata.iter().map(|tx| tx.base_size() as u64).sum();
    let stripped = Header::SIZE as u64 + count_bytes + tx_bytes;
    if block.txdata.is_empty()
        || block.txdata.len() as u64 * WITNESS_SCALE > MAX_BLOCK_WEIGHT
        || stripped * WITNESS_SCALE > MAX_BLOCK_WEIGHT
    {
        return Err(BlockInvalid::new("bad-blk-length"));
    }
    Ok(())
}

fn check_merkle_root(block: &Block, txids: &[Txid]) -> Result<(), BlockInvalid> {
    let leaves = txids.iter().map(|txid| txid.to_byte_array()).collect();
    let (root, mutated) = merkle_root(leaves);
    if TxMerkleNode::from_byte_array(root) != block.header.merkle_root {
        return Err(BlockInvalid::mutated("bad-txnmrklroot"));
    }
    if mutated {
        return Err(BlockInvalid::mutated("bad-txns-duplicate"));
    }
    Ok(())
}

/// The merkle root (zero for no leaves), and whether two equal neighbours were paired: then the
/// same root has another list of leaves (CVE-2012-2459), and nothing is known of the block.
pub fn merkle_root(mut row: Vec<[u8; 32]>) -> ([u8; 32], bool) {
    let mut mutated = false;
    while row.len() > 1 {
        mutated |= row.chunks_exact(2).any(|pair| pair[0] == pair[1]);
        if row.len() % 2 == 1 {
            row.extend(row.last().copied());
        }
        row = row
            .chunks_exact(2)
            .map(|pair| bitcoin::hashes::sha256d::Hash::hash(&pair.concat()).to_byte_array())
            .collect();
    }
    (row.first().copied().unwrap_or_default(), mutated)
}
