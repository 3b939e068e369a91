//! One transaction in the pool, and what was learnt about it on the way in.

use bitcoin::{Amount, Txid, Wtxid};

use crate::time::Time;
use crate::wire::NamedTransaction;

/// A transaction in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MempoolEntry {
    /// The transaction.
    pub tx: NamedTransaction,
    /// What it pays to the miner.
    pub fee: Amount,
    /// Its signature operations at BIP141's prices.
    pub sigops_cost: u64,
    /// When it came in.
    pub time: Time,
    /// Its place in the order of arrival.
    pub sequence: u64,
    /// Height of the tip when it came in.
    pub height: u32,
}

impl MempoolEntry {
    /// Its name without witnesses.
    pub fn txid(&self) -> Txid {
        self.tx.txid()
    }

    /// Its name with witnesses.
    pub fn wtxid(&self) -> Wtxid {
        self.tx.wtxid()
    }

    /// Its weight units.
    pub fn weight(&self) -> u64 {
        self.tx.weight_units()
    }

    /// Its virtual bytes: a quarter of its weight, rounded up.
    pub fn vsize(&self) -> u64 {
        self.tx.vbytes()
    }

    /// Its bytes on the wire, witnesses included.
    pub fn bytes(&self) -> usize {
        self.tx.bytes()
    }
}
