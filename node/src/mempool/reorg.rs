//! Keeping the pool true to the chain when that is updated.

use std::sync::Arc;

use super::pool::Mempool;
use crate::chain::{BlockAccepted, Chain};
use crate::time::Time;
use crate::wire::NamedTransaction;

/// Transactions of disconnected blocks that are tried again at most; older ones come back from
/// whoever wants them mined. Bounds the time that a deep reorganisation takes.
const MAX_READDED: usize = 20_000;

impl Mempool {
    /// Follows an update of the chain (which has already happened): what was confirmed leaves, what
    /// lost its confirmation comes back if it is still good. Returns the transactions that are no
    /// longer in the pool though no block has them.
    pub fn chain_updated(
        &mut self,
        chain: &Chain,
        time: Time,
        update: &BlockAccepted,
    ) -> Vec<NamedTransaction> {
        if update.disconnected.is_empty() {
            return update
                .connected
                .iter()
                .flat_map(|block| self.block_connected(block))
                .collect();
        }
        // The whole pool has to be judged again: coins, maturity and locktimes may all differ.
        // Scripts are not verified again, being in the cache.
        let mut old: Vec<_> = self.take_all().collect();
        old.sort_unstable_by_key(|entry| entry.sequence);
        let returned = update
            .disconnected
            .iter()
            .rev()
            .flat_map(|block| block.txdata.iter().skip(1))
            .take(MAX_READDED)
            .map(|tx| (NamedTransaction::of(Arc::new(tx.clone())), time));
        let kept = old.into_iter().map(|entry| (entry.tx, entry.time));
        let mut lost = Vec::new();
        for (tx, time) in returned.chain(kept) {
            match self.accept(chain, time, tx.clone()) {
                Ok(accepted) => lost.extend(accepted.evicted),
                Err(_) => lost.push(tx),
            }
        }
        lost.retain(|tx| {
            let txid = tx.txid();
            let mut confirmed = update
                .connected
                .iter()
                .flat_map(|block| block.named_transactions());
            !self.contains(&txid) && confirmed.all(|(_, other, _)| other != txid)
        });
        lost
    }
}
