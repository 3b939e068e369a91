//! Headers: asking for them, and taking them in. On every new connection both sides ask, so that
//! what either side of a healed partition lacks is known within a round trip.

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};

use crate::chain::{HeaderEntry, HeaderError};
use crate::io::{PeerId, Time};
use crate::machine::Machine;
use crate::peers::{ConnectionKind, Peer};
use crate::time::OptionalTime;
use crate::wire::{HEADERS_PER_MESSAGE_MAX, HeadersRequest, Message};

/// Header messages in a row that connect to nothing; a peer that sends more is not on any chain
/// (Bitcoin Core's `MAX_NUM_UNCONNECTING_HEADERS_MSGS`).
const UNCONNECTING_MAX: u8 = 10;
/// A peer so many blocks ahead has more than one message of headers to give. Only one such peer is
/// asked at a time, since all would give the same.
const FAR_AHEAD: u32 = HEADERS_PER_MESSAGE_MAX as u32;

impl Machine {
    /// The handshake is done: asks for what the peer has beyond us.
    pub(crate) fn begin_sync(&mut self, now: Time, id: PeerId) {
        let best_height = self.chain.best_header().height;
        let Some(peer) = self.peers.get_mut(&id) else {
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
        let best = self.chain.best_header();
        let from = if best.height > 0 {
            best.parent()
        } else {
            best.hash
        };
        self.ask_headers(now, id, from);
    }

    /// Asks for the headers after `from`, unless an answer is still awaited.
    pub(super) fn ask_headers(&mut self, now: Time, id: PeerId, from: BlockHash) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if !peer.is_ready() || peer.sync.headers_asked.is_some() {
            return;
        }
        peer.sync.headers_asked = now.into();
        let asked = HeadersRequest {
            locator: self.chain.locator(&from),
            stop: BlockHash::all_zeros(),
        };
        self.send(now, id, Message::GetHeaders(Box::new(asked)));
    }

    pub(crate) fn received_headers(&mut self, now: Time, id: PeerId, headers: &[Header]) {
        let Some(peer) = self.peers.get_mut_later(&id) else {
            return;
        };
        peer.sync.headers_asked = OptionalTime::NONE;
        let Some(last) = headers.last() else {
            self.header_sync_ends(now, id);
            return;
        };
        match self.chain.accept_headers(now.unix_secs(), headers) {
            Ok(accepted) => {
                if let Some(peer) = self.peers.get_mut_later(&id) {
                    peer.sync.unconnecting = 0;
                }
                if let Some(last) = accepted.last {
                    self.note_has(id, last);
                    if headers.len() == HEADERS_PER_MESSAGE_MAX {
                        self.ask_headers(now, id, last);
                    } else {
                        self.header_sync_ends(now, id);
                    }
                }
                self.request_blocks(now, id);
                if accepted.best_changed && !self.all_are_asked() {
                    self.request_blocks_of_all(now);
                }
            }
            Err(HeaderError::UnknownParent(_)) => {
                let hash = self.chain.hash_of(last);
                self.unconnecting(now, id, hash);
            }
            Err(error) if error.punish() => {
                self.misbehaved(id, &format!("invalid header: {}", error.reason()));
            }
            Err(_) => self.header_sync_ends(now, id),
        }
    }

