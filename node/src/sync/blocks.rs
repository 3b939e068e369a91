//! Bodies: asking several peers for different ones, taking them in, and asking others when a peer
//! does not deliver.

use std::sync::Arc;

use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Block, BlockHash};

use super::Sync;
use crate::chain::{BlockAccepted, BlockError, HeaderError};
use crate::context::{Context, Fact, Peer};
use crate::io::PeerId;
use crate::time::OptionalTime;
use crate::wire::Message;

/// Blocks that one peer is asked for at once (Bitcoin Core's `MAX_BLOCKS_IN_TRANSIT_PER_PEER`).
const IN_FLIGHT_PER_PEER_MAX: usize = 16;
/// How far ahead of the lowest missing body others are asked for. The chain keeps 288 above its
/// tip.
const WINDOW: usize = 256;
/// A peer that stalls so often in a row, delivering nothing, is let go.
const STALLS_MAX: u8 = 3;
/// A peer that keeps a block trickling in has this many times the timeout for it.
const TRICKLE_FACTOR: u32 = 10;

impl Sync {
    /// Asks a peer for bodies that it has and nobody else was asked for.
    pub(super) fn request_blocks(&mut self, ctx: &mut Context, id: PeerId) {
        let Some(peer) = ctx.peers.get(&id) else {
            return;
        };
        if !Sync::has_room(peer) {
            return;
        }
        if peer.sync.best_known == Some(ctx.chain.tip_hash()) {
            return;
        }
        let free = IN_FLIGHT_PER_PEER_MAX - peer.sync.in_flight.len();
        let Some(best) = peer.sync.best_known.and_then(|hash| ctx.chain.entry(&hash)) else {
            return;
        };
        // The usual case, soon decided: the next block, which somebody else was asked for.
        if best.parent() == ctx.chain.tip_hash() && self.downloads.is_asked(&best.hash) {
            return;
        }
        if best.work <= ctx.chain.tip().work {
            return;
        }
        let mut wanted = ctx.chain.wanted_blocks_toward(&best.hash, WINDOW);
        wanted.retain(|(hash, _)| !self.downloads.is_asked(hash));
        wanted.truncate(free);
        if wanted.is_empty() {
            return;
        }
        let inventory = if self.is_asked_compact(ctx, id, &wanted) {
            vec![Inventory::CompactBlock(wanted[0].0)]
        } else {
            let hashes = wanted.iter().map(|(hash, _)| *hash);
            hashes.map(Inventory::WitnessBlock).collect()
        };
        self.note_asked(ctx, id, wanted);
        ctx.send(id, Message::GetData(inventory));
    }

    /// Whether more blocks may be asked of a peer. One that has stalled rests for a while.
    pub(super) fn has_room(peer: &Peer) -> bool {
        let rests = peer.sync.stalls > 0 && peer.sync.stall_at.is_some();
        peer.sync.in_flight.len() < IN_FLIGHT_PER_PEER_MAX && !rests && Sync::gives_blocks(peer)
    }

    /// Whether to ask for the compact form: of a single block, the next one, while nothing else is
    /// on its way. Then this node keeps up, and its mempool has most of what the block has.
    fn is_asked_compact(&self, ctx: &Context, id: PeerId, wanted: &[(BlockHash, u32)]) -> bool {
        let speaks = ctx.peers.get(&id).is_some_and(|p| p.sync.speaks_compact);
        let [(_, height)] = wanted else { return false };
        speaks
            && Sync::uses_compact(ctx)
            && self.downloads.count() == 0
            && *height <= ctx.chain.tip().height + 1
    }

    /// Notes that a peer was asked for blocks.
    fn note_asked(&mut self, ctx: &mut Context, id: PeerId, wanted: Vec<(BlockHash, u32)>) {
        for (hash, _) in &wanted {
            self.downloads.ask(*hash, id);
        }
        let timeout = self.downloads.timeout();
        if let Some(peer) = ctx.peers.get_mut(&id) {
            if peer.sync.in_flight.is_empty() {
                peer.sync.waiting_since = ctx.now;
                peer.sync.stall_at = (ctx.now + timeout).into();
            }
            peer.sync.in_flight.extend(wanted);
        }
    }

