//! Headers: asking for them, and taking them in. On every new connection both sides ask, so that
//! what either side of a healed partition lacks is known within a round trip.

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};

use super::Sync;
use crate::chain::{HeaderEntry, HeaderError};
use crate::context::{ConnectionKind, Context, Peer};
use crate::io::PeerId;
use crate::time::OptionalTime;
use crate::wire::{HEADERS_PER_MESSAGE_MAX, LocatorRequest, Message};

/// Header messages in a row that connect to nothing; a peer that sends more is not on any chain
/// (Bitcoin Core's `MAX_NUM_UNCONNECTING_HEADERS_MSGS`).
const UNCONNECTING_MAX: u8 = 10;
/// A peer so many blocks ahead has more than one message of headers to give. Only one such peer is
/// asked at a time, since all would give the same.
const FAR_AHEAD: u32 = HEADERS_PER_MESSAGE_MAX as u32;

impl Sync {
    /// The handshake is done: asks for what the peer has beyond us.
    pub(crate) fn begin(&mut self, ctx: &mut Context, id: PeerId) {
        let best_height = ctx.chain.best_header().height;
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        if !peer.is_ready() || !peer.serves_blocks() {
            return;
        }
        let start_height = peer.version.as_ref().map_or(0, |v| v.start_height);
        let far_ahead = i64::from(start_height) > i64::from(best_height) + i64::from(FAR_AHEAD);
        if far_ahead {
            peer.sync.deferred = self.header_sync.is_some_and(|other| other != id);
            if peer.sync.deferred {
                return;
            }
            self.header_sync = Some(id);
        }
        peer.sync.deferred = false;
        // From the parent, so that a peer with the same best block answers with its header: then
        // it is known to have the block, and can be asked for bodies.
        let best = ctx.chain.best_header();
        let from = if best.height > 0 {
            best.parent()
        } else {
            best.hash
        };
        Sync::ask_headers(ctx, id, from);
    }

