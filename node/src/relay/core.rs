//! What this sub-protocol keeps of all connections together, when it has something to do, and how a
//! connection's part in it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Transaction, Txid, Wtxid};

use super::announcement_queue::AnnouncementQueue;
use super::known_transactions::KnownTransactions;
use super::orphans::Orphans;
use super::recent::RecentIds;
use super::requests::TxRequests;
use crate::context::{Context, Peer};
use crate::io::{PeerId, Time};
use crate::wire::NamedTransaction;

/// Transactions remembered as refused, until the next block; and as confirmed. 8 bytes each.
const RECENT_TRANSACTIONS_MAX: u32 = 4_096;

/// Own transactions that no block has yet.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(super) struct OwnTransactions {
    pub(super) announce_at: Option<Time>,
    pub(super) unconfirmed: BTreeMap<Txid, NamedTransaction>,
}

/// Transactions between one node and its peers. What every input asks for stands side by
/// side: the end of `requests`, the beginnings of `own` and `queue`.
#[repr(C)]
pub(crate) struct Relay {
    pub(super) requests: TxRequests,
    pub(super) own: OwnTransactions,
    /// Transactions that are to be announced.
    pub(super) queue: AnnouncementQueue,
    pub(super) known: KnownTransactions,
    pub(super) orphans: Orphans,
    /// Transactions that the mempool refused since the last block.
    pub(super) rejected: RecentIds,
    /// Transactions that lately got into a block, by either name.
    pub(super) confirmed: RecentIds,
}

impl Relay {
    pub(crate) fn new() -> Relay {
        Relay {
            requests: TxRequests::default(),
            own: OwnTransactions::default(),
            queue: AnnouncementQueue::default(),
            known: KnownTransactions::default(),
            orphans: Orphans::default(),
            rejected: RecentIds::new(RECENT_TRANSACTIONS_MAX),
            confirmed: RecentIds::new(RECENT_TRANSACTIONS_MAX),
        }
    }

    /// Transactions whose parents are not here, by wtxid.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = (Wtxid, &Arc<Transaction>)> {
        self.orphans.iter()
    }

    /// Everything that is due.
    pub(crate) fn run(&mut self, ctx: &mut Context) {
        self.run_offers(ctx);
        self.run_announcements(ctx);
        self.run_requests(ctx);
        self.run_rebroadcast(ctx);
    }

    /// When a connection needs [`Relay::run`].
    pub(crate) fn peer_deadline(peer: &Peer) -> Time {
        peer.transactions.offer_at.or_never()
    }

    /// When it is needed whatever the connections are; cheap to say.
    pub(crate) fn deadline(&self) -> Time {
        let deadlines = [self.requests.next_deadline(), self.own.announce_at];
        let first = deadlines.into_iter().flatten().min();
        first.unwrap_or(Time::NEVER).min(self.queue.first_turn())
    }

    /// The connection takes no more part: what it owes is asked of others.
    pub(crate) fn release(&mut self, ctx: &mut Context, id: PeerId) {
        let peer = ctx.peers.get_mut(&id);
        if let Some(slot) = peer.and_then(|peer| peer.transactions.slot.take()) {
            self.known.release_slot(slot);
            self.queue.leave(slot);
        }
        self.orphans.forget_peer(id);
        for other in self.requests.forget_peer(id) {
            self.request_transactions(ctx, other);
        }
    }
}
