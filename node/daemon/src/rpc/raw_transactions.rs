//! Methods about raw transactions.

use std::sync::Arc;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Transaction, Txid};
use peerlab_node::chain::is_unspendable;
use peerlab_node::mempool::{MempoolEntry, TxReject};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::blocks::{body, confirmations};
use super::context::{Answer, Context, NETWORK, done, present};
use super::error::{Code, OrFail, RpcError};
use super::tx_json::{btc, transaction};

/// Bitcoin Core's default of `maxfeerate`, for 1,000 virtual bytes: 0.1 BTC.
const FEE_RATE_MAX_DEFAULT: Amount = Amount::from_sat(10_000_000);
/// Transactions that testmempoolaccept takes at once, at most. Bitcoin Core's.
const TESTED_AT_ONCE_MAX: usize = 25;

const DECODE_HINT: &str = "TX decode failed. Make sure the tx has at least one input.";
const FEE_EXCEEDED: &str = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)";
const BURN_EXCEEDED: &str = "Unspendable output exceeds maximum configured by user (maxburnamount)";

pub(super) fn sendrawtransaction(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let tx: Transaction = arguments.consensus(0, DECODE_HINT)?;
    let fee_rate_max = arguments.amount_or(1, FEE_RATE_MAX_DEFAULT)?;
    let burn_max = arguments.amount_or(2, Amount::ZERO)?;
    let burns =
        |output: &bitcoin::TxOut| is_unspendable(&output.script_pubkey) && output.value > burn_max;
    (!tx.output.iter().any(burns)).or_fail(Code::Verify, BURN_EXCEEDED)?;
    let tx = Arc::new(tx);
    let txid = tx.compute_txid();
    let machine = &mut context.machine;
    let checked = machine
        .mempool()
        .check(machine.chain(), context.now, tx.clone());
    let too_much = |entry: &MempoolEntry| pays_too_much(entry, fee_rate_max);
    (!checked.as_ref().is_ok_and(too_much)).or_fail(Code::Verify, FEE_EXCEEDED)?;
    // Scripts are not verified twice: their verdict is remembered.
    match checked.and_then(|_| machine.submit_transaction(context.now, tx)) {
        Err(reject) if !is_in_mempool(&reject) => Err(rejected(&reject)),
        _ => done(txid.to_string()),
    }
}

pub(super) fn testmempoolaccept(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let raw = arguments.array(0)?;
    let fee_rate_max = arguments.amount_or(1, FEE_RATE_MAX_DEFAULT)?;
    (1..=TESTED_AT_ONCE_MAX).contains(&raw.len()).or_fail(
        Code::InvalidParameter,
        format!("Array must contain between 1 and {TESTED_AT_ONCE_MAX} transactions."),
    )?;
    let verdicts = raw.iter().map(|hex| {
        let hex = hex.as_str().unwrap_or_default();
        let tx = deserialize_hex(hex).or_fail(
            Code::Deserialization,
            format!("TX decode failed: {hex} Make sure the tx has at least one input."),
        )?;
        Ok(test(context, Arc::new(tx), fee_rate_max))
    });
    done(verdicts.collect::<Result<Value, RpcError>>()?)
}

fn test(context: &Context<'_>, tx: Arc<Transaction>, fee_rate_max: Amount) -> Value {
    let (txid, wtxid) = (tx.compute_txid(), tx.compute_wtxid());
    let machine = &context.machine;
    let checked = machine.mempool().check(machine.chain(), context.now, tx);
    let refused = match &checked {
        Ok(entry) if pays_too_much(entry, fee_rate_max) => Some("max-fee-exceeded"),
        Ok(_) => None,
        Err(TxReject::MissingInputs { .. }) => Some("missing-inputs"),
        Err(other) => Some(other.reason()),
    };
    let taken = checked.ok().filter(|_| refused.is_none());
    let fees = |entry: &MempoolEntry| {
        let rate = entry.fee.to_sat() * 1_000 / entry.vsize().max(1);
        json!({
            "base": btc(entry.fee),
            "effective-feerate": btc(Amount::from_sat(rate)),
            "effective-includes": [wtxid],
        })
    };
    present(json!({
        "txid": txid,
        "wtxid": wtxid,
        "allowed": taken.is_some(),
        "vsize": taken.as_ref().map(MempoolEntry::vsize),
        "fees": taken.as_ref().map(fees),
        "reject-reason": refused,
    }))
}

pub(super) fn decoderawtransaction(_: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let tx: Transaction = arguments.consensus(0, DECODE_HINT)?;
    done(transaction(&tx, false))
}

pub(super) fn getrawtransaction(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let txid = arguments.hash(0)?;
    let verbosity = arguments.verbosity_or(1, 0)?;
    let genesis = genesis_block(NETWORK);
    let is_genesis = genesis.txdata.iter().any(|tx| tx.compute_txid() == txid);
    (!is_genesis).or_fail(
        Code::InvalidAddressOrKey,
        "The genesis block coinbase is not considered an ordinary transaction and cannot be \
         retrieved",
    )?;
    if arguments.has(2) {
        return from_block(context, arguments, &txid, verbosity);
    }
    let entry = context.machine.mempool().get(&txid).or_fail(
        Code::InvalidAddressOrKey,
        "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain \
         transaction queries. Use gettransaction for wallet transactions.",
    )?;
    if verbosity <= 0 {
        return done(serialize_hex(&*entry.tx));
    }
    done(transaction(&entry.tx, true))
}

fn from_block(context: &Context<'_>, arguments: &Arguments, txid: &Txid, verbosity: i64) -> Answer {
    let hash = arguments.hash(2)?;
    let chain = context.machine.chain();
    let entry = chain
        .entry(&hash)
        .or_fail(Code::InvalidAddressOrKey, "Block hash not found")?;
    let block = body(chain, &hash)?;
    let mut transactions = block.txdata.iter();
    let tx = transactions.find(|tx| tx.compute_txid() == *txid).or_fail(
        Code::InvalidAddressOrKey,
        "No such transaction found in the provided block. Use gettransaction for wallet \
         transactions.",
    )?;
    if verbosity <= 0 {
        return done(serialize_hex(tx));
    }
    let mut shown = transaction(tx, true);
    let active = chain.is_active(&hash);
    shown["in_active_chain"] = active.into();
    shown["blockhash"] = hash.to_string().into();
    shown["confirmations"] = confirmations(chain, entry).max(0).into();
    if active {
        shown["time"] = entry.header.time.into();
        shown["blocktime"] = entry.header.time.into();
    }
    done(shown)
}

fn pays_too_much(entry: &MempoolEntry, fee_rate_max: Amount) -> bool {
    let limit = u128::from(fee_rate_max.to_sat()) * entry.tx.vsize() as u128 / 1_000;
    fee_rate_max > Amount::ZERO && u128::from(entry.fee.to_sat()) > limit
}

fn is_in_mempool(reject: &TxReject) -> bool {
    matches!(
        reject,
        TxReject::AlreadyInMempool | TxReject::SameTxidInMempool
    )
}

fn rejected(reject: &TxReject) -> RpcError {
    match reject {
        TxReject::MissingInputs { .. } => RpcError::new(Code::Verify, reject.reason()),
        TxReject::AlreadyConfirmed => RpcError::new(
            Code::VerifyAlready,
            "Transaction outputs already in utxo set",
        ),
        other => RpcError::new(Code::VerifyRejected, other.to_string()),
    }
}
