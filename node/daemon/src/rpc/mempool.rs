//! Methods about the mempool.

use std::collections::BTreeSet;

use bitcoin::{Amount, Txid};
use peerlab_node::mempool::{Mempool, MempoolEntry};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::context::{Answer, Context, done};
use super::error::{Code, OrFail};
use super::tx_json::btc;

/// What each transaction of a pool takes beside its bytes, roughly: its entry and its places in
/// the maps.
const BOOKKEEPING_BYTES: usize = 500;

pub(super) fn getmempoolinfo(context: &mut Context<'_>, _: &Arguments) -> Answer {
    let pool = context.machine.mempool();
    let fees: Amount = pool.iter().map(|entry| entry.fee).sum();
    let relay_fee = btc(Amount::from_sat(pool.min_relay_fee()));
    done(json!({
        "loaded": true,
        "size": pool.len(),
        "bytes": pool.vbytes(),
        "usage": pool.bytes() + pool.len() * BOOKKEEPING_BYTES,
        "total_fee": btc(fees),
        "maxmempool": pool.bytes_max(),
        "mempoolminfee": btc(Amount::from_sat(pool.min_fee())),
        "minrelaytxfee": relay_fee,
        "incrementalrelayfee": relay_fee,
        "unbroadcastcount": 0,
        "fullrbf": false,
    }))
}

pub(super) fn getrawmempool(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let verbose = arguments.flag_or(0, false)?;
    let with_sequence = arguments.flag_or(1, false)?;
    let pool = context.machine.mempool();
    (!verbose || !with_sequence).or_fail(
        Code::InvalidParameter,
        "Verbose results cannot contain mempool sequence values.",
    )?;
    if verbose {
        let shown = |entry: &MempoolEntry| (entry.txid().to_string(), entry_json(pool, entry));
        return done(pool.iter().map(shown).collect::<Value>());
    }
    let txids: Vec<String> = pool.iter().map(|entry| entry.txid().to_string()).collect();
    if with_sequence {
        let sequence = pool.iter().map(|entry| entry.sequence).max().unwrap_or(0) + 1;
        return done(json!({ "txids": txids, "mempool_sequence": sequence }));
    }
    done(txids)
}

pub(super) fn getmempoolentry(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let pool = context.machine.mempool();
    let entry = pool
        .get(&arguments.hash(0)?)
        .or_fail(Code::InvalidAddressOrKey, "Transaction not in mempool")?;
    done(entry_json(pool, entry))
}

fn entry_json(pool: &Mempool, entry: &MempoolEntry) -> Value {
    let txid = entry.txid();
    let (ancestors, ancestor_size, ancestor_fees) = package(pool, entry, &pool.ancestors(&txid));
    let (descendants, descendant_size, descendant_fees) =
        package(pool, entry, &pool.descendants(&txid));
    json!({
        "vsize": entry.vsize(),
        "weight": entry.weight(),
        "time": entry.time.unix_secs(),
        "height": entry.height,
        "descendantcount": descendants,
        "descendantsize": descendant_size,
        "ancestorcount": ancestors,
        "ancestorsize": ancestor_size,
        "wtxid": entry.wtxid(),
        "fees": {
            "base": btc(entry.fee),
            "modified": btc(entry.fee),
            "ancestor": btc(ancestor_fees),
            "descendant": btc(descendant_fees),
        },
        "depends": pool.parents(&txid),
        "spentby": pool.children(&txid),
        "bip125-replaceable": false,
        "unbroadcast": false,
    })
}

/// Count, virtual bytes and fees of a transaction with its relatives.
fn package(
    pool: &Mempool,
    entry: &MempoolEntry,
    relatives: &BTreeSet<Txid>,
) -> (usize, u64, Amount) {
    let others = || relatives.iter().filter_map(|txid| pool.get(txid));
    (
        relatives.len() + 1,
        entry.vsize() + others().map(MempoolEntry::vsize).sum::<u64>(),
        entry.fee + others().map(|other| other.fee).sum::<Amount>(),
    )
}
