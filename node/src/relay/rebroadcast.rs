//! This node's own transactions: announced again and again until a block has them, since a peer may
//! have lost them, or a partition may have kept them from the miners.

use bitcoin::Txid;
use bitcoin::p2p::message_blockdata::Inventory;

use super::Relay;
use crate::chain::NamedBlock;
use crate::context::Context;
use crate::wire::{Message, NamedTransaction};

/// Own transactions remembered; beyond it, new ones are announced once.
const OWN_MAX: usize = 5_000;
/// Announced again at once, per turn: one message.
const PER_TURN_MAX: usize = 1_000;

impl Relay {
    /// Notes a transaction that was submitted here.
    pub(super) fn note_own(&mut self, ctx: &mut Context, tx: NamedTransaction) {
        if self.own.unconfirmed.len() < OWN_MAX {
            self.own.unconfirmed.insert(tx.txid(), tx);
            self.arm_rebroadcast(ctx);
        }
    }

    fn arm_rebroadcast(&mut self, ctx: &mut Context) {
        if self.own.unconfirmed.is_empty() {
            self.own.announce_at = None;
        } else if self.own.announce_at.is_none() {
            let wait = ctx
                .randomness
                .jittered(ctx.config.timing.rebroadcast_interval);
            self.own.announce_at = Some(ctx.now + wait);
        }
    }

    /// A block has them: they need no repetition.
    pub(super) fn own_confirmed(&mut self, block: &NamedBlock) {
        if !self.own.unconfirmed.is_empty() {
            for (_, txid, _) in block.named_transactions() {
                self.own.unconfirmed.remove(&txid);
            }
        }
    }

    /// A reorganisation took the block away: those of its transactions that are again in the
    /// mempool are announced as if they were new.
    pub(super) fn own_returned(&mut self, ctx: &mut Context, block: &NamedBlock) {
        for (_, txid, _) in block.named_transactions().skip(1) {
            self.queue_for_all(ctx, &txid, None);
        }
    }

    /// Their names, as many as are announced at once.
    pub(super) fn own_unconfirmed(&self) -> Vec<Txid> {
        self.own
            .unconfirmed
            .keys()
            .take(PER_TURN_MAX)
            .copied()
            .collect()
    }

    /// Announces them again to all, whoever is thought to have them; those that fell out of the
    /// mempool are tried again first.
    pub(super) fn run_rebroadcast(&mut self, ctx: &mut Context) {
        if self.own.announce_at.is_none_or(|t| t > ctx.now) {
            return;
        }
        self.own.announce_at = None;
        self.arm_rebroadcast(ctx);
        let own: Vec<_> = self
            .own
            .unconfirmed
            .values()
            .take(PER_TURN_MAX)
            .cloned()
            .collect();
        let mut announced = Vec::new();
        for tx in own {
            let here = ctx.mempool.contains(&tx.txid())
                || ctx.mempool.accept(&ctx.chain, ctx.now, tx.clone()).is_ok();
            if here {
                announced.push((tx.txid(), tx.wtxid()));
            }
        }
        let takers: Vec<_> = ctx
            .peers
            .values()
            .filter(|p| p.is_ready() && p.transactions.is_wanted())
            .map(|p| (p.id, p.transactions.by_wtxid))
            .collect();
        for (id, by_wtxid) in takers {
            let inventory: Vec<_> = announced
                .iter()
                .map(|(txid, wtxid)| match by_wtxid {
                    true => Inventory::WTx(*wtxid),
                    false => Inventory::Transaction(*txid),
                })
                .collect();
            if !inventory.is_empty() {
                ctx.send(id, Message::Inv(inventory));
            }
        }
    }
}
