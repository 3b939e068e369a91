//! Announcing transactions: after a random delay per peer, many in one message, so that neither the
//! traffic nor the origin of a transaction shows (Bitcoin Core's trickle).

use std::collections::VecDeque;
use std::time::Duration;

use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Txid, Wtxid};

use super::knowers::Place;
use crate::io::{PeerId, Time};
use crate::machine::Machine;
use crate::peers::{ConnectionKind, Peer};
use crate::time::OptionalTime;
use crate::wire::Message;

/// Transactions that wait to be announced to one peer; beyond it the oldest are not announced, and
/// come to it by other peers or in a block.
const PENDING_MAX: usize = 5_000;
/// Announced at once to one peer (Bitcoin Core: 35 and more, as the queue grows).
const PER_TURN_MAX: usize = 1_000;
/// Transactions of the mempool that a new peer is told of, the newest: one message.
const OFFERED_MAX: usize = PER_TURN_MAX;
/// A new peer is told of them after this: short-lived connections, which come to look at blocks or
/// to fetch addresses, are over by then.
const OFFERED_AFTER: Duration = Duration::from_secs(6);

/// A transaction that waits to be announced to a peer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    txid: Txid,
    /// What [`Machine::tx_id`] says of it.
    known_as: u64,
}

/// Transactions of one connection.
#[derive(Clone, Debug)]
pub struct PeerTransactions {
    wanted: bool,
    by_wtxid: bool,
    /// What it does not want to hear of, satoshis per 1,000 virtual bytes.
    pub(super) fee_filter: u64,
    pending: VecDeque<Pending>,
    pub(super) announce_at: OptionalTime,
    /// When it is told of the transactions that were here before it came.
    offer_at: OptionalTime,
    /// Under which it is noted what it knows, once the handshake is done.
    pub(super) place: Option<Place>,
    /// Announcements that were ignored because there were too many.
    pub(super) ignored: u32,
}

impl Default for PeerTransactions {
    fn default() -> PeerTransactions {
        PeerTransactions {
            wanted: false,
            by_wtxid: false,
            fee_filter: 0,
            pending: VecDeque::new(),
            announce_at: OptionalTime::NONE,
            offer_at: OptionalTime::NONE,
            place: None,
            ignored: 0,
        }
    }
}

impl PeerTransactions {
    /// Whether transactions are announced to it.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The lowest fee rate that it wants to hear of, satoshis per 1,000 virtual bytes.
    pub fn fee_filter(&self) -> u64 {
        self.fee_filter
    }

    pub(crate) fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// It announces, and wants to be told, by wtxid (BIP339).
    pub(crate) fn announce_by_wtxid(&mut self) {
        self.by_wtxid = true;
    }

    pub(super) fn by_wtxid(&self) -> bool {
        self.by_wtxid
    }
}

impl Machine {
    /// The handshake is done.
    pub(crate) fn begin_relay(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if self.config.relay_transactions {
            peer.transactions.place = Some(self.knowers.take_place());
        }
        if peer.kind == ConnectionKind::Probe || !peer.transactions.wanted {
            return;
        }
        if self.config.offer_mempool {
            peer.transactions.offer_at = (now + OFFERED_AFTER).into();
        }
        for txid in self.own_unconfirmed() {
            self.queue_for(now, id, &txid);
        }
    }

