//! Taking compact blocks in: putting the block together from what is here, asking for the rest,
//! and falling back to the whole block. Who gave a block that turns out invalid is not punished:
//! compact blocks may be passed on before they are validated (BIP152).

use std::sync::Arc;

use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{BlockHash, Transaction, Wtxid};

use super::Sync;
use super::compact::Partial;
use crate::chain::{BlockError, HeaderError};
use crate::context::Context;
use crate::io::PeerId;
use crate::wire::{BlockTransactions, BlockTransactionsRequest, CompactBlock, Message, TxPlaces};

/// Compact blocks no higher above the tip are put together (as Bitcoin Core); while further behind,
/// a node has not the transactions either.
const AHEAD_MAX: u32 = 2;
/// Missing transactions up to which asking for single ones is always worth it.
const MISSING_FEW: usize = 16;
/// Of more than these, at least one in so many must be here: else the whole block costs hardly
/// more, and needs nothing kept.
const HERE_ONE_IN: usize = 10;

impl Sync {
    pub(crate) fn received_compact_block<'a>(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        compact: Arc<CompactBlock>,
        orphans: impl Iterator<Item = (Wtxid, &'a Arc<Transaction>)>,
    ) {
        let hash = compact.hash();
        let best_before = ctx.chain.best_header().hash;
        if !Sync::took_compact_header(ctx, id, &compact) {
            return;
        }
        Sync::note_has(ctx, id, hash);
        let asked = self.downloads.asked_of(&hash) == Some(id);
        let Some(entry) = ctx.chain.entry(&hash) else {
            return;
        };
        let tip = ctx.chain.tip();
        if entry.status.has_body() {
            self.arrived(ctx, id, &hash);
            self.request_blocks(ctx, id);
        } else if entry.work > tip.work
            && entry.height <= tip.height + AHEAD_MAX
            && Sync::uses_compact(ctx)
        {
            self.put_together(ctx, id, compact, orphans);
        } else if asked {
            // It was wanted when it was asked for.
            self.ask_whole(ctx, id, hash);
        } else {
            self.request_blocks(ctx, id);
            if ctx.chain.best_header().hash != best_before {
                self.request_blocks_of_all(ctx);
            }
        }
    }

    /// Takes the header of a compact block in. Returns whether it is a sound one.
    fn took_compact_header(ctx: &mut Context, id: PeerId, compact: &CompactBlock) -> bool {
        if let Some(known) = ctx.chain.entry(&compact.hash()) {
            return !known.status.is_invalid();
        }
        let accepted = ctx
            .chain
            .accept_headers(ctx.now.unix_secs(), std::slice::from_ref(compact.header()));
        match accepted {
            Ok(_) => {
                if let Some(peer) = ctx.peers.get_mut(&id) {
                    peer.sync.unconnecting = 0;
                }
                return true;
            }
            Err(HeaderError::UnknownParent(_)) => Sync::unconnecting(ctx, id, compact.hash()),
            Err(error) if error.punish() => {
                ctx.misbehaved(id, &format!("invalid header: {}", error.reason()));
            }
            Err(_) => {}
        }
        false
    }

    /// Puts a block together from what is here, `orphans` included, or asks for what is missing.
    fn put_together<'a>(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        compact: Arc<CompactBlock>,
        orphans: impl Iterator<Item = (Wtxid, &'a Arc<Transaction>)>,
    ) {
        let hash = compact.hash();
        let may_ask = self.may_ask_for(ctx, id, &hash);
        let Some(mut partial) = Partial::new(compact) else {
            if may_ask {
                self.compact.tally.asks(hash, 0, ctx.now);
                self.ask_whole(ctx, id, hash);
            }
            return;
        };
        let pool = ctx.mempool.iter();
        let pool = pool.map(|entry| (entry.wtxid(), entry.tx.transaction()));
        partial.look_through(pool);
        partial.look_through(orphans);
        partial.look_through(self.compact.extra.iter());
        let missing = partial.missing();
        if missing.is_empty() {
            self.took_together(ctx, id, partial);
            return;
        }
        if !may_ask {
            // Somebody else was asked for it, or this peer has enough to give.
            return;
        }
        self.compact.tally.asks(hash, missing.len(), ctx.now);
        if is_too_much(&missing, partial.compact()) {
            self.ask_whole(ctx, id, hash);
        } else {
            self.ask_missing(ctx, id, partial, missing);
        }
    }

    /// Whether a peer may be asked for (more of) a block: nobody else was.
    fn may_ask_for(&self, ctx: &Context, id: PeerId, hash: &BlockHash) -> bool {
        match self.downloads.asked_of(hash) {
            Some(asked) => asked == id,
            None => ctx.peers.get(&id).is_some_and(Sync::has_room),
        }
    }

    fn ask_missing(&mut self, ctx: &mut Context, id: PeerId, partial: Partial, missing: TxPlaces) {
        let hash = partial.compact().hash();
        // A second form of the same block takes the place of the first.
        self.compact.take(id, &hash);
        if !self.compact.wait_for(id, partial) {
            self.ask_whole(ctx, id, hash);
            return;
        }
        self.note_asked_again(ctx, id, hash);
        let asked = BlockTransactionsRequest {
            block: hash,
            places: missing,
        };
        ctx.send(id, Message::GetBlockTxn(Box::new(asked)));
    }

    /// The short form did not lead to the block: asks the peer for all of it.
    fn ask_whole(&mut self, ctx: &mut Context, id: PeerId, hash: BlockHash) {
        self.compact.take(id, &hash);
        self.note_asked_again(ctx, id, hash);
        let wanted = vec![Inventory::WitnessBlock(hash)];
        ctx.send(id, Message::GetData(wanted));
    }

    pub(crate) fn received_blocktxn(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        given: BlockTransactions,
    ) {
        let hash = given.block;
        let Some(mut partial) = self.compact.take(id, &hash) else {
            // Not asked for, or no longer.
            return;
        };
        if partial.fill(given.transactions).is_err() {
            // No collision explains that: the short ids were this peer's own words.
            ctx.misbehaved(id, "blocktxn of other transactions than asked for");
            return;
        }
        self.took_together(ctx, id, partial);
    }

    /// A block is complete, as far as short ids show.
    fn took_together(&mut self, ctx: &mut Context, id: PeerId, partial: Partial) {
        let compact = Arc::clone(partial.compact());
        let hash = compact.hash();
        let held = ctx.chain.cache().and_then(|cache| cache.block(&hash));
        let Some(block) = partial.into_block(held) else {
            return;
        };
        match ctx.chain.accept_block(ctx.now.unix_secs(), block) {
            Ok(accepted) => {
                self.compact.tally.put_together(&hash);
                self.arrived(ctx, id, &hash);
                self.compact.keep(compact);
                Sync::took_block(ctx, id, hash, accepted);
            }
            // One of our transactions has the short id of another.
            Err(BlockError::Invalid(invalid)) if invalid.mutated => {
                if self.may_ask_for(ctx, id, &hash) {
                    self.compact.tally.asks(hash, 0, ctx.now);
                    self.ask_whole(ctx, id, hash);
                }
            }
            Err(error) => {
                self.arrived(ctx, id, &hash);
                if let Some(failure) = error.store_failure() {
                    ctx.store_failed(failure);
                }
                self.request_blocks(ctx, id);
            }
        }
    }
}

/// Whether asking for single transactions saves next to nothing.
fn is_too_much(missing: &TxPlaces, compact: &CompactBlock) -> bool {
    let here = compact.short_ids().len().saturating_sub(missing.len());
    missing.len() > MISSING_FEW && here * HERE_ONE_IN < compact.short_ids().len()
}
