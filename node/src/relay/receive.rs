//! Taking transactions in: announcements, the transactions themselves, and what an update of the chain
//! means for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::Txid;
use bitcoin::p2p::message_blockdata::Inventory;

use super::Relay;
use super::requests::TxName;
use crate::chain::BlockAccepted;
use crate::context::{Context, Fact};
use crate::io::{Event, Output, PeerId};
use crate::mempool::TxReject;
use crate::wire::{Message, NamedTransaction};

/// A peer whose announcements had to be ignored so often, because so many others were pending, is
/// flooding.
const IGNORED_MAX: u32 = 50_000;

impl Relay {
    pub(crate) fn received_tx_inv(&mut self, ctx: &mut Context, id: PeerId, names: &[TxName]) {
        if !ctx.config.relay_transactions {
            ctx.misbehaved(id, "transactions announced to a node that wants none");
            return;
        }
        let slot = ctx.peers.get(&id).and_then(|p| p.transactions.slot);
        self.known.note_losses(ctx.mempool.losses());
        for name in names {
            let is_ours = match name {
                TxName::Wtxid(wtxid) => self.known.note(slot, ctx.tx_id(wtxid)),
                TxName::Txid(_) => false,
            };
            if is_ours || !self.requests.wants(name) && self.is_known(ctx, name) {
                continue;
            }
            if self.requests.announced(*name, id) {
                continue;
            }
            if let Some(peer) = ctx.peers.get_mut(&id) {
                peer.transactions.ignored += 1;
                if peer.transactions.ignored > IGNORED_MAX {
                    ctx.misbehaved(id, "flood of announcements");
                    return;
                }
            }
        }
        self.request_transactions(ctx, id);
    }

    /// Whether a transaction need not be asked for.
    fn is_known(&self, ctx: &Context, name: &TxName) -> bool {
        match name {
            TxName::Txid(txid) => {
                ctx.mempool.contains(txid)
                    || self
                        .confirmed
                        .contains(ctx.randomness.short_id(txid.as_ref()))
            }
            TxName::Wtxid(wtxid) => {
                let id = ctx.tx_id(wtxid);
                ctx.mempool.contains_wtxid(wtxid)
                    || self.orphans.contains(wtxid)
                    || self.rejected.contains(id)
                    || self.confirmed.contains(id)
            }
        }
    }

    /// Asks a peer for what it is due to be asked for.
    pub(super) fn request_transactions(&mut self, ctx: &mut Context, id: PeerId) {
        if !ctx.peers.get(&id).is_some_and(|p| p.is_ready()) {
            return;
        }
        let due = self
            .requests
            .take_due(id, ctx.now + ctx.config.timing.tx_timeout);
        if due.is_empty() {
            return;
        }
        let inventory = due
            .into_iter()
            .map(|name| match name {
                TxName::Txid(txid) => Inventory::WitnessTransaction(txid),
                TxName::Wtxid(wtxid) => Inventory::WTx(wtxid),
            })
            .collect();
        ctx.send(id, Message::GetData(inventory));
    }

    /// Asks the next announcer for what did not come.
    pub(super) fn run_requests(&mut self, ctx: &mut Context) {
        let late = self.requests.late(ctx.now);
        let mut asked = BTreeSet::new();
        for (name, peer) in late {
            asked.insert(peer);
            asked.extend(self.requests.failed(name, peer));
        }
        for id in asked {
            self.request_transactions(ctx, id);
        }
    }

    pub(crate) fn received_notfound(
        &mut self,
        ctx: &mut Context,
        id: PeerId,
        entries: &[Inventory],
    ) {
        let mut next = BTreeSet::from([id]);
        for entry in entries {
            let name = match entry {
                Inventory::WTx(wtxid) => TxName::Wtxid(*wtxid),
                Inventory::WitnessTransaction(txid) | Inventory::Transaction(txid) => {
                    TxName::Txid(*txid)
                }
                _ => continue,
            };
            next.extend(self.requests.failed(name, id));
        }
        for id in next {
            self.request_transactions(ctx, id);
        }
    }

    pub(crate) fn received_tx(&mut self, ctx: &mut Context, id: PeerId, tx: NamedTransaction) {
        if !ctx.config.relay_transactions {
            ctx.misbehaved(id, "transaction sent to a node that wants none");
            return;
        }
        let (txid, wtxid) = (tx.txid(), tx.wtxid());
        let slot = ctx.peers.get(&id).and_then(|p| p.transactions.slot);
        self.known.note(slot, ctx.tx_id(&wtxid));
        let mut freed = BTreeSet::from([id]);
        freed.extend(self.requests.settled(TxName::Txid(txid)));
        let asked = self.requests.settled(TxName::Wtxid(wtxid));
        freed.extend(asked);
        if asked.is_some() || !self.is_known(ctx, &TxName::Wtxid(wtxid)) {
            self.try_from_peer(ctx, id, tx);
        }
        for id in freed {
            self.request_transactions(ctx, id);
        }
    }

