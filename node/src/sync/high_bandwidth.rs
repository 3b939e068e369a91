//! Whom this node asks to send compact blocks unasked, and who asked it to.

use super::Sync;
use crate::context::Context;
use crate::io::PeerId;
use crate::wire::{COMPACT_VERSION, Message, SendCmpct};

/// Peers of high bandwidth at most (BIP152): more would only repeat what the first one said.
const CHOSEN_MAX: usize = 3;

impl Sync {
    /// The handshake is done: says how this node wants blocks announced. All peers speak protocol
    /// 70014 or later, which has compact blocks.
    pub(crate) fn introduce(ctx: &mut Context, id: PeerId) {
        ctx.send(id, Message::SendHeaders);
        Sync::send_bandwidth(ctx, id, false);
    }

    fn send_bandwidth(ctx: &mut Context, id: PeerId, high_bandwidth: bool) {
        let wanted = SendCmpct {
            high_bandwidth,
            version: COMPACT_VERSION,
        };
        ctx.send(id, Message::SendCmpct(wanted));
    }

    /// The peer says how it wants compact blocks. Other versions are ignored.
    pub(crate) fn received_sendcmpct(ctx: &mut Context, id: PeerId, wanted: SendCmpct) {
        if let Some(peer) = ctx.peers.get_mut(&id)
            && wanted.version == COMPACT_VERSION
        {
            peer.sync.speaks_compact = true;
            peer.sync.wants_compact = wanted.high_bandwidth;
        }
    }

    /// Whether compact blocks are of use: without the transactions of others everything would
    /// be missing.
    pub(super) fn uses_compact(ctx: &Context) -> bool {
        ctx.config.relay_transactions
    }

    /// The peer was first with a new block: from now on it sends them unasked. Who was not first
    /// for the longest time no longer does; but the last outbound peer among the three stays, since
    /// who connected to us may have done so to be slow. Bitcoin Core's
    /// `MaybeSetPeerAsAnnouncingHeaderAndIDs`.
    pub(super) fn choose_high_bandwidth(&mut self, ctx: &mut Context, id: PeerId) {
        let Some(peer) = ctx.peers.get(&id).filter(|p| p.is_ready()) else {
            return;
        };
        if !peer.sync.speaks_compact || !Sync::uses_compact(ctx) {
            return;
        }
        if peer.sync.chosen {
            self.compact.chosen.retain(|other| *other != id);
            self.compact.chosen.push_back(id);
            return;
        }
        if self.compact.chosen.len() >= CHOSEN_MAX {
            let is_outbound = |id: &PeerId| ctx.peers.get(id).is_some_and(|p| !p.kind.is_inbound());
            let chosen = &self.compact.chosen;
            let outbound = chosen.iter().filter(|id| is_outbound(id)).count();
            let spares_first =
                peer.kind.is_inbound() && outbound == 1 && chosen.front().is_some_and(is_outbound);
            if let Some(left) = self.compact.chosen.remove(usize::from(spares_first)) {
                Sync::set_chosen(ctx, left, false);
            }
        }
        self.compact.chosen.push_back(id);
        Sync::set_chosen(ctx, id, true);
    }

    fn set_chosen(ctx: &mut Context, id: PeerId, chosen: bool) {
        if let Some(peer) = ctx.peers.get_mut(&id) {
            peer.sync.chosen = chosen;
        }
        Sync::send_bandwidth(ctx, id, chosen);
    }

    /// The connection takes no more part.
    pub(super) fn release_compact(&mut self, id: PeerId) {
        self.compact.chosen.retain(|other| *other != id);
    }
}
