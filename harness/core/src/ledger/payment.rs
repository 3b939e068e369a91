//! What a run submits to nodes: transactions that spend the pre-mined outputs.

use bitcoin::Transaction;

use super::premined::Premined;
use super::wallet;

/// A transaction to be submitted, and its id as nodes show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub transaction: Transaction,
    pub id: String,
}

impl Payment {
    /// What spends a pre-mined output, or `None` where the chain has no such output. Two variants
    /// of one output pay to different places, and so conflict.
    pub fn new(premined: &Premined, output: u32, variant: u32) -> Option<Payment> {
        let mut label = *b"peerlab payment 0000 0000";
        label[16..20].copy_from_slice(&output.to_le_bytes());
        label[21..25].copy_from_slice(&variant.to_le_bytes());
        let transaction = wallet::pay(premined.coin(output)?, &label)?;
        let id = transaction.compute_txid().to_string();
        Some(Payment { transaction, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_one_output_conflict_and_differ() {
        let premined = Premined::mine(10);
        let [a, b] = [0, 1].map(|variant| Payment::new(&premined, 3, variant).unwrap());
        let spent = |payment: &Payment| payment.transaction.input[0].previous_output;
        assert_eq!(spent(&a), spent(&b));
        assert_ne!(a.id, b.id);
        assert_eq!(a, Payment::new(&premined, 3, 0).unwrap());
        assert_eq!(Payment::new(&premined, 10, 0), None);
    }
}
