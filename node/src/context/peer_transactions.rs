//! Transactions of one connection: whether they are announced to it, how, and which.

use bitcoin::Amount;
use bitcoin::p2p::message_blockdata::Inventory;

use super::peer_slots::PeerSlot;
use crate::time::OptionalTime;
use crate::wire::NamedTransaction;

/// Transactions of one connection.
#[derive(Clone, Debug, Default)]
pub struct PeerTransactions {
    /// Under which it is noted what it knows, once the handshake is done.
    pub(crate) slot: Option<PeerSlot>,
    pub(crate) wanted: bool,
    /// Whether they are announced by wtxid, both ways (BIP339).
    pub(crate) by_wtxid: bool,
    /// What it does not want to hear of, satoshis per 1,000 virtual bytes.
    pub(crate) fee_filter: u64,
    /// When the transactions that were here before it came are announced to it.
    pub(crate) offer_at: OptionalTime,
    /// Announcements that were ignored because there were too many.
    pub(crate) ignored: u32,
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

    /// How a transaction is announced to it, unless that pays too little.
    pub(crate) fn name_of(&self, tx: &NamedTransaction, fee: Amount) -> Option<Inventory> {
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
