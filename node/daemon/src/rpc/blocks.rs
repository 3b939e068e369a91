//! Methods about single blocks.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Block, BlockHash};
use peerlab_node::chain::{Chain, HeaderEntry};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::context::{Answer, Context, done, present};
use super::error::{Code, OrFail, RpcError};
use super::tx_json::{difficulty, transaction};

/// Scale between weight and bytes (BIP141).
const WITNESS_SCALE: u64 = 4;

pub(super) fn getbestblockhash(context: &mut Context<'_>, _: &Arguments) -> Answer {
    done(context.machine.chain().tip().hash.to_string())
}

pub(super) fn getblockcount(context: &mut Context<'_>, _: &Arguments) -> Answer {
    done(context.machine.chain().tip().height)
}

pub(super) fn getblockhash(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let height = u32::try_from(arguments.integer(0)?).ok();
    let hash = height
        .and_then(|height| context.machine.chain().hash_at(height))
        .or_fail(Code::InvalidParameter, "Block height out of range")?;
    done(hash.to_string())
}

pub(super) fn getblockheader(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let hash = arguments.hash(0)?;
    let verbose = arguments.flag_or(1, true)?;
    let chain = context.machine.chain();
    let entry = known(chain, &hash)?;
    if verbose {
        done(header_json(chain, entry))
    } else {
        done(serialize_hex(&entry.header))
    }
}

pub(super) fn getblock(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let hash = arguments.hash(0)?;
    let verbosity = arguments.verbosity_or(1, 1)?;
    let chain = context.machine.chain();
    let entry = known(chain, &hash)?;
    let block = body(chain, &hash)?;
    if verbosity <= 0 {
        return done(serialize_hex(&*block));
    }
    let mut shown = header_json(chain, entry);
    let (weight, total) = (block.weight().to_wu(), block.total_size() as u64);
    shown["strippedsize"] = ((weight - total) / (WITNESS_SCALE - 1)).into();
    shown["size"] = total.into();
    shown["weight"] = weight.into();
    shown["nTx"] = block.txdata.len().into();
    let transactions = block.txdata.iter().map(|tx| match verbosity {
        1 => Value::from(tx.compute_txid().to_string()),
        _ => transaction(tx, true),
    });
    shown["tx"] = transactions.collect();
    done(shown)
}

/// The entry of a block that must be known.
pub(super) fn known<'a>(chain: &'a Chain, hash: &BlockHash) -> Result<&'a HeaderEntry, RpcError> {
    chain
        .entry(hash)
        .or_fail(Code::InvalidAddressOrKey, "Block not found")
}

/// The body of a block that must be here.
pub(super) fn body(chain: &Chain, hash: &BlockHash) -> Result<std::sync::Arc<Block>, RpcError> {
    chain
        .block(hash)
        .map_err(|error| RpcError::new(Code::Database, error.to_string()))?
        .or_fail(Code::Misc, "Block not available (not fully downloaded)")
}

/// Blocks from this one to the tip, both counted; -1 if it is not in the active chain.
pub(super) fn confirmations(chain: &Chain, entry: &HeaderEntry) -> i64 {
    if chain.is_active(&entry.hash) {
        i64::from(chain.tip().height) - i64::from(entry.height) + 1
    } else {
        -1
    }
}

fn header_json(chain: &Chain, entry: &HeaderEntry) -> Value {
    let header = &entry.header;
    let version = header.version.to_consensus();
    let active = chain.is_active(&entry.hash);
    present(json!({
        "hash": entry.hash,
        "confirmations": confirmations(chain, entry),
        "height": entry.height,
        "version": version,
        "versionHex": format!("{version:08x}"),
        "merkleroot": header.merkle_root,
        "time": header.time,
        "mediantime": chain.median_time_past(&entry.hash),
        "nonce": header.nonce,
        "bits": format!("{:08x}", header.bits.to_consensus()),
        "difficulty": difficulty(header.bits),
        "chainwork": format!("{:064x}", entry.work),
        "nTx": entry.tx_count.unwrap_or(0),
        "previousblockhash": (entry.height > 0).then_some(header.prev_blockhash),
        "nextblockhash": chain.hash_at(entry.height + 1).filter(|_| active),
    }))
}
