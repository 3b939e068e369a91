//! Announcing transactions: after a random delay per peer, many in one message, so that neither the
//! traffic nor the origin of a transaction shows (Bitcoin Core's trickle).

use std::time::Duration;

use bitcoin::Txid;
use bitcoin::p2p::message_blockdata::Inventory;

use super::Relay;
use super::announcement_queue::{Announcement, Queued};
use super::known_transactions::KnownTransactions;
use crate::context::{ConnectionKind, Context, PeerSlot, PeerTransactions};
use crate::io::{PeerId, Time};
use crate::mempool::Mempool;
use crate::time::OptionalTime;
use crate::wire::Message;

/// Announced at once to one peer (Bitcoin Core: 35 and more, as the queue grows).
const PER_TURN_MAX: usize = 1_000;
/// Transactions of the mempool that are announced to a new peer, the newest: one message.
const OFFERED_MAX: usize = PER_TURN_MAX;
/// They are announced to it after this: short-lived connections, which come to look at blocks or
/// to fetch addresses, are over by then.
const OFFERED_AFTER: Duration = Duration::from_secs(6);

/// What is announced to a peer whose turn has come.
struct Batch<'a> {
    peer: &'a PeerTransactions,
    slot: PeerSlot,
    mempool: &'a Mempool,
    known: &'a mut KnownTransactions,
    inventory: Vec<Inventory>,
}

impl Batch<'_> {
    fn is_full(&self) -> bool {
        self.inventory.len() >= PER_TURN_MAX
    }

    /// Adds a transaction, unless the peer knows it, or does not want it, or it is here no more. From
    /// now on the peer knows it.
    fn add(&mut self, waiting: &Announcement) {
        // Mostly it has heard of it from another meanwhile: then nothing else is looked up.
        if self.known.knows(self.slot, waiting.index_key) {
            return;
        }
        let all_here = self.mempool.departures() == waiting.departures;
        if !all_here && !self.mempool.contains(&waiting.tx.txid()) {
            return;
        }
        if let Some(name) = self.peer.name_of(&waiting.tx, waiting.fee) {
            self.known.note(Some(self.slot), waiting.index_key);
            self.inventory.push(name);
        }
    }
}

impl Relay {
    /// The handshake is done.
    pub(crate) fn begin(&mut self, ctx: &mut Context, id: PeerId) {
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        if !ctx.config.relay_transactions {
            return;
        }
        let slot = self.known.take_slot();
        peer.transactions.slot = Some(slot);
        if !peer.transactions.wanted {
            return;
        }
        // A probe as well: it may become a connection that stays.
        let outbound = !peer.kind.is_inbound();
        self.queue.listen(slot, id, outbound);
        if peer.kind == ConnectionKind::Probe {
            return;
        }
        if ctx.config.offer_mempool {
            peer.transactions.offer_at = (ctx.now + OFFERED_AFTER).into();
        }
        let own = self.own_unconfirmed();
        self.offer(ctx, id, own);
    }

    /// Announces to peers that stay the transactions that were here before them.
    pub(super) fn run_offers(&mut self, ctx: &mut Context) {
        let due = ctx.due_peers(|p| p.is_ready() && p.transactions.offer_at.is_due(ctx.now));
        for id in due {
            if let Some(peer) = ctx.peers.get_mut(&id) {
                peer.transactions.offer_at = OptionalTime::NONE;
            }
            let all = ctx.mempool.by_arrival();
            let newest = all.len().saturating_sub(OFFERED_MAX);
            let txids: Vec<_> = all[newest..].iter().map(|entry| entry.txid()).collect();
            self.offer(ctx, id, txids);
        }
    }

    pub(crate) fn received_feefilter(ctx: &mut Context, id: PeerId, sat_per_kvb: u64) {
        if let Some(peer) = ctx.peers.get_mut(&id) {
            peer.transactions.fee_filter = sat_per_kvb;
        }
    }

    /// Announces a transaction to every peer in a while, but one.
    pub(super) fn queue_for_all(&mut self, ctx: &mut Context, txid: &Txid, except: Option<PeerId>) {
        let Some(tx) = waiting(ctx, txid) else {
            return;
        };
        let mut known_by = self.known.note_ours(tx.index_key);
        let except = except.and_then(|id| ctx.peers.get(&id));
        if let Some(slot) = except.and_then(|peer| peer.transactions.slot) {
            known_by.add(slot);
        }
        let draw = turns(ctx);
        self.queue.push(Queued { tx, known_by }, draw);
    }

    /// Announces transactions to one peer in a while, as far as it lacks them.
    fn offer(&mut self, ctx: &mut Context, id: PeerId, txids: Vec<Txid>) {
        let peer = ctx.peers.get(&id);
        let Some(slot) = peer.and_then(|p| p.transactions.slot) else {
            return;
        };
        let txs = txids.iter().filter_map(|txid| waiting(ctx, txid));
        let lacking = txs.filter(|tx| !self.known.knows(slot, tx.index_key));
        let lacking = lacking.collect();
        let draw = turns(ctx);
        self.queue.offer(slot, lacking, draw);
    }

    /// Announces what waited long enough.
    pub(super) fn run_announcements(&mut self, ctx: &mut Context) {
        for (id, slot) in self.queue.take_due(ctx.now) {
            self.announce_waiting(ctx, id, slot);
        }
    }

    fn announce_waiting(&mut self, ctx: &mut Context, id: PeerId, slot: PeerSlot) {
        let Some(peer) = ctx.peers.get(&id) else {
            return;
        };
        let mut batch = Batch {
            peer: &peer.transactions,
            slot,
            mempool: &ctx.mempool,
            known: &mut self.known,
            inventory: Vec::new(),
        };
        let queue = &mut self.queue;
        while !batch.is_full()
            && let Some(waiting) = queue.next_offered(slot)
        {
            batch.add(&waiting);
        }
        let mut count = 0;
        for queued in queue.waiting_for(slot) {
            if batch.is_full() {
                break;
            }
            count += 1;
            if !queued.known_by.has(slot) {
                batch.add(&queued.tx);
            }
        }
        let inventory = batch.inventory;
        if queue.announced(slot, count) {
            queue.set_turn(slot, ctx.now + ctx.config.timing.tx_delay_outbound);
        }
        if !inventory.is_empty() {
            ctx.send(id, Message::Inv(inventory));
        }
    }
}

/// What waits to be announced of a transaction in the mempool.
fn waiting(ctx: &Context, txid: &Txid) -> Option<Announcement> {
    let entry = ctx.mempool.get(txid)?;
    Some(Announcement {
        tx: entry.tx.clone(),
        fee: entry.fee,
        index_key: ctx.tx_id(&entry.wtxid()),
        departures: ctx.mempool.departures(),
    })
}

/// Draws when the turn of a connection comes for which something begins to wait, given whether this node
/// opened it. The waits of a Poisson process have no memory: drawing anew then is the same as a
/// clock that ticks all the time.
fn turns(ctx: &mut Context) -> impl FnMut(bool) -> Time {
    let (now, timing) = (ctx.now, &ctx.config.timing);
    let (inbound, outbound) = (timing.tx_delay_inbound, timing.tx_delay_outbound);
    let randomness = &mut ctx.randomness;
    move |ours| now + randomness.exponential(if ours { outbound } else { inbound })
}
