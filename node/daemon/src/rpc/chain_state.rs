//! Methods about the chain as a whole, its unspent outputs, and waiting for it to change.

use std::time::Duration;

use bitcoin::OutPoint;
use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, sha256d};
use peerlab_node::chain::CoinSet;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::context::{Answer, Context, Reply, done};
use super::error::{Code, OrFail, RpcError, fail};
use super::script_json::script_pubkey;
use super::tx_json::{btc, difficulty};
use super::wait::{TipWait, Until};

/// A tip older than this is not the network's: Bitcoin Core's `-maxtipage`, seconds.
const TIP_AGE_MAX_SECS: u32 = 24 * 60 * 60;

pub(super) fn getblockchaininfo(context: &mut Context<'_>, _: &Arguments) -> Answer {
    let chain = context.machine.chain();
    let tip = chain.tip();
    let headers = chain.best_header().height;
    let behind = tip.height < headers;
    let old = tip.header.time.saturating_add(TIP_AGE_MAX_SECS) < context.now.unix_secs();
    done(json!({
        "chain": "regtest",
        "blocks": tip.height,
        "headers": headers,
        "bestblockhash": tip.hash,
        "difficulty": difficulty(tip.header.bits),
        "time": tip.header.time,
        "mediantime": chain.median_time_past(&tip.hash),
        "verificationprogress": if behind {
            f64::from(tip.height + 1) / f64::from(headers + 1)
        } else {
            1.0
        },
        "initialblockdownload": behind || old,
        "chainwork": format!("{:064x}", tip.work),
        "size_on_disk": context.size_on_disk,
        "pruned": false,
        "warnings": [],
    }))
}

pub(super) fn getdifficulty(context: &mut Context<'_>, _: &Arguments) -> Answer {
    done(difficulty(context.machine.chain().tip().header.bits))
}

pub(super) fn getchaintips(context: &mut Context<'_>, _: &Arguments) -> Answer {
    let tips = context.machine.chain().tips();
    let shown = tips.iter().map(|tip| {
        json!({
            "height": tip.height,
            "hash": tip.hash,
            "branchlen": tip.branch_len,
            "status": tip.status.as_str(),
        })
    });
    done(shown.collect::<Value>())
}

pub(super) fn gettxout(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let txid = arguments.hash(0)?;
    let Ok(vout) = u32::try_from(arguments.integer(1)?) else {
        return done(Value::Null);
    };
    let outpoint = OutPoint { txid, vout };
    let with_mempool = arguments.flag_or(2, true)?;
    let (chain, mempool) = (context.machine.chain(), context.machine.mempool());
    if with_mempool && mempool.spender(&outpoint).is_some() {
        return done(Value::Null);
    }
    let tip = chain.tip();
    let (output, confirmations, coinbase) = if let Some(coin) = chain.coin(&outpoint) {
        (&coin.output, tip.height - coin.height + 1, coin.coinbase)
    } else if let Some(output) = mempool.output(&outpoint).filter(|_| with_mempool) {
        (output, 0, false)
    } else {
        return done(Value::Null);
    };
    done(json!({
        "bestblock": tip.hash,
        "confirmations": confirmations,
        "value": btc(output.value),
        "scriptPubKey": script_pubkey(&output.script_pubkey),
        "coinbase": coinbase,
    }))
}

pub(super) fn gettxoutsetinfo(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let hash_type = arguments.text_opt(0)?.unwrap_or("hash_serialized_3");
    (!arguments.has(1)).or_fail(
        Code::InvalidParameter,
        "Querying specific block heights requires coinstatsindex",
    )?;
    let chain = context.machine.chain();
    let stats = chain.utxo_stats();
    let hash = match hash_type {
        "hash_serialized_3" => Some(("hash_serialized_3", serialized_hash(chain.coins()))),
        "muhash" => Some(("muhash", stats.muhash.to_string())),
        "none" => None,
        other => {
            return fail(
                Code::InvalidParameter,
                format!("'{other}' is not a valid hash_type"),
            );
        }
    };
    let mut shown = json!({
        "height": stats.height,
        "bestblock": stats.best_block,
        "txouts": stats.txouts,
        "bogosize": stats.bogosize,
        "total_amount": btc(stats.total_amount),
        "transactions": transactions(chain.coins()),
        "disk_size": context.size_on_disk,
    });
    if let Some((name, hash)) = hash {
        shown[name] = hash.into();
    }
    done(shown)
}

/// Transactions that have unspent outputs. Coins come ordered by transaction.
fn transactions(coins: &CoinSet) -> usize {
    let mut last = None;
    let is_new = |txid| last.replace(txid) != Some(txid);
    let txids = coins.iter().map(|(outpoint, _)| outpoint.txid);
    txids.map(is_new).filter(|new| *new).count()
}

/// Double SHA-256 over all coins in order: outpoint, twice the height plus one for a coinbase,
/// output. Bitcoin Core's `hash_serialized_3`.
fn serialized_hash(coins: &CoinSet) -> String {
    let mut engine = sha256d::Hash::engine();
    for (outpoint, coin) in coins.iter() {
        let code = coin.height << 1 | u32::from(coin.coinbase);
        // Writing into a hash engine cannot fail.
        let _ = outpoint.consensus_encode(&mut engine);
        let _ = code.consensus_encode(&mut engine);
        let _ = coin.output.consensus_encode(&mut engine);
    }
    sha256d::Hash::from_engine(engine).to_string()
}

pub(super) fn waitfornewblock(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let timeout = timeout(arguments, 0)?;
    let from = if arguments.has(1) {
        arguments.hash(1)?
    } else {
        context.machine.chain().tip().hash
    };
    wait(Until::Other(from), timeout)
}

pub(super) fn waitforblock(_: &mut Context<'_>, arguments: &Arguments) -> Answer {
    wait(Until::Block(arguments.hash(0)?), timeout(arguments, 1)?)
}

pub(super) fn waitforblockheight(_: &mut Context<'_>, arguments: &Arguments) -> Answer {
    wait(Until::Height(arguments.integer(0)?), timeout(arguments, 1)?)
}

fn wait(until: Until, timeout: Option<Duration>) -> Answer {
    Ok(Reply::Wait(TipWait { until, timeout }))
}

/// Milliseconds; 0 is for ever.
fn timeout(arguments: &Arguments, index: usize) -> Result<Option<Duration>, RpcError> {
    let millis = arguments.integer_or(index, 0)?;
    let millis = u64::try_from(millis).or_fail(Code::Misc, "Negative timeout")?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}
