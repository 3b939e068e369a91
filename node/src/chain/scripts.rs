//! Script verification, once per transaction: what was found good for the mempool is not verified
//! again in a block.
//!
//! Each input is verified by a call of its own into `bitcoinconsensus`, which decodes and hashes
//! the whole transaction every time: the cost grows with inputs times bytes. The mempool bounds it
//! by a transaction's weight; for a block that is full of one transaction it is a matter of
//! minutes, as it was for everybody before segwit.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitcoin::{Transaction, TxOut, Wtxid, consensus};
use bitcoinconsensus::Utxo;

use super::rules::SCRIPT_FLAGS;

/// Transactions remembered at most: some 100 bytes each, so 1.6 MB when full. A test network's
/// mempool and a day of its blocks fit.
const MAX_REMEMBERED: usize = 16_384;

/// An input's script does not allow the spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the script of input {input} fails")]
pub struct ScriptError {
    /// Its place in the transaction.
    pub input: usize,
}

/// Transactions whose scripts are known to be good under certain flags. Only successes are kept.
///
/// A wtxid commits to the whole transaction with its witnesses, and through the txids of its
/// inputs to the outputs that it spends: so the verdict is a function of wtxid and flags alone,
/// and holds in every chain and every node.
#[derive(Debug, Default)]
pub struct ScriptCache {
    known: BTreeSet<(Wtxid, u32)>,
    order: VecDeque<(Wtxid, u32)>,
    verified: u64,
}

impl ScriptCache {
    /// How many transactions were really verified, not found here.
    pub fn verified_count(&self) -> u64 {
        self.verified
    }

    fn contains(&self, wtxid: &Wtxid, flags: u32) -> bool {
        self.known.contains(&(*wtxid, flags))
    }

    fn insert(&mut self, wtxid: Wtxid, flags: u32) {
        self.verified += 1;
        if !self.known.insert((wtxid, flags)) {
            return;
        }
        self.order.push_back((wtxid, flags));
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Verifies all inputs of a transaction under all consensus rules. `spent` are the outputs that
/// it spends, in the order of its inputs.
pub fn verify_scripts(
    cache: &Mutex<ScriptCache>,
    tx: &Transaction,
    wtxid: Wtxid,
    spent: &[TxOut],
) -> Result<(), ScriptError> {
    if lock(cache).contains(&wtxid, SCRIPT_FLAGS) {
        return Ok(());
    }
    verify_inputs(tx, spent)?;
    lock(cache).insert(wtxid, SCRIPT_FLAGS);
    Ok(())
}

/// A panic elsewhere cannot leave a false entry here, so a poisoned lock is as good as any.
fn lock(cache: &Mutex<ScriptCache>) -> MutexGuard<'_, ScriptCache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

fn verify_inputs(tx: &Transaction, spent: &[TxOut]) -> Result<(), ScriptError> {
    let bytes = consensus::serialize(tx);
    let utxos: Vec<Utxo> = spent
        .iter()
        .map(|output| Utxo {
            script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: output.script_pubkey.len() as u32,
            value: output.value.to_sat().cast_signed(),
        })
        .collect();
    for (input, output) in spent.iter().enumerate() {
        bitcoinconsensus::verify_with_flags(
            output.script_pubkey.as_bytes(),
            output.value.to_sat(),
            &bytes,
            Some(&utxos),
            input,
            SCRIPT_FLAGS,
        )
        .map_err(|_| ScriptError { input })?;
    }
    Ok(())
}