    /// A header or block came whose parent is not known: asks for those between.
    pub(super) fn unconnecting(&mut self, now: Time, id: PeerId, hash: BlockHash) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.sync.last_unknown = Some(Box::new(hash));
        peer.sync.unconnecting += 1;
        if peer.sync.unconnecting > UNCONNECTING_MAX {
            self.misbehaved(id, "headers that connect to nothing");
        } else {
            self.ask_headers(now, id, self.chain.best_header().hash);
        }
    }

    /// The peer has nothing more to give: the others' turn.
    fn header_sync_ends(&mut self, now: Time, id: PeerId) {
        if self.header_sync != Some(id) {
            return;
        }
        self.header_sync = None;
        let deferred: Vec<_> = self
            .peers
            .values()
            .filter(|p| p.sync.deferred)
            .map(|p| p.id)
            .collect();
        for id in deferred {
            self.begin_sync(now, id);
        }
    }

    /// The peer announced blocks by hash.
    pub(crate) fn received_block_inv(&mut self, now: Time, id: PeerId, hashes: &[BlockHash]) {
        for hash in hashes {
            self.note_has(id, *hash);
        }
        let unknown = self
            .peers
            .get(&id)
            .is_some_and(|p| p.sync.last_unknown.is_some());
        if unknown {
            self.ask_headers(now, id, self.chain.best_header().hash);
        }
        self.request_blocks(now, id);
    }

    pub(crate) fn received_sendheaders(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.sync.wants_headers = true;
        }
    }

    /// Notes that the peer has a block.
    pub(super) fn note_has(&mut self, id: PeerId, hash: BlockHash) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let is_news = peer.sync.last_unknown.is_some() || peer.sync.best_known != Some(hash);
        if !is_news && self.chain.entry(&hash).is_some() {
            return;
        }
        let follows = |entry: &HeaderEntry| {
            let best = peer.sync.best_known;
            peer.sync.last_unknown.is_none() && best.is_none_or(|best| best == entry.parent())
        };
        if self.chain.entry(&hash).is_some_and(follows) {
            if let Some(peer) = self.peers.get_mut_later(&id) {
                peer.sync.best_known = Some(hash);
            }
            return;
        }
        let work = |hash: BlockHash| self.chain.entry(&hash).map(|e| e.work);
        let was_unknown = peer.sync.last_unknown.as_deref().copied();
        let found = was_unknown.filter(|unknown| self.chain.entry(unknown).is_some());
        let told = work(hash).is_some().then_some(hash);
        let best = [peer.sync.best_known, found, told]
            .into_iter()
            .flatten()
            .fold(None, |best: Option<(Work, BlockHash)>, candidate| {
                match (best, work(candidate)) {
                    (Some((most, _)), Some(work)) if work <= most => best,
                    (_, Some(work)) => Some((work, candidate)),
                    (_, None) => best,
                }
            });
        if let Some(peer) = self.peers.get_mut_later(&id) {
            peer.sync.best_known = best.map(|(_, hash)| hash);
            if found.is_some() {
                peer.sync.last_unknown = None;
            }
            if told.is_none() {
                peer.sync.last_unknown = Some(Box::new(hash));
            }
        }
    }

    /// Whether the peer is known to have a block, or was told of it.
    pub(super) fn has(&self, peer: &Peer, hash: &BlockHash) -> bool {
        let entry = self.chain.entry(hash);
        entry.is_some_and(|entry| self.has_entry(peer, entry))
    }

    /// The same of a block that was looked up.
    pub(super) fn has_entry(&self, peer: &Peer, entry: &HeaderEntry) -> bool {
        let known = [peer.sync.best_known, peer.sync.best_sent];
        if known.contains(&Some(entry.hash)) {
            return true;
        }
        let (height, parent) = (entry.height, entry.parent());
        // A peer that had the block before has not this one: the answer for most peers.
        let mut known = known.into_iter().flatten().filter(|known| *known != parent);
        known.any(|known| {
            self.chain
                .entry(&known)
                .filter(|known| known.height > height)
                .and_then(|known| self.chain.ancestor(known, height))
                .is_some_and(|ancestor| ancestor.hash == entry.hash)
        })
    }

    /// Peers that were asked for headers and did not answer are no longer waited for.
    pub(super) fn run_headers(&mut self, now: Time) {
        let timeout = self.config.timing.headers_timeout;
        let late: Vec<_> = self
            .peers
            .due(now)
            .filter(|p| {
                p.sync
                    .headers_asked
                    .get()
                    .is_some_and(|t| t + timeout <= now)
            })
            .map(|p| p.id)
            .collect();
        for id in late {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.sync.headers_asked = OptionalTime::NONE;
            }
            if self.header_sync == Some(id) {
                self.disconnect(id, "headers timeout");
            } else if self
                .peers
                .get(&id)
                .is_some_and(|p| p.sync.last_unknown.is_some())
            {
                self.ask_headers(now, id, self.chain.best_header().hash);
            }
        }
    }

    /// The connection takes no more part: what it owes is asked of others.
    pub(crate) fn release_sync(&mut self, id: PeerId) {
        let now = self.now;
        self.release_compact(id);
        self.release_blocks(now, id);
        self.header_sync_ends(now, id);
    }

    /// Height of the best header that the peer is known to have, as `synced_headers`.
    pub fn synced_headers(&self, peer: &Peer) -> Option<u32> {
        let known = peer.sync.best_known?;
        self.chain.entry(&known).map(|e| e.height)
    }

    /// Height of the last block that the peer and this node have in common, as `synced_blocks`.
    pub fn synced_blocks(&self, peer: &Peer) -> Option<u32> {
        let known = peer.sync.best_known?;
        self.chain.fork_point(&known).map(|e| e.height)
    }

    /// Whether blocks are asked of this peer at all.
    pub(super) fn gives_blocks(peer: &Peer) -> bool {
        peer.is_ready() && peer.serves_blocks() && peer.kind != ConnectionKind::AddressFetch
    }
}
