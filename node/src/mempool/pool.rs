//! The pool's own data: who is in it, who spends what, how they hang together.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, TxOut, Txid, Wtxid};

use super::entry::MempoolEntry;
use super::policy;
use crate::chain::NamedBlock;
use crate::chain::rules::MAX_BLOCK_WEIGHT;
use crate::chain::template::RESERVED_WEIGHT;
use crate::hash_key::HashKey;
use crate::wire::NamedTransaction;

/// Transactions that wait for a block.
#[derive(Clone, Debug)]
pub struct Mempool {
    pub(super) entries: BTreeMap<HashKey, MempoolEntry>,
    pub(super) by_wtxid: BTreeMap<HashKey, NamedTransaction>,
    /// Who in the pool spends an output.
    pub(super) spenders: BTreeMap<(HashKey, u32), Txid>,
    pub(super) bytes: usize,
    pub(super) vbytes: u64,
    pub(super) last_sequence: u64,
    losses: u64,
    departures: u64,
    pub(super) min_relay_sat_per_kvb: u64,
    /// Rate of what was thrown out last for want of room, until the next block; 0 if nothing was.
    pub(super) evicted_sat_per_kvb: u64,
    /// Most weight of a block that is made of this pool.
    pub(super) block_weight_max: u64,
    pub(super) bytes_max: usize,
    pub(super) count_max: usize,
}

impl Default for Mempool {
    fn default() -> Mempool {
        Mempool::new()
    }
}

impl Mempool {
    /// An empty pool with the limits of [`policy`].
    pub fn new() -> Mempool {
        Mempool {
            entries: BTreeMap::new(),
            by_wtxid: BTreeMap::new(),
            spenders: BTreeMap::new(),
            bytes: 0,
            vbytes: 0,
            last_sequence: 0,
            losses: 0,
            departures: 0,
            min_relay_sat_per_kvb: policy::MIN_RELAY_FEE_SAT_PER_KVB,
            evicted_sat_per_kvb: 0,
            block_weight_max: MAX_BLOCK_WEIGHT,
            bytes_max: policy::MAX_POOL_BYTES,
            count_max: policy::MAX_POOL_COUNT,
        }
    }

    /// Sets the fee rate below which nothing is taken, in satoshi per 1000 virtual bytes.
    pub fn set_min_relay_fee(&mut self, sat_per_kvb: u64) {
        self.min_relay_sat_per_kvb = sat_per_kvb;
    }

    /// Sets the most weight of a block that is made of this pool; the rules' own bounds hold too.
    pub fn set_block_weight_max(&mut self, weight: u64) {
        self.block_weight_max = weight.clamp(RESERVED_WEIGHT, MAX_BLOCK_WEIGHT);
    }

    /// An entry by txid.
    pub fn get(&self, txid: &Txid) -> Option<&MempoolEntry> {
        self.entries.get(&HashKey::of(txid))
    }

    /// A transaction by wtxid.
    pub fn get_by_wtxid(&self, wtxid: &Wtxid) -> Option<&NamedTransaction> {
        self.by_wtxid.get(&HashKey::of(wtxid))
    }

    /// Whether a txid is in the pool.
    pub fn contains(&self, txid: &Txid) -> bool {
        self.entries.contains_key(&HashKey::of(txid))
    }

    /// Whether a wtxid is in the pool.
    pub fn contains_wtxid(&self, wtxid: &Wtxid) -> bool {
        self.by_wtxid.contains_key(&HashKey::of(wtxid))
    }

    /// All entries, by txid.
    pub fn iter(&self) -> impl Iterator<Item = &MempoolEntry> {
        self.entries.values()
    }

    /// All entries in the order in which they arrived; parents come before children.
    pub fn by_arrival(&self) -> Vec<&MempoolEntry> {
        let mut entries: Vec<&MempoolEntry> = self.entries.values().collect();
        entries.sort_unstable_by_key(|entry| entry.sequence);
        entries
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Grows whenever transactions leave that no block of the active chain has, or may have left.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// Grows whenever a transaction leaves: while it stays the same, whatever was here is here.
    pub fn departures(&self) -> u64 {
        self.departures
    }

    /// Their bytes on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Their virtual bytes.
    pub fn vbytes(&self) -> u64 {
        self.vbytes
    }

    /// Bytes that it holds at most.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The configured lowest fee rate, in satoshi per 1000 virtual bytes.
    pub fn min_relay_fee(&self) -> u64 {
        self.min_relay_sat_per_kvb
    }

    /// The lowest fee rate that is taken now, in satoshi per 1000 virtual bytes: higher than the
    /// configured one since something was thrown out, until the next block.
    pub fn min_fee(&self) -> u64 {
        if self.evicted_sat_per_kvb == 0 {
            return self.min_relay_sat_per_kvb;
        }
        self.min_relay_sat_per_kvb
            .max(self.evicted_sat_per_kvb + self.min_relay_sat_per_kvb)
    }

    /// Who in the pool spends an output.
    pub fn spender(&self, outpoint: &OutPoint) -> Option<&MempoolEntry> {
        self.get(self.spenders.get(&key_of(outpoint))?)
    }

    /// Whether anybody in the pool spends an output.
    pub(super) fn is_spent(&self, outpoint: &OutPoint) -> bool {
        self.spenders.contains_key(&key_of(outpoint))
    }

    /// Forgets everything, and returns it.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = MempoolEntry> + use<> {
        self.by_wtxid.clear();
        self.spenders.clear();
        (self.bytes, self.vbytes, self.evicted_sat_per_kvb) = (0, 0, 0);
        self.losses += 1;
        self.departures += 1;
        std::mem::take(&mut self.entries).into_values()
    }

