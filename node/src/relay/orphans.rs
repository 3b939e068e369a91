//! Transactions whose parents are not here: kept for a while, in the hope that the parents come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bitcoin::{Transaction, Txid, Wtxid};

use crate::io::PeerId;
use crate::wire::NamedTransaction;

/// Orphans kept (Bitcoin Core's `DEFAULT_MAX_ORPHAN_TRANSACTIONS`).
const ORPHANS_MAX: usize = 100;
/// Bytes of all of them together.
const BYTES_MAX: usize = 2_000_000;
/// Bytes of one: the largest transaction that relay policy lets pass (400,000 weight units).
const ORPHAN_BYTES_MAX: usize = 100_000;

#[derive(Clone, Debug)]
struct Orphan {
    tx: NamedTransaction,
    from: PeerId,
}

/// The pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orphans {
    by_wtxid: BTreeMap<Wtxid, Orphan>,
    by_parent: BTreeMap<Txid, BTreeSet<Wtxid>>,
    bytes: usize,
}

impl Orphans {
    /// Keeps an orphan. When the pool is full, others go, in the order of their hashes after this
    /// one's: nobody can choose which.
    pub(crate) fn add(&mut self, tx: NamedTransaction, from: PeerId) {
        let (wtxid, bytes) = (tx.wtxid(), tx.bytes());
        if bytes > ORPHAN_BYTES_MAX || self.by_wtxid.contains_key(&wtxid) {
            return;
        }
        while self.by_wtxid.len() >= ORPHANS_MAX || self.bytes + bytes > BYTES_MAX {
            let after = self.by_wtxid.range(wtxid..).next().map(|(w, _)| *w);
            let Some(victim) = after.or_else(|| self.by_wtxid.keys().next().copied()) else {
                break;
            };
            self.remove(&victim);
        }
        for input in &tx.input {
            self.by_parent
                .entry(input.previous_output.txid)
                .or_default()
                .insert(wtxid);
        }
        self.bytes += bytes;
        self.by_wtxid.insert(wtxid, Orphan { tx, from });
    }

    pub(crate) fn contains(&self, wtxid: &Wtxid) -> bool {
        self.by_wtxid.contains_key(wtxid)
    }

    /// All of them, by wtxid.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Wtxid, &Arc<Transaction>)> {
        self.by_wtxid
            .iter()
            .map(|(wtxid, o)| (*wtxid, o.tx.transaction()))
    }

    pub(crate) fn remove(&mut self, wtxid: &Wtxid) {
        let Some(orphan) = self.by_wtxid.remove(wtxid) else {
            return;
        };
        self.bytes -= orphan.tx.bytes();
        for input in &orphan.tx.input {
            let parent = input.previous_output.txid;
            if let Some(children) = self.by_parent.get_mut(&parent) {
                children.remove(wtxid);
                if children.is_empty() {
                    self.by_parent.remove(&parent);
                }
            }
        }
    }

    /// Takes out those that spend this transaction, with who gave them.
    pub(crate) fn take_children(&mut self, parent: &Txid) -> Vec<(NamedTransaction, PeerId)> {
        let children = self.by_parent.get(parent).cloned().unwrap_or_default();
        let mut taken = Vec::new();
        for wtxid in children {
            if let Some(orphan) = self.by_wtxid.get(&wtxid) {
                taken.push((orphan.tx.clone(), orphan.from));
            }
            self.remove(&wtxid);
        }
        taken
    }

    /// A connection is gone, and with it the hope that it gives the parents.
    pub(crate) fn forget_peer(&mut self, peer: PeerId) {
        let gone: Vec<_> = self
            .by_wtxid
            .iter()
            .filter(|(_, o)| o.from == peer)
            .map(|(w, _)| *w)
            .collect();
        gone.iter().for_each(|wtxid| self.remove(wtxid));
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, OutPoint, ScriptBuf, TxIn, TxOut, absolute, transaction};

    use super::*;

    fn child_of(parent: Txid, n: u32, script_bytes: usize) -> NamedTransaction {
        NamedTransaction::of(Arc::new(Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::new(parent, n),
                ..TxIn::default()
            }],
            output: vec![TxOut {
                value: Amount::from_sat(u64::from(n)),
                script_pubkey: ScriptBuf::from_bytes(vec![0; script_bytes]),
            }],
        }))
    }

    fn parent(n: u8) -> Txid {
        Txid::from_byte_array([n; 32])
    }

    #[test]
    fn children_come_out_when_their_parent_comes() {
        let mut orphans = Orphans::default();
        orphans.add(child_of(parent(1), 0, 10), PeerId(1));
        orphans.add(child_of(parent(1), 1, 10), PeerId(2));
        orphans.add(child_of(parent(2), 0, 10), PeerId(2));
        assert_eq!(orphans.take_children(&parent(1)).len(), 2);
        assert_eq!(orphans.take_children(&parent(1)).len(), 0);
        orphans.forget_peer(PeerId(2));
        assert!(orphans.by_wtxid.is_empty() && orphans.by_parent.is_empty());
        assert_eq!(orphans.bytes, 0);
    }

    #[test]
    fn the_pool_is_bounded_in_count_and_bytes() {
        let mut orphans = Orphans::default();
        (0..300).for_each(|n| orphans.add(child_of(parent(1), n, 10), PeerId(1)));
        assert_eq!(orphans.by_wtxid.len(), ORPHANS_MAX);
        (0..300).for_each(|n| orphans.add(child_of(parent(2), n, 90_000), PeerId(1)));
        assert!(orphans.bytes <= BYTES_MAX);
        orphans.add(child_of(parent(3), 0, 200_000), PeerId(1));
        assert_eq!(orphans.take_children(&parent(3)).len(), 0);
    }
}
