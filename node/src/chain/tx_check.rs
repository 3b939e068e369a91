//! What a transaction must satisfy by itself, before any coin is looked up.

use std::collections::BTreeSet;

use bitcoin::{Amount, Transaction};

use super::error::BlockInvalid;
use super::rules::{
    MAX_BLOCK_WEIGHT, MAX_COINBASE_SCRIPT_BYTES, MIN_COINBASE_SCRIPT_BYTES, WITNESS_SCALE,
};

/// Checks one transaction without context. The reasons are those of Bitcoin Core's
/// `CheckTransaction`.
pub fn check_transaction(tx: &Transaction) -> Result<(), BlockInvalid> {
    if tx.input.is_empty() {
        return Err(BlockInvalid::new("bad-txns-vin-empty"));
    }
    if tx.output.is_empty() {
        return Err(BlockInvalid::new("bad-txns-vout-empty"));
    }
    if tx.base_size() as u64 * WITNESS_SCALE > MAX_BLOCK_WEIGHT {
        return Err(BlockInvalid::new("bad-txns-oversize"));
    }
    check_outputs(tx)?;
    check_inputs(tx)
}

fn check_outputs(tx: &Transaction) -> Result<(), BlockInvalid> {
    let mut total = Amount::ZERO;
    for output in &tx.output {
        // Values are signed on the wire; the type here is not.
        if output.value.to_sat() > i64::MAX as u64 {
            return Err(BlockInvalid::new("bad-txns-vout-negative"));
        }
        if output.value > Amount::MAX_MONEY {
            return Err(BlockInvalid::new("bad-txns-vout-toolarge"));
        }
        total += output.value;
        if total > Amount::MAX_MONEY {
            return Err(BlockInvalid::new("bad-txns-txouttotal-toolarge"));
        }
    }
    Ok(())
}

fn check_inputs(tx: &Transaction) -> Result<(), BlockInvalid> {
    let mut seen = BTreeSet::new();
    if !tx
        .input
        .iter()
        .all(|input| seen.insert(input.previous_output))
    {
        return Err(BlockInvalid::new("bad-txns-inputs-duplicate"));
    }
    if tx.is_coinbase() {
        let bytes = tx.input[0].script_sig.len();
        if !(MIN_COINBASE_SCRIPT_BYTES..=MAX_COINBASE_SCRIPT_BYTES).contains(&bytes) {
            return Err(BlockInvalid::new("bad-cb-length"));
        }
    } else if tx.input.iter().any(|input| input.previous_output.is_null()) {
        return Err(BlockInvalid::new("bad-txns-prevout-null"));
    }
    Ok(())
}
