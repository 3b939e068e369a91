//! Transactions that are not in the mempool, yet may well be in the next block: what it refused,
//! or let go, lately. Bitcoin Core's `vExtraTxnForCompact`.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::{Transaction, Wtxid};

use crate::wire::NamedTransaction;

/// Transactions kept (`DEFAULT_BLOCK_RECONSTRUCTION_EXTRA_TXN`).
const TRANSACTIONS_MAX: usize = 100;
/// Bytes of all of them together: a node's whole memory is a few megabytes.
const BYTES_MAX: usize = 400_000;
/// Bytes of one: a larger one would drive out many.
const TRANSACTION_BYTES_MAX: usize = 100_000;

/// Them, the newest last.
#[derive(Clone, Debug, Default)]
pub(in crate::sync) struct ExtraTransactions {
    kept: VecDeque<NamedTransaction>,
    bytes: usize,
}

impl ExtraTransactions {
    pub(in crate::sync) fn add(&mut self, tx: NamedTransaction) {
        if tx.bytes() > TRANSACTION_BYTES_MAX {
            return;
        }
        self.bytes += tx.bytes();
        self.kept.push_back(tx);
        while self.kept.len() > TRANSACTIONS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
    }

    pub(in crate::sync) fn iter(&self) -> impl Iterator<Item = (Wtxid, &Arc<Transaction>)> {
        self.kept.iter().map(|tx| (tx.wtxid(), tx.transaction()))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{ScriptBuf, TxIn, absolute, transaction};

    use super::*;

    fn tx(n: u32, bytes: usize) -> Arc<Transaction> {
        Arc::new(Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::from_consensus(n),
            input: vec![TxIn {
                script_sig: ScriptBuf::from_bytes(vec![0; bytes]),
                ..TxIn::default()
            }],
            output: Vec::new(),
        })
    }

    #[test]
    fn it_is_bounded_in_number_and_in_bytes() {
        let mut extra = ExtraTransactions::default();
        (0..300).for_each(|n| extra.add(tx(n, 10).into()));
        assert_eq!(extra.iter().count(), TRANSACTIONS_MAX);
        assert!(extra.iter().any(|(_, t)| **t == *tx(299, 10)));
        (0..300).for_each(|n| extra.add(tx(n, 90_000).into()));
        assert_eq!(extra.iter().count(), 4);
        assert!(extra.bytes <= BYTES_MAX);
        extra.add(tx(1, TRANSACTION_BYTES_MAX).into());
        assert_eq!(extra.iter().count(), 4, "too large to be kept");
    }
}