    /// Notes that a peer was asked for (more of) a block. If it was before, part has come: that
    /// counts as a block which trickles in, so that nobody can keep others from being asked.
    pub(super) fn note_asked_again(&mut self, ctx: &mut Context, id: PeerId, hash: BlockHash) {
        if self.downloads.asked_of(&hash) == Some(id) {
            self.progressed(ctx, id);
        } else if let Some(height) = ctx.chain.entry(&hash).map(|e| e.height) {
            self.note_asked(ctx, id, vec![(hash, height)]);
        }
    }

    /// Whether all bodies on the way to the best header are here or on their way.
    pub(super) fn all_are_asked(&self, ctx: &Context) -> bool {
        let wanted = ctx.chain.wanted_blocks(WINDOW);
        wanted.iter().all(|(hash, _)| self.downloads.is_asked(hash))
    }

    /// Asks every peer that has room.
    pub(super) fn request_blocks_of_all(&mut self, ctx: &mut Context) {
        let ids: Vec<_> = ctx.peers.keys().copied().collect();
        for id in ids {
            self.request_blocks(ctx, id);
        }
    }

    pub(crate) fn received_block(&mut self, ctx: &mut Context, id: PeerId, block: Arc<Block>) {
        let hash = ctx.chain.hash_of(&block.header);
        self.arrived(ctx, id, &hash);
        if ctx.chain.entry(&hash).is_some_and(|e| e.status.has_body()) {
            Sync::note_has(ctx, id, hash);
            self.request_blocks(ctx, id);
            return;
        }
        match ctx.chain.accept_block(ctx.now.unix_secs(), block) {
            Ok(accepted) => {
                self.downloads.came_from(hash, id);
                Sync::took_block(ctx, id, hash, accepted);
            }
            Err(error) => self.refused_block(ctx, id, &error, hash),
        }
    }

    /// A peer's block was taken in: what it did to the chain is for others to know first.
    pub(super) fn took_block(
        ctx: &mut Context,
        from: PeerId,
        hash: BlockHash,
        accepted: BlockAccepted,
    ) {
        Sync::note_has(ctx, from, hash);
        if let Some(peer) = ctx.peers.get_mut(&from)
            && accepted.new
        {
            peer.last_block = ctx.now.into();
        }
        ctx.note(Fact::BlockAccepted {
            from,
            hash,
            accepted,
        });
    }

    /// A peer's block was taken in, and all others know of it.
    pub(crate) fn go_on_after(&mut self, ctx: &mut Context, from: PeerId, hash: &BlockHash) {
        if ctx.chain.tip().hash == *hash && self.downloads.count() == 0 {
            self.choose_high_bandwidth(ctx, from);
        }
        self.request_blocks(ctx, from);
    }

    fn refused_block(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        error: &BlockError,
        hash: BlockHash,
    ) {
        if let BlockError::Header(HeaderError::UnknownParent(_)) = error {
            Sync::unconnecting(ctx, id, hash);
        } else if let Some(failure) = error.store_failure() {
            ctx.store_failed(failure);
        } else if error.punish() {
            ctx.misbehaved(id, &format!("invalid block: {}", error.reason()));
            // Where only this copy was bad, others are asked for theirs.
            self.request_blocks_of_all(ctx);
        }
    }

    /// A body came: it is no longer awaited of anybody.
    pub(super) fn arrived(&mut self, ctx: &mut Context, from: PeerId, hash: &BlockHash) {
        self.compact.tally.arrived(hash, ctx.now);
        let Some(asked) = self.downloads.forget(hash) else {
            return;
        };
        if asked == from {
            self.downloads.in_time();
        }
        let stall_at = ctx.now + self.downloads.timeout();
        if let Some(peer) = ctx.peers.get_mut(&from) {
            peer.sync.stalls = 0;
            peer.sync.waiting_since = ctx.now;
            peer.sync.stall_at = stall_at.into();
        }
        for id in [from, asked] {
            if let Some(peer) = ctx.peers.get_mut(&id) {
                peer.sync.in_flight.retain(|(h, _)| h != hash);
                if peer.sync.in_flight.is_empty() {
                    // Its room as well: most connections are asked for a block once in a while.
                    peer.sync.in_flight = Vec::new();
                    peer.sync.stall_at = OptionalTime::NONE;
                }
            }
        }
        self.forget_partials();
    }

