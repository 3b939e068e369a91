//! Giving compact blocks, and transactions of blocks that were announced so.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::p2p::message_blockdata::Inventory;

use super::Sync;
use crate::context::Context;
use crate::io::PeerId;
use crate::wire::{BlockTransactions, BlockTransactionsRequest, CompactBlock, Message};

/// Blocks this far below the tip are given in the compact form (BIP152, Bitcoin Core's
/// `MAX_CMPCTBLOCK_DEPTH`): of older ones the receiver's mempool has nothing.
const COMPACT_DEPTH_MAX: u32 = 5;
/// Single transactions are given of blocks this far below the tip (`MAX_BLOCKTXN_DEPTH`): the
/// chain may have moved on while who asks put the block together.
const TRANSACTIONS_DEPTH_MAX: u32 = 10;

impl Sync {
    /// A block as it is announced: in the form in which it came, or in one made now and kept.
    pub(super) fn compact_form(
        &mut self,
        ctx: &mut Context,
        hash: &BlockHash,
    ) -> Option<Arc<CompactBlock>> {
        if let Some(kept) = self.compact.recent(hash) {
            return Some(Arc::clone(kept));
        }
        let block = Sync::stored_block(ctx, hash)?;
        let nonce = ctx.randomness.u64();
        let compact = Arc::new(CompactBlock::of(&block, nonce).ok()?);
        self.compact.keep(Arc::clone(&compact));
        Some(compact)
    }

    /// Answers who asks for a block in the compact form: with the whole block, if it is old.
    pub(super) fn compact_or_whole(
        &mut self,
        ctx: &mut Context,
        hash: &BlockHash,
    ) -> Option<Message> {
        let recent = Sync::is_within(ctx, hash, COMPACT_DEPTH_MAX)?;
        let compact = if recent {
            self.compact_form(ctx, hash)
        } else {
            None
        };
        match compact {
            Some(compact) => Some(Message::CmpctBlock(compact)),
            None => Sync::stored_block(ctx, hash).map(Message::Block),
        }
    }

    /// Whether a block is so near the tip; `None` if its body is not here.
    fn is_within(ctx: &Context, hash: &BlockHash, depth: u32) -> Option<bool> {
        let entry = ctx.chain.entry(hash).filter(|e| e.status.has_body())?;
        Some(entry.height + depth >= ctx.chain.tip().height)
    }

    pub(crate) fn received_getblocktxn(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        asked: &BlockTransactionsRequest,
    ) {
        let hash = asked.block;
        let Some(recent) = Sync::is_within(ctx, &hash, TRANSACTIONS_DEPTH_MAX) else {
            // As Bitcoin Core: who had the block announced by us would not ask for another.
            return;
        };
        if !recent {
            self.received_getdata(ctx, id, vec![Inventory::WitnessBlock(hash)]);
            return;
        }
        let Some(block) = Sync::stored_block(ctx, &hash) else {
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
                ctx.send(id, Message::BlockTxn(Box::new(given)));
            }
            None => ctx.misbehaved(id, "getblocktxn with a place that the block does not have"),
        }
    }
}
