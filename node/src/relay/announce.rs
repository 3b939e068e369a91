//! Announcing transactions: after a random delay per peer, many in one message, so that neither the
//! traffic nor the origin of a transaction shows (Bitcoin Core's trickle).

use std::time::Duration;

use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Amount, Txid, Wtxid};

use super::arrivals::{Arrival, Waiting};
use super::knowers::{Knowers, Place};
use crate::io::{PeerId, Time};
use crate::machine::{Config, Machine, Randomness};
use crate::mempool::Mempool;
use crate::peers::{ConnectionKind, Peer};
use crate::time::OptionalTime;
use crate::wire::{Message, NamedTransaction};

/// Announced at once to one peer (Bitcoin Core: 35 and more, as the queue grows).
const PER_TURN_MAX: usize = 1_000;
/// Transactions of the mempool that a new peer is told of, the newest: one message.
const OFFERED_MAX: usize = PER_TURN_MAX;
/// A new peer is told of them after this: short-lived connections, which come to look at blocks or
/// to fetch addresses, are over by then.
const OFFERED_AFTER: Duration = Duration::from_secs(6);

/// Transactions of one connection.
#[derive(Clone, Debug, Default)]
pub struct PeerTransactions {
    /// Under which it is noted what it knows, once the handshake is done.
    pub(super) place: Option<Place>,
    wanted: bool,
    by_wtxid: bool,
    /// What it does not want to hear of, satoshis per 1,000 virtual bytes.
    pub(super) fee_filter: u64,
    /// When it is told of the transactions that were here before it came.
    offer_at: OptionalTime,
    /// Announcements that were ignored because there were too many.
    pub(super) ignored: u32,
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

    /// How it is told of a transaction, unless that pays too little.
    fn name_of(&self, tx: &NamedTransaction, fee: Amount) -> Option<Inventory> {
        let pays = fee.to_sat().saturating_mul(1_000);
        if pays < self.fee_filter.saturating_mul(tx.vbytes()) {
            return None;
        }
        Some(match self.by_wtxid {
            true => Inventory::WTx(tx.wtxid()),
            false => Inventory::Transaction(tx.txid()),
        })
    }
}

/// What a peer whose turn has come is told.
struct Telling<'a> {
    peer: &'a PeerTransactions,
    place: Place,
    mempool: &'a Mempool,
    knowers: &'a mut Knowers,
    inventory: Vec<Inventory>,
}

impl Telling<'_> {
    fn is_full(&self) -> bool {
        self.inventory.len() >= PER_TURN_MAX
    }

    /// Of a transaction, unless the peer knows it, or does not want it, or it is here no more. From
    /// now on the peer knows it.
    fn tell(&mut self, waiting: &Waiting) {
        // Mostly another has told it meanwhile: then nothing else is looked up.
        if self.knowers.knows(self.place, waiting.known_as) {
            return;
        }
        let all_here = self.mempool.departures() == waiting.departures;
        if !all_here && !self.mempool.contains(&waiting.tx.txid()) {
            return;
        }
        if let Some(name) = self.peer.name_of(&waiting.tx, waiting.fee) {
            self.knowers.note(Some(self.place), waiting.known_as);
            self.inventory.push(name);
        }
    }
}

