//! A transaction together with its names and sizes, computed once however many places, or nodes of
//! one process, want them.

use std::ops::Deref;
use std::sync::Arc;

use bitcoin::{Transaction, Txid, Wtxid};

use super::codec::{Payload, PayloadError, Reader, Writer};

/// A transaction and what follows from its bytes alone. Cheap to copy.
#[derive(Clone, Debug)]
pub struct NamedTransaction(Arc<Named>);

#[derive(Debug)]
struct Named {
    txid: Txid,
    wtxid: Wtxid,
    weight: u64,
    bytes: usize,
    transaction: Arc<Transaction>,
}

impl NamedTransaction {
    /// Hashes and measures a transaction.
    pub fn of(transaction: Arc<Transaction>) -> NamedTransaction {
        NamedTransaction(Arc::new(Named {
            txid: transaction.compute_txid(),
            wtxid: transaction.compute_wtxid(),
            weight: transaction.weight().to_wu(),
            bytes: transaction.total_size(),
            transaction,
        }))
    }

    /// Its name without witnesses.
    pub fn txid(&self) -> Txid {
        self.0.txid
    }

    /// Its name with witnesses.
    pub fn wtxid(&self) -> Wtxid {
        self.0.wtxid
    }

    /// Its weight units (BIP141).
    pub fn weight_units(&self) -> u64 {
        self.0.weight
    }

    /// Its virtual bytes: a quarter of its weight, rounded up.
    pub fn vbytes(&self) -> u64 {
        self.0.weight.div_ceil(4)
    }

    /// Its bytes on the wire, witnesses included.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// The transaction.
    pub fn transaction(&self) -> &Arc<Transaction> {
        &self.0.transaction
    }
}

impl From<Arc<Transaction>> for NamedTransaction {
    fn from(transaction: Arc<Transaction>) -> NamedTransaction {
        NamedTransaction::of(transaction)
    }
}

impl Deref for NamedTransaction {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.0.transaction
    }
}

/// The name with witnesses covers every byte.
impl PartialEq for NamedTransaction {
    fn eq(&self, other: &NamedTransaction) -> bool {
        self.0.wtxid == other.0.wtxid
    }
}

impl Eq for NamedTransaction {}

impl Payload for NamedTransaction {
    fn bytes(&self) -> usize {
        NamedTransaction::bytes(self)
    }

    fn write(&self, writer: &mut Writer) {
        writer.consensus(&**self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<NamedTransaction, PayloadError> {
        let transaction: Transaction = reader.consensus("transaction")?;
        Ok(NamedTransaction::of(Arc::new(transaction)))
    }
}