    /// Asks for the headers after `from`, unless an answer is still awaited.
    fn ask_headers(ctx: &mut Context, id: PeerId, from: BlockHash) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        if !peer.is_ready() || peer.sync.headers_asked.is_some() {
            return;
        }
        peer.sync.headers_asked = ctx.now.into();
        let asked = LocatorRequest {
            locator: ctx.chain.locator(&from),
            stop: BlockHash::all_zeros(),
        };
        ctx.send(id, Message::GetHeaders(Box::new(asked)));
    }

    /// Asks for the headers after the best one, unless an answer is still awaited.
    fn ask_headers_beyond_best(ctx: &mut Context, id: PeerId) {
        let best = ctx.chain.best_header().hash;
        Sync::ask_headers(ctx, id, best);
    }

    pub(crate) fn received_headers(&mut self, ctx: &mut Context, id: PeerId, headers: &[Header]) {
        let Some(peer) = ctx.peers.get_mut_later(&id) else {
            return;
        };
        peer.sync.headers_asked = OptionalTime::NONE;
        let Some(last) = headers.last() else {
            self.header_sync_ends(ctx, id);
            return;
        };
        match ctx.chain.accept_headers(ctx.now.unix_secs(), headers) {
            Ok(accepted) => {
                if let Some(peer) = ctx.peers.get_mut_later(&id) {
                    peer.sync.unconnecting = 0;
                }
                if let Some(last) = accepted.last {
                    Sync::note_has(ctx, id, last);
                    if headers.len() == HEADERS_PER_MESSAGE_MAX {
                        Sync::ask_headers(ctx, id, last);
                    } else {
                        self.header_sync_ends(ctx, id);
                    }
                }
                self.request_blocks(ctx, id);
                if accepted.best_changed && !self.all_are_asked(ctx) {
                    self.request_blocks_of_all(ctx);
                }
            }
            Err(HeaderError::UnknownParent(_)) => {
                let hash = ctx.chain.hash_of(last);
                Sync::unconnecting(ctx, id, hash);
            }
            Err(error) if error.punish() => {
                ctx.misbehaved(id, &format!("invalid header: {}", error.reason()));
            }
            Err(_) => self.header_sync_ends(ctx, id),
        }
    }

    /// A header or block came whose parent is not known: asks for those between.
    pub(super) fn unconnecting(ctx: &mut Context, id: PeerId, hash: BlockHash) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        peer.sync.last_unknown = Some(Box::new(hash));
        peer.sync.unconnecting += 1;
        if peer.sync.unconnecting > UNCONNECTING_MAX {
            ctx.misbehaved(id, "headers that connect to nothing");
        } else {
            Sync::ask_headers_beyond_best(ctx, id);
        }
    }

    /// The peer has nothing more to give: the others' turn.
    pub(super) fn header_sync_ends(&mut self, ctx: &mut Context, id: PeerId) {
        if self.header_sync != Some(id) {
            return;
        }
        self.header_sync = None;
        let deferred = ctx.peers.ids(|p| p.sync.deferred);
        for id in deferred {
            self.begin(ctx, id);
        }
    }

    /// The peer announced blocks by hash.
    pub(crate) fn received_block_inv(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        hashes: &[BlockHash],
    ) {
        for hash in hashes {
            Sync::note_has(ctx, id, *hash);
        }
        let unknown = ctx
            .peers
            .get(&id)
            .is_some_and(|p| p.sync.last_unknown.is_some());
        if unknown {
            Sync::ask_headers_beyond_best(ctx, id);
        }
        self.request_blocks(ctx, id);
    }

    pub(crate) fn received_sendheaders(ctx: &mut Context, id: PeerId) {
        if let Some(peer) = ctx.peers.get_mut(&id) {
            peer.sync.wants_headers = true;
        }
    }

    /// Notes that the peer has a block.
    pub(super) fn note_has(ctx: &mut Context, id: PeerId, hash: BlockHash) {
        let Some(peer) = ctx.peers.get(&id) else {
            return;
        };
        let is_news = peer.sync.last_unknown.is_some() || peer.sync.best_known != Some(hash);
        if !is_news && ctx.chain.entry(&hash).is_some() {
            return;
        }
        let follows = |entry: &HeaderEntry| {
            let best = peer.sync.best_known;
            peer.sync.last_unknown.is_none() && best.is_none_or(|best| best == entry.parent())
        };
        if ctx.chain.entry(&hash).is_some_and(follows) {
            if let Some(peer) = ctx.peers.get_mut_later(&id) {
                peer.sync.best_known = Some(hash);
            }
            return;
        }
        let work = |hash: BlockHash| ctx.chain.entry(&hash).map(|e| e.work);
        let was_unknown = peer.sync.last_unknown.as_deref().copied();
        let found = was_unknown.filter(|unknown| ctx.chain.entry(unknown).is_some());
        let known = work(hash).is_some().then_some(hash);
        let best = [peer.sync.best_known, found, known]
            .into_iter()
            .flatten()
            .fold(None, |best: Option<(Work, BlockHash)>, candidate| {
                match (best, work(candidate)) {
                    (Some((most, _)), Some(work)) if work <= most => best,
                    (_, Some(work)) => Some((work, candidate)),
                    (_, None) => best,
                }
            });
        if let Some(peer) = ctx.peers.get_mut_later(&id) {
            peer.sync.best_known = best.map(|(_, hash)| hash);
            if found.is_some() {
                peer.sync.last_unknown = None;
            }
            if known.is_none() {
                peer.sync.last_unknown = Some(Box::new(hash));
            }
        }
    }

    /// Whether the peer is known to have a block, or had it announced.
    pub(super) fn has(ctx: &Context, peer: &Peer, hash: &BlockHash) -> bool {
        let entry = ctx.chain.entry(hash);
        entry.is_some_and(|entry| Sync::has_entry(ctx, peer, entry))
    }

    /// The same of a block that was looked up.
    pub(super) fn has_entry(ctx: &Context, peer: &Peer, entry: &HeaderEntry) -> bool {
        let known = [peer.sync.best_known, peer.sync.best_sent];
        if known.contains(&Some(entry.hash)) {
            return true;
        }
        let (height, parent) = (entry.height, entry.parent());
        // A peer that had the block before has not this one: the answer for most peers.
        let mut known = known.into_iter().flatten().filter(|known| *known != parent);
        known.any(|known| {
            ctx.chain
                .entry(&known)
                .filter(|known| known.height > height)
                .and_then(|known| ctx.chain.ancestor(known, height))
                .is_some_and(|ancestor| ancestor.hash == entry.hash)
        })
    }

    /// Peers that were asked for headers and did not answer are no longer waited for.
    pub(super) fn run_headers(&mut self, ctx: &mut Context) {
        let timeout = ctx.config.timing.headers_timeout;
        let late = ctx.due_peers(|p| p.sync.headers_asked.or_never() + timeout <= ctx.now);
        for id in late {
            if let Some(peer) = ctx.peers.get_mut(&id) {
                peer.sync.headers_asked = OptionalTime::NONE;
            }
            if self.header_sync == Some(id) {
                ctx.disconnect(id, "headers timeout");
            } else if ctx
                .peers
                .get(&id)
                .is_some_and(|p| p.sync.last_unknown.is_some())
            {
                Sync::ask_headers_beyond_best(ctx, id);
            }
        }
    }

    /// Whether blocks are asked of this peer at all.
    pub(super) fn gives_blocks(peer: &Peer) -> bool {
        peer.is_ready() && peer.serves_blocks() && peer.kind != ConnectionKind::AddressFetch
    }
}