    /// Offers a peer's transaction to the mempool, and then the orphans that waited for it.
    fn try_from_peer(&mut self, ctx: &mut Context, id: PeerId, tx: NamedTransaction) {
        let mut waiting = vec![(tx, id)];
        while let Some((tx, from)) = waiting.pop() {
            match ctx.mempool.accept(&ctx.chain, ctx.now, tx.clone()) {
                Ok(accepted) => {
                    if let Some(peer) = ctx.peers.get_mut(&from) {
                        peer.last_transaction = ctx.now.into();
                    }
                    ctx.note_dropped(accepted.evicted);
                    self.entered_mempool(ctx, &tx, Some(from));
                    waiting.extend(self.orphans.take_children(&accepted.txid));
                }
                Err(TxReject::MissingInputs { missing }) => {
                    let parents: BTreeSet<Txid> = missing.iter().map(|out| out.txid).collect();
                    self.keep_orphan(ctx, from, tx, &parents);
                }
                Err(reject) => {
                    self.rejected.insert(ctx.tx_id(&tx.wtxid()));
                    if reject.punish() {
                        ctx.misbehaved(from, &format!("invalid transaction: {}", reject.reason()));
                    } else {
                        ctx.note(Fact::TransactionDropped(tx));
                    }
                }
            }
        }
    }

    /// Keeps a transaction whose parents are missing, and wants these from the same peer.
    fn keep_orphan(
        &mut self,
        ctx: &mut Context,
        from: PeerId,
        tx: NamedTransaction,
        parents: &BTreeSet<Txid>,
    ) {
        if !ctx.peers.get(&from).is_some_and(|p| p.is_ready()) {
            return;
        }
        for parent in parents {
            // A parent that is known and yet gives no coin has been spent.
            if self.is_known(ctx, &TxName::Txid(*parent)) {
                self.rejected.insert(ctx.tx_id(&tx.wtxid()));
                return;
            }
        }
        for parent in parents {
            self.requests.announced(TxName::Txid(*parent), from);
        }
        self.orphans.add(tx, from);
    }

    fn entered_mempool(&mut self, ctx: &mut Context, tx: &NamedTransaction, from: Option<PeerId>) {
        self.queue_for_all(ctx, &tx.txid(), from);
        let tx = Arc::clone(tx.transaction());
        ctx.push(Output::Event(Event::Transaction(tx)));
    }

    /// A transaction from this node's own user: into the mempool, to the peers, and repeated until
    /// a block has it.
    ///
    /// # Errors
    /// The mempool's, when it does not take it.
    pub(crate) fn submit(
        &mut self,
        ctx: &mut Context,
        tx: NamedTransaction,
    ) -> Result<Txid, TxReject> {
        let accepted = ctx.mempool.accept(&ctx.chain, ctx.now, tx.clone())?;
        self.note_own(ctx, tx.clone());
        ctx.note_dropped(accepted.evicted);
        self.entered_mempool(ctx, &tx, None);
        // A peer may have announced it before: it is wanted no more.
        for name in [TxName::Txid(tx.txid()), TxName::Wtxid(tx.wtxid())] {
            if let Some(freed) = self.requests.settled(name) {
                self.request_transactions(ctx, freed);
            }
        }
        for (child, from) in self.orphans.take_children(&accepted.txid) {
            self.try_from_peer(ctx, from, child);
        }
        Ok(accepted.txid)
    }

    /// The active chain has changed: what was wanted or refused may have changed.
    pub(crate) fn chain_updated(&mut self, ctx: &mut Context, update: &BlockAccepted) {
        self.rejected.clear();
        if !update.disconnected.is_empty() {
            self.confirmed.clear();
        }
        for block in &update.disconnected {
            self.own_returned(ctx, block);
        }
        for block in &update.connected {
            self.own_confirmed(block);
            for (tx, txid, wtxid) in block.named_transactions() {
                // A coinbase is not passed on by itself: nobody announces it.
                if !tx.is_coinbase() {
                    self.confirmed
                        .insert(ctx.randomness.short_id(txid.as_ref()));
                    self.confirmed.insert(ctx.tx_id(&wtxid));
                }
                self.requests.settled(TxName::Txid(txid));
                self.requests.settled(TxName::Wtxid(wtxid));
                self.orphans.remove(&wtxid);
                for (child, from) in self.orphans.take_children(&txid) {
                    self.try_from_peer(ctx, from, child);
                }
            }
        }
    }
}
