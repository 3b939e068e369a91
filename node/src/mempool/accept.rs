//! The way into the pool: consensus rules as they would be in the next block, then policy, then
//! room. Scripts come last, being the dearest. Bitcoin Core's `AcceptToMemoryPool`.

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint, Transaction, TxOut, Txid, Wtxid};

use super::entry::MempoolEntry;
use super::policy;
use super::pool::Mempool;
use super::reject::TxReject;
use crate::chain::{
    Chain, Coin, InputError, check_transaction, is_final, sequence_locks_met, spend_inputs,
};
use crate::time::Time;
use crate::wire::NamedTransaction;

/// A transaction was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name without witnesses.
    pub txid: Txid,
    /// Its name with witnesses.
    pub wtxid: Wtxid,
    /// What it pays.
    pub fee: Amount,
    /// Its virtual bytes.
    pub vsize: u64,
    /// What was thrown out to make room.
    pub evicted: Vec<NamedTransaction>,
}

impl Mempool {
    /// Takes a transaction in, or says why not.
    pub fn accept(
        &mut self,
        chain: &Chain,
        time: Time,
        tx: impl Into<NamedTransaction>,
    ) -> Result<Accepted, TxReject> {
        let entry = self.check(chain, time, tx)?;
        self.last_sequence = entry.sequence;
        let (tx, fee, vsize) = (entry.tx.clone(), entry.fee, entry.vsize());
        self.insert(entry);
        let evicted = self.make_room();
        if !self.contains(&tx.txid()) {
            return Err(TxReject::refused("mempool full"));
        }
        Ok(Accepted {
            txid: tx.txid(),
            wtxid: tx.wtxid(),
            fee,
            vsize,
            evicted,
        })
    }

    /// Whether a transaction would be taken in (as testmempoolaccept asks), but for room.
    pub fn check(
        &self,
        chain: &Chain,
        time: Time,
        tx: impl Into<NamedTransaction>,
    ) -> Result<MempoolEntry, TxReject> {
        let tx = tx.into();
        let (txid, wtxid) = (tx.txid(), tx.wtxid());
        check_alone(chain, &tx)?;
        self.check_known(&txid, &wtxid)?;
        self.check_conflicts(&tx)?;
        let spent = self.gather(chain, &tx, &txid)?;
        let refs: Vec<&Coin> = spent.iter().collect();
        let next_height = chain.tip().height + 1;
        check_relative_locks(chain, &tx, &spent)?;
        let fee = spend_inputs(&tx, &refs, next_height).map_err(|error| match error {
            // True of this tip only: an honest peer may be on another.
            InputError::Immature => TxReject::refused(error.reason()),
            _ => TxReject::invalid(error.reason()),
        })?;
        let outputs: Vec<TxOut> = spent.into_iter().map(|coin| coin.output).collect();
        let entry = MempoolEntry {
            fee,
            sigops_cost: crate::chain::sigop_cost(&tx, &outputs),
            time,
            height: chain.tip().height,
            sequence: self.last_sequence + 1,
            tx,
        };
        self.check_policy(&entry)?;
        chain
            .verify_scripts(&entry.tx, wtxid, &outputs)
            .map_err(|error| TxReject::Invalid {
                reason: "mandatory-script-verify-flag-failed",
                detail: error.to_string(),
            })?;
        Ok(entry)
    }

    fn check_known(&self, txid: &Txid, wtxid: &Wtxid) -> Result<(), TxReject> {
        if self.contains_wtxid(wtxid) {
            return Err(TxReject::AlreadyInMempool);
        }
        if self.contains(txid) {
            return Err(TxReject::SameTxidInMempool);
        }
        Ok(())
    }

    fn check_conflicts(&self, tx: &Transaction) -> Result<(), TxReject> {
        if tx
            .input
            .iter()
            .any(|input| self.is_spent(&input.previous_output))
        {
            return Err(TxReject::Conflict);
        }
        Ok(())
    }

    /// The coins that a transaction spends, from the chain or from the pool.
    fn gather(&self, chain: &Chain, tx: &Transaction, txid: &Txid) -> Result<Vec<Coin>, TxReject> {
        let next_height = chain.tip().height + 1;
        let mut coins = Vec::with_capacity(tx.input.len());
        let mut missing = Vec::new();
        for input in &tx.input {
            let outpoint = &input.previous_output;
            if let Some(coin) = chain.coin(outpoint) {
                coins.push(coin.clone());
            } else if let Some(output) = self.output(outpoint) {
                coins.push(Coin {
                    output: output.clone(),
                    height: next_height,
                    coinbase: false,
                });
            } else {
                missing.push(*outpoint);
            }
        }
        if missing.is_empty() {
            return Ok(coins);
        }
        let mut own = (0..tx.output.len() as u32).map(|vout| OutPoint { txid: *txid, vout });
        if own.any(|outpoint| chain.coin(&outpoint).is_some()) {
            return Err(TxReject::AlreadyConfirmed);
        }
        Err(TxReject::MissingInputs { missing })
    }

