//! Methods about single blocks.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Block, BlockHash};
use peerlab_node::chain::{Chain, HeaderEntry};
use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::context::{Context, Reply, done};
use super::error::{Code, RpcError};
use super::tx_json::{difficulty, transaction};

/// Scale between weight and bytes (BIP141).
const WITNESS_SCALE: usize = 4;

pub(super) fn getbestblockhash(
    context: &mut Context<'_>,
    _: &Arguments,
) -> Result<Reply, RpcError> {
    done(context.machine.chain().tip().hash.to_string())
}

pub(super) fn getblockcount(context: &mut Context<'_>, _: &Arguments) -> Result<Reply, RpcError> {
    done(context.machine.chain().tip().height)
}

pub(super) fn getblockhash(
    context: &mut Context<'_>,
    arguments: &Arguments,
) -> Result<Reply, RpcError> {
    let height = u32::try_from(arguments.integer(0)?).ok();
    let hash = height.and_then(|height| context.machine.chain().hash_at(height));
    match hash {
        Some(hash) => done(hash.to_string()),
        None => Err(RpcError::new(
            Code::InvalidParameter,
            "Block height out of range",
        )),
    }
}

pub(super) fn getblockheader(
    context: &mut Context<'_>,
    arguments: &Arguments,
) -> Result<Reply, RpcError> {
    let hash = arguments.block_hash(0)?;
    let verbose = arguments.flag_or(1, true)?;
    let chain = context.machine.chain();
    let entry = known(chain, &hash)?;
    if verbose {
        done(Value::Object(header_json(chain, entry)))
    } else {
        done(serialize_hex(&entry.header))
    }
}

pub(super) fn getblock(
    context: &mut Context<'_>,
    arguments: &Arguments,
) -> Result<Reply, RpcError> {
    let hash = arguments.block_hash(0)?;
    let verbosity = arguments.verbosity_or(1, 1)?;
    let chain = context.machine.chain();
    let entry = known(chain, &hash)?;
    let block = body(chain, &hash)?;
    if verbosity <= 0 {
        return done(serialize_hex(&*block));
    }
    let mut shown = header_json(chain, entry);
    let (stripped, total) = sizes(&block);
    shown.insert("strippedsize".into(), stripped.into());
    shown.insert("size".into(), total.into());
    shown.insert(
        "weight".into(),
        (stripped * (WITNESS_SCALE - 1) + total).into(),
    );
    // Known from the body even where the header came first.
    shown.insert("nTx".into(), block.txdata.len().into());
    let transactions = block.txdata.iter().map(|tx| match verbosity {
        1 => Value::from(tx.compute_txid().to_string()),
        _ => Value::Object(transaction(tx, true)),
    });
    shown.insert("tx".into(), transactions.collect());
    done(Value::Object(shown))
}

/// The entry of a block that must be known.
pub(super) fn known<'a>(chain: &'a Chain, hash: &BlockHash) -> Result<&'a HeaderEntry, RpcError> {
    chain
        .entry(hash)
        .ok_or_else(|| RpcError::new(Code::InvalidAddressOrKey, "Block not found"))
}

/// The body of a block that must be here.
pub(super) fn body(chain: &Chain, hash: &BlockHash) -> Result<std::sync::Arc<Block>, RpcError> {
    chain
        .block(hash)
        .map_err(|error| RpcError::new(Code::Database, error.to_string()))?
        .ok_or_else(|| RpcError::new(Code::Misc, "Block not available (not fully downloaded)"))
}

/// Blocks from this one to the tip, both counted; -1 if it is not in the active chain.
pub(super) fn confirmations(chain: &Chain, entry: &HeaderEntry) -> i64 {
    if chain.is_active(&entry.hash) {
        i64::from(chain.tip().height) - i64::from(entry.height) + 1
    } else {
        -1
    }
}

fn header_json(chain: &Chain, entry: &HeaderEntry) -> Map<String, Value> {
    let header = &entry.header;
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("hash", entry.hash.to_string().into());
    put("confirmations", confirmations(chain, entry).into());
    put("height", entry.height.into());
    let version = header.version.to_consensus();
    put("version", version.into());
    put("versionHex", format!("{version:08x}").into());
    put("merkleroot", header.merkle_root.to_string().into());
    put("time", header.time.into());
    put("mediantime", chain.median_time_past(&entry.hash).into());
    put("nonce", header.nonce.into());
    put("bits", format!("{:08x}", header.bits.to_consensus()).into());
    put("difficulty", difficulty(header.bits).into());
    put("chainwork", format!("{:064x}", entry.work).into());
    put("nTx", entry.tx_count.unwrap_or(0).into());
    if entry.height > 0 {
        put(
            "previousblockhash",
            header.prev_blockhash.to_string().into(),
        );
    }
    if chain.is_active(&entry.hash)
        && let Some(next) = chain.hash_at(entry.height + 1)
    {
        put("nextblockhash", next.to_string().into());
    }
    shown
}

/// Bytes without and with witnesses.
fn sizes(block: &Block) -> (usize, usize) {
    let total = block.total_size();
    let weight = block.weight().to_wu() as usize;
    ((weight - total) / (WITNESS_SCALE - 1), total)
}