    /// Tells peers that stay of the transactions that were here before them.
    fn run_offers(&mut self, now: Time) {
        let due: Vec<_> = self
            .peers
            .due(now)
            .filter(|p| p.is_ready() && p.transactions.offer_at.is_due(now))
            .map(|p| p.id)
            .collect();
        for id in due {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.transactions.offer_at = OptionalTime::NONE;
            }
            let all = self.mempool.by_arrival();
            let newest = all.len().saturating_sub(OFFERED_MAX);
            let txids: Vec<_> = all[newest..].iter().map(|entry| entry.txid).collect();
            for txid in txids {
                self.queue_for(now, id, &txid);
            }
        }
    }

    pub(crate) fn received_feefilter(&mut self, id: PeerId, sat_per_kvb: u64) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.transactions.fee_filter = sat_per_kvb;
        }
    }

    pub(super) fn tx_id(&self, wtxid: &Wtxid) -> u64 {
        self.randomness.short_id(wtxid.as_ref())
    }

    /// Queues a transaction for every peer but one.
    pub(super) fn queue_for_all(&mut self, now: Time, txid: &Txid, except: Option<PeerId>) {
        let Some(pending) = self.pending(txid) else {
            return;
        };
        let takers: Vec<_> = self
            .peers
            .values()
            .filter(|p| p.is_ready() && Some(p.id) != except)
            .filter(|p| p.kind != ConnectionKind::AddressFetch)
            .filter(|p| self.lacks(p, pending))
            .map(|p| p.id)
            .collect();
        for id in takers {
            self.queue(now, id, pending);
        }
    }

    /// Queues a transaction for one peer, unless it has it.
    pub(super) fn queue_for(&mut self, now: Time, id: PeerId, txid: &Txid) {
        if let Some(pending) = self.pending(txid)
            && self.peers.get(&id).is_some_and(|p| self.lacks(p, pending))
        {
            self.queue(now, id, pending);
        }
    }

    /// A transaction of the mempool, as it waits to be announced.
    fn pending(&self, txid: &Txid) -> Option<Pending> {
        let entry = self.mempool.get(txid)?;
        let known_as = self.tx_id(&entry.wtxid);
        Some(Pending {
            txid: *txid,
            known_as,
        })
    }

    /// Whether a peer wants to be told of a transaction, and is not known to know it.
    fn lacks(&self, peer: &Peer, pending: Pending) -> bool {
        let state = &peer.transactions;
        state.wanted && !self.knowers.knows(state.place, pending.known_as)
    }

    fn queue(&mut self, now: Time, id: PeerId, pending: Pending) {
        let Some(peer) = self.peers.get_mut_later(&id) else {
            return;
        };
        if peer.transactions.pending.len() >= PENDING_MAX {
            peer.transactions.pending.pop_front();
        }
        peer.transactions.pending.push_back(pending);
        if peer.transactions.announce_at.is_none()
            && let Some(peer) = self.peers.get_mut(&id)
        {
            // The waits of a Poisson process have no memory: drawing anew when the queue begins
            // is the same as a clock that ticks all the time.
            let timing = &self.config.timing;
            let mean = if peer.kind.is_inbound() {
                timing.tx_delay_inbound
            } else {
                timing.tx_delay_outbound
            };
            peer.transactions.announce_at = (now + self.randomness.exponential(mean)).into();
        }
    }

    /// Announces what waited long enough.
    pub(super) fn run_announcements(&mut self, now: Time) {
        let due: Vec<_> = self
            .peers
            .due(now)
            .filter(|p| p.is_ready() && p.transactions.announce_at.is_due(now))
            .map(|p| p.id)
            .collect();
        for id in due {
            self.announce_pending(now, id);
        }
    }

    fn announce_pending(&mut self, now: Time, id: PeerId) {
        let Machine {
            peers,
            mempool,
            config,
            knowers,
            ..
        } = self;
        let Some(peer) = peers.get_mut(&id) else {
            return;
        };
        let state = &mut peer.transactions;
        let mut inventory = Vec::new();
        while inventory.len() < PER_TURN_MAX
            && let Some(Pending { txid, known_as }) = state.pending.pop_front()
        {
            // Mostly another has told it meanwhile.
            if knowers.knows(state.place, known_as) {
                continue;
            }
            let Some(entry) = mempool.get(&txid) else {
                continue;
            };
            let pays = entry.fee.to_sat().saturating_mul(1_000);
            if pays < state.fee_filter.saturating_mul(entry.vsize()) {
                continue;
            }
            knowers.note(state.place, known_as);
            inventory.push(match state.by_wtxid {
                true => Inventory::WTx(entry.wtxid),
                false => Inventory::Transaction(txid),
            });
        }
        let more = !state.pending.is_empty();
        state.announce_at = more.then_some(now + config.timing.tx_delay_outbound).into();
        if !inventory.is_empty() {
            self.send(now, id, Message::Inv(inventory));
        }
    }

    /// Everything in this sub-protocol that is due.
    pub(crate) fn run_relay(&mut self, now: Time) {
        self.run_offers(now);
        self.run_announcements(now);
        self.run_requests(now);
        self.run_rebroadcast(now);
    }

    /// When a connection needs [`Machine::run_relay`].
    pub(crate) fn relay_deadline(peer: &Peer) -> Time {
        let state = &peer.transactions;
        state.announce_at.or_never().min(state.offer_at.or_never())
    }

    /// The connection takes no more part: what it owes is asked of others.
    pub(crate) fn release_relay(&mut self, id: PeerId) {
        let now = self.now;
        let peer = self.peers.get_mut(&id);
        if let Some(place) = peer.and_then(|peer| peer.transactions.place.take()) {
            self.knowers.give_back(place);
        }
        self.orphans.forget_peer(id);
        for other in self.requests.forget_peer(id) {
            self.request_transactions(now, other);
        }
    }
}
