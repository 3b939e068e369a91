//! Giving compact blocks, and transactions of blocks that were told of so.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::p2p::message_blockdata::Inventory;

use crate::io::{PeerId, Time};
use crate::machine::Machine;
use crate::wire::{BlockTransactions, BlockTransactionsRequest, CompactBlock, Message};

/// Blocks this far below the tip are given in the compact form (BIP152, Bitcoin Core's
/// `MAX_CMPCTBLOCK_DEPTH`): of older ones the receiver's mempool has nothing.
const COMPACT_DEPTH_MAX: u32 = 5;
/// Single transactions are given of blocks this far below the tip (`MAX_BLOCKTXN_DEPTH`): the
/// chain may have moved on while who asks put the block together.
const TRANSACTIONS_DEPTH_MAX: u32 = 10;

impl Machine {
    /// A block as it is told of: in the form in which it came, or in one made now and kept.
    pub(in crate::sync) fn compact_form(&mut self, hash: &BlockHash) -> Option<Arc<CompactBlock>> {
        if let Some(kept) = self.compact.recent(hash) {
            return Some(Arc::clone(kept));
        }
        let block = self.stored_block(hash)?;
        let nonce = self.randomness.u64();
        let compact = Arc::new(CompactBlock::of(&block, nonce).ok()?);
        self.compact.keep(Arc::clone(&compact));
        Some(compact)
    }

    /// Answers who asks for a block in the compact form: with the whole block, if it is old.
    pub(in crate::sync) fn compact_or_whole(&mut self, hash: &BlockHash) -> Option<Message> {
        let recent = self.is_within(hash, COMPACT_DEPTH_MAX)?;
        let compact = if recent {
            self.compact_form(hash)
        } else {
            None
        };
        match compact {
            Some(compact) => Some(Message::CmpctBlock(compact)),
            None => self.stored_block(hash).map(Message::Block),
        }
    }

    /// Whether a block is so near the tip; `None` if its body is not here.
    fn is_within(&self, hash: &BlockHash, depth: u32) -> Option<bool> {
        let entry = self.chain.entry(hash).filter(|e| e.status.has_body())?;
        Some(entry.height + depth >= self.chain.tip().height)
    }

    pub(crate) fn received_getblocktxn(
        &mut self,
        now: Time,
        id: PeerId,
        asked: &BlockTransactionsRequest,
    ) {
        let hash = asked.block;
        let Some(recent) = self.is_within(&hash, TRANSACTIONS_DEPTH_MAX) else {
            // As Bitcoin Core: who was told of the block by us would not ask for another.
            return;
        };
        if !recent {
            self.received_getdata(now, id, vec![Inventory::WitnessBlock(hash)]);
            return;
        }
        let Some(block) = self.stored_block(&hash) else {
            return;
        };
        let found = asked
            .places
            .iter()
            .map(|at| block.txdata.get(usize::from(at)));
        let found = found.map(|tx| tx.map(|tx| Arc::new(tx.clone())));
        match found.collect::<Option<Vec<_>>>() {
            Some(transactions) => {
                let given = BlockTransactions {
                    block: hash,
                    transactions,
                };
                self.send(now, id, Message::BlockTxn(Box::new(given)));
            }
            None => self.misbehaved(id, "getblocktxn with a place that the block does not have"),
        }
    }
}