    /// An output of a transaction in the pool, spent by another or not.
    pub fn output(&self, outpoint: &OutPoint) -> Option<&TxOut> {
        self.get(&outpoint.txid)?
            .tx
            .output
            .get(outpoint.vout as usize)
    }

    /// Entries whose outputs a transaction in the pool spends directly.
    pub fn parents(&self, txid: &Txid) -> BTreeSet<Txid> {
        self.get(txid)
            .map(|entry| self.parents_of(&entry.tx))
            .unwrap_or_default()
    }

    /// Entries that spend its outputs directly.
    pub fn children(&self, txid: &Txid) -> BTreeSet<Txid> {
        let parent = HashKey::of(txid);
        self.spenders
            .range((parent, 0)..=(parent, u32::MAX))
            .map(|(_, spender)| *spender)
            .collect()
    }

    /// All entries on which it depends, without itself.
    pub fn ancestors(&self, txid: &Txid) -> BTreeSet<Txid> {
        self.closure(self.parents(txid), |txid| self.parents(txid))
    }

    /// All entries that depend on it, without itself.
    pub fn descendants(&self, txid: &Txid) -> BTreeSet<Txid> {
        self.closure(self.children(txid), |txid| self.children(txid))
    }

    pub(super) fn parents_of(&self, tx: &Transaction) -> BTreeSet<Txid> {
        tx.input
            .iter()
            .map(|input| input.previous_output.txid)
            .filter(|txid| self.contains(txid))
            .collect()
    }

    pub(super) fn closure(
        &self,
        start: BTreeSet<Txid>,
        step: impl Fn(&Txid) -> BTreeSet<Txid>,
    ) -> BTreeSet<Txid> {
        let mut found = start.clone();
        let mut ready: Vec<Txid> = start.into_iter().collect();
        while let Some(txid) = ready.pop() {
            ready.extend(step(&txid).into_iter().filter(|next| found.insert(*next)));
        }
        found
    }

    pub(super) fn insert(&mut self, entry: MempoolEntry) {
        self.bytes += entry.bytes();
        self.vbytes += entry.vsize();
        self.by_wtxid
            .insert(HashKey::of(&entry.wtxid()), entry.tx.clone());
        for input in &entry.tx.input {
            self.spenders
                .insert(key_of(&input.previous_output), entry.txid());
        }
        self.entries.insert(HashKey::of(&entry.txid()), entry);
    }

    pub(super) fn remove(&mut self, txid: &Txid) -> Option<MempoolEntry> {
        let entry = self.entries.remove(&HashKey::of(txid))?;
        self.departures += 1;
        self.bytes -= entry.bytes();
        self.vbytes -= entry.vsize();
        self.by_wtxid.remove(&HashKey::of(&entry.wtxid()));
        for input in &entry.tx.input {
            self.spenders.remove(&key_of(&input.previous_output));
        }
        Some(entry)
    }

    /// Removes an entry with all that depends on it. Returns what went.
    pub(super) fn remove_with_descendants(&mut self, txid: &Txid) -> Vec<NamedTransaction> {
        self.losses += 1;
        let mut doomed = self.descendants(txid);
        doomed.insert(*txid);
        doomed
            .iter()
            .filter_map(|txid| self.remove(txid))
            .map(|entry| entry.tx)
            .collect()
    }

    /// A block joined the active chain: what it confirmed leaves the pool, and so does what
    /// conflicts with it. Returns the latter.
    pub fn block_connected(&mut self, block: &NamedBlock) -> Vec<NamedTransaction> {
        self.evicted_sat_per_kvb = 0;
        let mut conflicts = Vec::new();
        if self.is_empty() {
            return conflicts;
        }
        for (tx, txid, _) in block.named_transactions() {
            self.remove(&txid);
            for input in &tx.input {
                if let Some(spender) = self.spenders.get(&key_of(&input.previous_output)).copied() {
                    conflicts.extend(self.remove_with_descendants(&spender));
                }
            }
        }
        conflicts
    }
}

fn key_of(outpoint: &OutPoint) -> (HashKey, u32) {
    (HashKey::of(&outpoint.txid), outpoint.vout)
}