impl Machine {
    /// The handshake is done.
    pub(crate) fn begin_relay(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if !self.config.relay_transactions {
            return;
        }
        let place = self.knowers.take_place();
        peer.transactions.place = Some(place);
        if !peer.transactions.wanted {
            return;
        }
        // A probe as well: it may become a connection that stays.
        let outbound = !peer.kind.is_inbound();
        self.arrivals.listen(place, id, outbound);
        if peer.kind == ConnectionKind::Probe {
            return;
        }
        if self.config.offer_mempool {
            peer.transactions.offer_at = (now + OFFERED_AFTER).into();
        }
        let own = self.own_unconfirmed();
        self.offer(now, id, own);
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
            let txids: Vec<_> = all[newest..].iter().map(|entry| entry.txid()).collect();
            self.offer(now, id, txids);
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

    /// What waits to be announced of a transaction in the mempool.
    fn waiting(&self, txid: &Txid) -> Option<Waiting> {
        let entry = self.mempool.get(txid)?;
        Some(Waiting {
            tx: entry.tx.clone(),
            fee: entry.fee,
            known_as: self.tx_id(&entry.wtxid()),
            departures: self.mempool.departures(),
        })
    }

    /// Tells every peer of a transaction in a while, but one.
    pub(super) fn queue_for_all(&mut self, now: Time, txid: &Txid, except: Option<PeerId>) {
        let Some(tx) = self.waiting(txid) else {
            return;
        };
        let mut knew = self.knowers.note_ours(tx.known_as);
        let except = except.and_then(|id| self.peers.get(&id));
        if let Some(place) = except.and_then(|peer| peer.transactions.place) {
            knew.add(place);
        }
        let draw = turns(now, &self.config, &mut self.randomness);
        self.arrivals.push(Arrival { tx, knew }, draw);
    }

    /// Tells one peer of transactions in a while, as far as it lacks them.
    fn offer(&mut self, now: Time, id: PeerId, txids: Vec<Txid>) {
        let peer = self.peers.get(&id);
        let Some(place) = peer.and_then(|p| p.transactions.place) else {
            return;
        };
        let txs = txids.iter().filter_map(|txid| self.waiting(txid));
        let lacking = txs.filter(|tx| !self.knowers.knows(place, tx.known_as));
        let lacking = lacking.collect();
        let draw = turns(now, &self.config, &mut self.randomness);
        self.arrivals.offer(place, lacking, draw);
    }

    /// Announces what waited long enough.
    pub(super) fn run_announcements(&mut self, now: Time) {
        for (id, place) in self.arrivals.take_due(now) {
            self.announce_waiting(now, id, place);
        }
    }

    fn announce_waiting(&mut self, now: Time, id: PeerId, place: Place) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let mut telling = Telling {
            peer: &peer.transactions,
            place,
            mempool: &self.mempool,
            knowers: &mut self.knowers,
            inventory: Vec::new(),
        };
        let arrivals = &mut self.arrivals;
        while !telling.is_full()
            && let Some(waiting) = arrivals.next_offered(place)
        {
            telling.tell(&waiting);
        }
        let mut told = 0;
        for arrival in arrivals.waiting_for(place) {
            if telling.is_full() {
                break;
            }
            told += 1;
            if !arrival.knew.has(place) {
                telling.tell(&arrival.tx);
            }
        }
        let inventory = telling.inventory;
        if arrivals.told(place, told) {
            arrivals.set_turn(place, now + self.config.timing.tx_delay_outbound);
        }
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
        peer.transactions.offer_at.or_never()
    }

    /// The connection takes no more part: what it owes is asked of others.
    pub(crate) fn release_relay(&mut self, id: PeerId) {
        let now = self.now;
        let peer = self.peers.get_mut(&id);
        if let Some(place) = peer.and_then(|peer| peer.transactions.place.take()) {
            self.knowers.give_back(place);
            self.arrivals.leave(place);
        }
        self.orphans.forget_peer(id);
        for other in self.requests.forget_peer(id) {
            self.request_transactions(now, other);
        }
    }
}

/// Draws when a connection is told for which something begins to wait, given whether this node
/// opened it. The waits of a Poisson process have no memory: drawing anew then is the same as a
/// clock that ticks all the time.
fn turns(now: Time, config: &Config, randomness: &mut Randomness) -> impl FnMut(bool) -> Time {
    let timing = &config.timing;
    let (inbound, outbound) = (timing.tx_delay_inbound, timing.tx_delay_outbound);
    move |ours| now + randomness.exponential(if ours { outbound } else { inbound })
}