    /// Forgets what was put together of blocks that are no longer awaited of the same peer.
    fn forget_partials(&mut self) {
        let downloads = &self.downloads;
        self.compact
            .retain_awaited(|from, hash| downloads.asked_of(hash) == Some(from));
    }

    /// Part of a message arrived: if it is a block, it is on its way.
    pub(crate) fn progressed(&mut self, ctx: &mut Context, id: PeerId) {
        let timeout = self.downloads.timeout();
        if let Some(peer) = ctx.peers.get_mut(&id)
            && peer.sync.stall_at.is_some()
        {
            let latest = peer.sync.waiting_since + timeout * TRICKLE_FACTOR;
            let at = peer.sync.stall_at.or_never().max(ctx.now + timeout);
            peer.sync.stall_at = at.min(latest).into();
        }
    }

    /// Blames who gave blocks that turned out invalid only when their turn came.
    pub(crate) fn blame_for_rejected(&mut self, ctx: &mut Context, update: &BlockAccepted) {
        for (hash, invalid) in &update.rejected {
            if let Some(id) = self.downloads.take_source(hash) {
                ctx.misbehaved(id, &format!("invalid block: {}", invalid.reason));
            }
        }
        for block in &update.connected {
            self.downloads.take_source(&block.hash());
        }
    }

    /// Asks others for what stalling peers owe.
    pub(super) fn run_stalls(&mut self, ctx: &mut Context) {
        let stalling = ctx.due_peers(|p| !p.closing && p.sync.stall_at.is_due(ctx.now));
        for id in stalling {
            let Some(peer) = ctx.peers.get_mut(&id) else {
                continue;
            };
            if peer.sync.in_flight.is_empty() {
                // It has rested, and gets another chance.
                peer.sync.stall_at = OptionalTime::NONE;
                self.request_blocks(ctx, id);
                continue;
            }
            self.downloads.stalled();
            peer.sync.stalls += 1;
            if peer.sync.stalls >= STALLS_MAX {
                ctx.disconnect(id, "block download stalled");
                continue;
            }
            // With `stall_at` still set it is not asked for the same again.
            let owed = self.take_owed(ctx, id);
            self.request_blocks_of_all(ctx);
            self.leave_in_flight(ctx, id, owed);
            self.forget_partials();
        }
    }

    /// Takes what a peer owes off it, so that others can be asked.
    fn take_owed(&mut self, ctx: &mut Context, id: PeerId) -> Vec<(BlockHash, u32)> {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return Vec::new();
        };
        let owed = std::mem::take(&mut peer.sync.in_flight);
        #[cfg(feature = "planted-bugs")]
        if ctx.has_bug(crate::PlantedBug::NoRerequest) {
            return Vec::new();
        }
        for (hash, _) in &owed {
            self.downloads.forget(hash);
        }
        owed
    }

    /// What nobody else can give stays awaited of the stalling peer, without asking it again. A
    /// peer that owes nothing any more may be asked for other blocks after a while.
    fn leave_in_flight(&mut self, ctx: &mut Context, id: PeerId, owed: Vec<(BlockHash, u32)>) {
        let left: Vec<_> = owed
            .into_iter()
            .filter(|(hash, _)| !self.downloads.is_asked(hash))
            .collect();
        for (hash, _) in &left {
            self.downloads.ask(*hash, id);
        }
        let timeout = self.downloads.timeout();
        if let Some(peer) = ctx.peers.get_mut(&id) {
            peer.sync.in_flight = left;
            peer.sync.stall_at = (ctx.now + timeout).into();
        }
    }

    /// Everything that the peer owes is asked of others.
    pub(super) fn release_blocks(&mut self, ctx: &mut Context, id: PeerId) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        peer.sync.stall_at = OptionalTime::NONE;
        if self.take_owed(ctx, id).is_empty() {
            return;
        }
        self.forget_partials();
        self.request_blocks_of_all(ctx);
    }
}
