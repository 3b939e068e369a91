//! Giving others what they ask for: headers, blocks, transactions.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Block, BlockHash, Transaction};

use super::Sync;
use crate::context::Context;
use crate::io::PeerId;
use crate::wire::{HEADERS_PER_MESSAGE_MAX, INVENTORY_PER_MESSAGE_MAX, LocatorRequest, Message};

/// Hashes in an answer to `getblocks` (Bitcoin Core's limit).
const HASHES_PER_ANSWER_MAX: usize = 500;
/// Requests that may wait per peer; one that asks for more is not reading the answers.
const REQUESTS_MAX: usize = INVENTORY_PER_MESSAGE_MAX;
/// Blocks given at once: what an honest peer asks for at once.
const BLOCKS_PER_TURN: usize = 16;
/// Requests of any kind answered at once, so that one peer does not hold up the others.
const REQUESTS_PER_TURN: usize = 1_000;
/// The pause before what is left.
const TURN_EVERY: Duration = Duration::from_millis(50);

impl Sync {
    pub(crate) fn received_getheaders(ctx: &mut Context, id: PeerId, asked: &LocatorRequest) {
        let headers = ctx
            .chain
            .headers_after(&asked.locator, asked.stop, HEADERS_PER_MESSAGE_MAX);
        let tip = ctx.chain.tip().hash;
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        peer.sync.best_sent = Some(headers.last().map_or(tip, |h| h.block_hash()));
        ctx.send(id, Message::Headers(headers.into()));
    }

    /// For who does not speak of headers: announces what he lacks, up to a limit.
    pub(crate) fn received_getblocks(ctx: &mut Context, id: PeerId, asked: &LocatorRequest) {
        let hashes = ctx
            .chain
            .hashes_after(&asked.locator, asked.stop, HASHES_PER_ANSWER_MAX);
        let Some(last) = hashes.last() else {
            return;
        };
        if hashes.len() == HASHES_PER_ANSWER_MAX
            && let Some(peer) = ctx.peers.get_mut(&id)
        {
            peer.sync.continuation = Some(Box::new(*last));
        }
        let announced = hashes.into_iter().map(Inventory::Block);
        ctx.send(id, Message::Inv(announced.collect()));
    }

    /// A peer was given a block. If it was the last that `getblocks` had announced to it, it is to ask
    /// for more.
    fn continue_announcing(ctx: &mut Context, id: PeerId, given: &Inventory) {
        let (Inventory::Block(hash)
        | Inventory::WitnessBlock(hash)
        | Inventory::CompactBlock(hash)) = given
        else {
            return;
        };
        let tip = ctx.chain.tip_hash();
        if let Some(peer) = ctx.peers.get_mut(&id)
            && peer.sync.continuation.as_deref() == Some(hash)
        {
            peer.sync.continuation = None;
            ctx.send(id, Message::Inv(vec![Inventory::Block(tip)]));
        }
    }

    pub(crate) fn received_getdata(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        wanted: Vec<Inventory>,
    ) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        if peer.sync.requests.len() + wanted.len() > REQUESTS_MAX {
            ctx.misbehaved(id, "flood of requests");
            return;
        }
        peer.sync.requests.extend(wanted);
        if peer.sync.serve_at.is_none() {
            self.serve(ctx, id);
        }
    }

    /// Answers a peer's next requests.
    fn serve(&mut self, ctx: &mut Context, id: PeerId) {
        let mut not_found = Vec::new();
        let mut blocks = 0;
        for _ in 0..REQUESTS_PER_TURN {
            let Some(peer) = ctx.peers.get_mut(&id).filter(|p| p.is_ready()) else {
                return;
            };
            if blocks == BLOCKS_PER_TURN {
                break;
            }
            let Some(wanted) = peer.sync.requests.pop_front() else {
                break;
            };
            match self.find(ctx, &wanted) {
                Some(message) => {
                    let is_block = matches!(message, Message::Block(_) | Message::CmpctBlock(_));
                    blocks += usize::from(is_block);
                    ctx.send(id, message);
                    Sync::continue_announcing(ctx, id, &wanted);
                }
                None => not_found.push(wanted),
            }
        }
        if !not_found.is_empty() {
            ctx.send(id, Message::NotFound(not_found));
        }
        if let Some(peer) = ctx.peers.get_mut(&id) {
            let more = !peer.sync.requests.is_empty();
            peer.sync.serve_at = more.then(|| ctx.now + TURN_EVERY).into();
            if peer.sync.requests.is_empty() {
                // Its memory as well.
                peer.sync.requests = Default::default();
            }
        }
    }

    /// What is asked for, if it is here.
    fn find(&mut self, ctx: &mut Context, wanted: &Inventory) -> Option<Message> {
        match wanted {
            Inventory::WitnessBlock(hash) => Sync::stored_block(ctx, hash).map(Message::Block),
            Inventory::Block(hash) => {
                Sync::stored_block(ctx, hash).map(|b| Message::Block(Arc::new(block_stripped(&b))))
            }
            Inventory::WTx(wtxid) => ctx
                .mempool
                .get_by_wtxid(wtxid)
                .map(|tx| Message::Tx(tx.clone())),
            Inventory::WitnessTransaction(txid) => {
                ctx.mempool.get(txid).map(|e| Message::Tx(e.tx.clone()))
            }
            Inventory::Transaction(txid) => ctx
                .mempool
                .get(txid)
                .map(|e| Message::Tx(Arc::new(stripped(&e.tx)).into())),
            Inventory::CompactBlock(hash) => self.compact_or_whole(ctx, hash),
            Inventory::Error | Inventory::Unknown { .. } => None,
        }
    }

    pub(super) fn stored_block(ctx: &mut Context, hash: &BlockHash) -> Option<Arc<Block>> {
        match ctx.chain.block(hash) {
            Ok(block) => block,
            Err(failure) => {
                ctx.store_failed(failure);
                None
            }
        }
    }

    pub(super) fn run_serving(&mut self, ctx: &mut Context) {
        let due = ctx.due_peers(|p| p.sync.serve_at.is_due(ctx.now));
        for id in due {
            self.serve(ctx, id);
        }
    }
}

/// Without witnesses, for who asks in the old way.
fn stripped(tx: &Transaction) -> Transaction {
    let mut tx = tx.clone();
    tx.input.iter_mut().for_each(|input| input.witness.clear());
    tx
}

fn block_stripped(block: &Block) -> Block {
    Block {
        header: block.header,
        txdata: block.txdata.iter().map(stripped).collect(),
    }
}
