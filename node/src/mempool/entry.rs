//! One transaction in the pool, and what was learnt about it on the way in.

use std::sync::Arc;

use bitcoin::{Amount, Transaction, Txid, Wtxid};

use crate::time::Time;

/// A transaction in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MempoolEntry {
    /// The transaction.
    pub tx: Arc<Transaction>,
    /// Its name without witnesses.
    pub txid: Txid,
    /// Its name with witnesses.
    pub wtxid: Wtxid,
    /// What it pays to the miner.
    pub fee: Amount,
    /// Its weight units.
    pub weight: u64,
    /// Its signature operations at BIP141's prices.
    pub sigops_cost: u64,
    /// When it came in.
    pub time: Time,
    /// Height of the tip when it came in.
    pub height: u32,
    /// Its place in the order of arrival.
    pub sequence: u64,
}

impl MempoolEntry {
    /// Its virtual bytes: a quarter of its weight, rounded up.
    pub fn vsize(&self) -> u64 {
        self.weight.div_ceil(4)
    }

    /// Its bytes on the wire, witnesses included.
    pub fn bytes(&self) -> usize {
        self.tx.total_size()
    }
}
