//! What the node's own user adds to the ledger.

use std::sync::Arc;

use bitcoin::{Block, Txid};

use super::core::Machine;
use crate::chain::BlockError;
use crate::io::Time;
use crate::mempool::TxReject;
use crate::wire::NamedTransaction;

impl Machine {
    /// A block from this node's own user, mined here or submitted.
    ///
    /// # Errors
    /// The chain's, when it does not take it. After [`BlockError::Store`] the node must end.
    pub fn submit_block(&mut self, now: Time, block: Arc<Block>) -> Result<(), BlockError> {
        self.command_begins(now);
        let ctx = &mut self.ctx;
        let accepted = ctx.chain.accept_block(ctx.now.unix_secs(), block);
        match &accepted {
            Ok(update) => self.chain_updated(update),
            Err(error) => {
                if let Some(failure) = error.store_failure() {
                    ctx.store_failed(failure);
                }
            }
        }
        self.command_ends();
        accepted.map(|_| ())
    }

    /// A transaction from this node's own user: into the mempool, to the peers, and repeated until
    /// a block has it.
    ///
    /// # Errors
    /// The mempool's, when it does not take it.
    pub fn submit_transaction(
        &mut self,
        now: Time,
        tx: impl Into<NamedTransaction>,
    ) -> Result<Txid, TxReject> {
        self.command_begins(now);
        let submitted = self.relay.submit(&mut self.ctx, tx.into())?;
        self.command_ends();
        Ok(submitted)
    }
}