    fn check_policy(&self, entry: &MempoolEntry) -> Result<(), TxReject> {
        if entry.sigops_cost > policy::MAX_TX_SIGOPS_COST {
            return Err(TxReject::refused("bad-txns-too-many-sigops"));
        }
        for (rate, reason) in [
            (self.min_relay_sat_per_kvb, "min relay fee not met"),
            (self.min_fee(), "mempool min fee not met"),
        ] {
            let needed = policy::fee_at_rate(rate, entry.vsize());
            if entry.fee < needed {
                let detail = format!("{} < {}", entry.fee.to_sat(), needed.to_sat());
                return Err(TxReject::refused_with(reason, detail));
            }
        }
        self.check_package(entry)
    }

    /// Long chains of unconfirmed transactions make every later step dear, so they are bounded.
    fn check_package(&self, entry: &MempoolEntry) -> Result<(), TxReject> {
        let too_long = |detail: &str| {
            Err(TxReject::refused_with(
                "too-long-mempool-chain",
                detail.to_owned(),
            ))
        };
        let parents = self.parents_of(&entry.tx);
        let ancestors = self.closure(parents, |txid| self.parents(txid));
        if ancestors.len() + 1 > policy::MAX_PACKAGE_COUNT {
            return too_long("too many unconfirmed ancestors");
        }
        if self.vbytes_of(&ancestors) + entry.vsize() > policy::MAX_PACKAGE_VBYTES {
            return too_long("exceeds ancestor size limit");
        }
        for ancestor in &ancestors {
            let descendants = self.descendants(ancestor);
            if descendants.len() + 2 > policy::MAX_PACKAGE_COUNT {
                return too_long("too many descendants");
            }
            let own = self.get(ancestor).map_or(0, MempoolEntry::vsize);
            if self.vbytes_of(&descendants) + own + entry.vsize() > policy::MAX_PACKAGE_VBYTES {
                return too_long("exceeds descendant size limit");
            }
        }
        Ok(())
    }

    fn vbytes_of(&self, txids: &BTreeSet<Txid>) -> u64 {
        txids
            .iter()
            .filter_map(|txid| self.get(txid))
            .map(MempoolEntry::vsize)
            .sum()
    }

    /// Throws out what pays worst, with all that depends on it, until the pool fits.
    fn make_room(&mut self) -> Vec<NamedTransaction> {
        let mut evicted = Vec::new();
        while self.bytes > self.bytes_max || self.entries.len() > self.count_max {
            let worst = self
                .entries
                .values()
                .map(|entry| {
                    (
                        entry.fee.to_sat() * 1_000 / entry.vsize().max(1),
                        entry.txid(),
                    )
                })
                .min();
            let Some((rate, txid)) = worst else { break };
            self.evicted_sat_per_kvb = self.evicted_sat_per_kvb.max(rate);
            evicted.extend(self.remove_with_descendants(&txid));
        }
        evicted
    }
}

fn check_alone(chain: &Chain, tx: &NamedTransaction) -> Result<(), TxReject> {
    check_transaction(tx).map_err(|error| TxReject::Invalid {
        reason: error.reason,
        detail: error.detail,
    })?;
    if tx.is_coinbase() {
        return Err(TxReject::invalid("coinbase"));
    }
    if tx.base_size() < policy::MIN_TX_BASE_BYTES {
        return Err(TxReject::refused("tx-size-small"));
    }
    if tx.weight_units() > policy::MAX_TX_WEIGHT {
        return Err(TxReject::refused("tx-size"));
    }
    let tip = chain.tip();
    if !is_final(tx, tip.height + 1, chain.median_time_past(&tip.hash)) {
        return Err(TxReject::refused("non-final"));
    }
    Ok(())
}

fn check_relative_locks(chain: &Chain, tx: &Transaction, spent: &[Coin]) -> Result<(), TxReject> {
    let tip = chain.tip();
    let heights: Vec<u32> = spent.iter().map(|coin| coin.height).collect();
    let met = sequence_locks_met(
        tx,
        &heights,
        tip.height + 1,
        chain.median_time_past(&tip.hash),
        |height| {
            chain
                .hash_at(height)
                .map_or(0, |hash| chain.median_time_past(&hash))
        },
    );
    if met {
        Ok(())
    } else {
        Err(TxReject::refused("non-BIP68-final"))
    }
}
