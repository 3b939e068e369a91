//! Telling peers of new blocks: by the compact block where the peer asked for high bandwidth
//! (BIP152) and lacks just this one; by their headers where it wants that (BIP130) and can connect
//! them; else by the tip's hash.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::p2p::message_blockdata::Inventory;

use super::Sync;
use crate::chain::BlockAccepted;
use crate::context::{ConnectionKind, Context, Peer};
use crate::io::PeerId;
use crate::wire::{CompactBlock, Message};

/// More new blocks than this are announced by the last one's hash alone (Bitcoin Core's
/// `MAX_BLOCKS_TO_ANNOUNCE`).
const HEADERS_MAX: usize = 8;
/// While so many bodies are on their way, the node is catching up, and peers need not hear of every
/// block on the way.
const CATCHING_UP_BLOCKS: usize = 8;
/// They hear this often then. Short, because a peer that withholds bodies can make it look so.
const CATCHING_UP_EVERY: Duration = Duration::from_secs(1);

impl Sync {
    /// Announces to every peer the blocks that joined the active chain.
    pub(crate) fn announce_blocks(&mut self, ctx: &mut Context, update: &BlockAccepted) {
        #[cfg(feature = "planted-bugs")]
        if ctx.has_bug(crate::PlantedBug::NoAnnouncementAfterReorg)
            && !update.disconnected.is_empty()
        {
            return;
        }
        if self.downloads.count() >= CATCHING_UP_BLOCKS {
            self.announce_at.get_or_insert(ctx.now + CATCHING_UP_EVERY);
            return;
        }
        self.announce_at = None;
        let first = update.connected.len().saturating_sub(HEADERS_MAX);
        let headers: Arc<[Header]> = if first == 0 {
            update.connected.iter().map(|b| b.header).collect()
        } else {
            Arc::default()
        };
        self.announce_tip(ctx, &headers);
    }

    /// Announces the tip, if that was held back while catching up.
    pub(super) fn run_announcement(&mut self, ctx: &mut Context) {
        if self.announce_at.is_some_and(|t| t <= ctx.now) {
            self.announce_at = None;
            self.announce_tip(ctx, &Arc::default());
        }
    }

    /// Announces the tip to every peer that lacks it; by these headers, or the compact block of the last,
    /// if they are the ones it lacks.
    fn announce_tip(&mut self, ctx: &mut Context, headers: &Arc<[Header]>) {
        let tip = ctx.chain.tip();
        let mut takers: Vec<PeerId> = Vec::with_capacity(ctx.peers.len());
        let ready = |p: &&Peer| p.is_ready() && p.kind != ConnectionKind::AddressFetch;
        let lacking = ctx.peers.values().filter(ready);
        takers.extend(
            lacking
                .filter(|p| !Sync::has_entry(ctx, p, tip))
                .map(|p| p.id),
        );
        let tip = tip.hash;
        let wants_compact = |id| ctx.peers.get(id).is_some_and(|p| p.sync.wants_compact);
        let compact = if !headers.is_empty() && takers.iter().any(wants_compact) {
            self.compact_form(ctx, &tip)
        } else {
            None
        };
        for id in takers {
            let Some(peer) = ctx.peers.get(&id) else {
                continue;
            };
            let message = Sync::announcement(ctx, peer, headers, compact.as_ref());
            if let Some(peer) = ctx.peers.get_mut_later(&id) {
                peer.sync.best_sent = Some(tip);
            }
            ctx.send(id, message);
        }
    }

    /// What to send to one peer that lacks the tip.
    fn announcement(
        ctx: &Context,
        peer: &Peer,
        headers: &Arc<[Header]>,
        compact: Option<&Arc<CompactBlock>>,
    ) -> Message {
        let by_hash = || Message::Inv(vec![Inventory::Block(ctx.chain.tip_hash())]);
        if !peer.sync.wants_headers && !peer.sync.wants_compact {
            return by_hash();
        }
        // That it lacks the last one is known.
        let lacking = match headers.len() {
            1 => Some(0),
            _ => headers
                .iter()
                .position(|h| !Sync::has(ctx, peer, &ctx.chain.hash_of(h))),
        };
        let new = match lacking.map(|at| &headers[at..]) {
            Some(new) if Sync::has(ctx, peer, &new[0].prev_blockhash) => new,
            _ => return by_hash(),
        };
        match (new, compact) {
            ([_], Some(compact)) if peer.sync.wants_compact => {
                Message::CmpctBlock(Arc::clone(compact))
            }
            _ if peer.sync.wants_headers && new.len() == headers.len() => {
                Message::Headers(Arc::clone(headers))
            }
            _ if peer.sync.wants_headers => Message::Headers(new.into()),
            _ => by_hash(),
        }
    }
}
