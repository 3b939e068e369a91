//! Telling peers of new blocks: by the compact block where the peer asked for high bandwidth
//! (BIP152) and lacks just this one; by their headers where it wants that (BIP130) and can connect
//! them; else by the tip's hash.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::p2p::message_blockdata::Inventory;

use crate::chain::BlockAccepted;
use crate::io::{PeerId, Time};
use crate::machine::Machine;
use crate::peers::{ConnectionKind, Peer};
use crate::wire::{CompactBlock, Message};

/// More new blocks than this are announced by the last one's hash alone (Bitcoin Core's
/// `MAX_BLOCKS_TO_ANNOUNCE`).
const HEADERS_MAX: usize = 8;
/// While so many bodies are on their way, the node is catching up, and peers need not hear of every
/// block on the way.
const CATCHING_UP_BLOCKS: usize = 8;
/// They hear this often then. Short, because a peer that withholds bodies can make it look so.
const CATCHING_UP_EVERY: Duration = Duration::from_secs(1);

impl Machine {
    /// Tells every peer of the blocks that joined the active chain.
    pub(crate) fn announce_blocks(&mut self, now: Time, moved: &BlockAccepted) {
        #[cfg(feature = "planted-bugs")]
        if self.has_bug(crate::PlantedBug::NoAnnouncementAfterReorg)
            && !moved.disconnected.is_empty()
        {
            return;
        }
        if self.downloads.count() >= CATCHING_UP_BLOCKS {
            self.announce_at.get_or_insert(now + CATCHING_UP_EVERY);
            return;
        }
        self.announce_at = None;
        let first = moved.connected.len().saturating_sub(HEADERS_MAX);
        let headers: Arc<[Header]> = if first == 0 {
            moved.connected.iter().map(|b| b.header).collect()
        } else {
            Arc::default()
        };
        self.announce_tip(now, &headers);
    }

    /// Tells of the tip what was held back while catching up.
    pub(super) fn run_announcement(&mut self, now: Time) {
        if self.announce_at.is_some_and(|t| t <= now) {
            self.announce_at = None;
            self.announce_tip(now, &Arc::default());
        }
    }

    /// Tells every peer that lacks the tip; by these headers, or the compact block of the last,
    /// if they are the ones it lacks.
    fn announce_tip(&mut self, now: Time, headers: &Arc<[Header]>) {
        let tip = self.chain.tip();
        let mut takers: Vec<PeerId> = Vec::with_capacity(self.peers.len());
        let ready = |p: &&Peer| p.is_ready() && p.kind != ConnectionKind::AddressFetch;
        let lacking = self.peers.values().filter(ready);
        takers.extend(lacking.filter(|p| !self.has_entry(p, tip)).map(|p| p.id));
        let tip = tip.hash;
        let wants_compact = |id| self.peers.get(id).is_some_and(|p| p.sync.wants_compact);
        let compact = if !headers.is_empty() && takers.iter().any(wants_compact) {
            self.compact_form(&tip)
        } else {
            None
        };
        for id in takers {
            let Some(peer) = self.peers.get(&id) else {
                continue;
            };
            let message = self.announcement(peer, headers, compact.as_ref());
            if let Some(peer) = self.peers.get_mut_later(&id) {
                peer.sync.best_sent = Some(tip);
            }
            self.send(now, id, message);
        }
    }

    /// What to tell one peer that lacks the tip.
    fn announcement(
        &self,
        peer: &Peer,
        headers: &Arc<[Header]>,
        compact: Option<&Arc<CompactBlock>>,
    ) -> Message {
        let by_hash = || Message::Inv(vec![Inventory::Block(self.chain.tip_hash())]);
        if !peer.sync.wants_headers && !peer.sync.wants_compact {
            return by_hash();
        }
        // That it lacks the last one is known.
        let lacking = match headers.len() {
            1 => Some(0),
            _ => headers
                .iter()
                .position(|h| !self.has(peer, &self.chain.hash_of(h))),
        };
        let new = match lacking.map(|at| &headers[at..]) {
            Some(new) if self.has(peer, &new[0].prev_blockhash) => new,
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
