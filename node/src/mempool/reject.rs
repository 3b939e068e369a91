//! Why a transaction was refused, in Bitcoin Core's words.

use bitcoin::OutPoint;

/// A transaction was not taken into the mempool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum TxReject {
    /// It breaks a rule of the consensus whatever the chain: no honest node sends it.
    #[error("{reason}{}{detail}", if detail.is_empty() { "" } else { ", " })]
    Invalid {
        /// Bitcoin Core's reject reason.
        reason: &'static str,
        /// What exactly; may be empty.
        detail: String,
    },
    /// It may not be mined next, or this node does not care to relay it.
    #[error("{reason}{}{detail}", if detail.is_empty() { "" } else { ", " })]
    Refused {
        /// Bitcoin Core's reject reason.
        reason: &'static str,
        /// What exactly; may be empty.
        detail: String,
    },
    /// Coins that it spends are not known: they may come with a parent, or have been spent.
    MissingInputs {
        /// Which.
        missing: Vec<OutPoint>,
    },
    /// This very transaction is in the pool.
    AlreadyInMempool,
    /// The pool has it with other witnesses.
    SameTxidInMempool,
    /// Its outputs are in the coin set: it is confirmed.
    AlreadyConfirmed,
    /// It spends what a transaction in the pool spends. There is no replacement.
    Conflict,
}

impl TxReject {
    /// Bitcoin Core's reject reason, without detail.
    pub fn reason(&self) -> &'static str {
        match self {
            TxReject::Invalid { reason, .. } | TxReject::Refused { reason, .. } => reason,
            TxReject::MissingInputs { .. } => "bad-txns-inputs-missingorspent",
            TxReject::AlreadyInMempool => "txn-already-in-mempool",
            TxReject::SameTxidInMempool => "txn-same-nonwitness-data-in-mempool",
            TxReject::AlreadyConfirmed => "txn-already-known",
            TxReject::Conflict => "txn-mempool-conflict",
        }
    }

    /// Whether an honest peer could not have sent it.
    pub fn punish(&self) -> bool {
        matches!(self, TxReject::Invalid { .. })
    }

    pub(crate) fn invalid(reason: &'static str) -> TxReject {
        TxReject::Invalid {
            reason,
            detail: String::new(),
        }
    }

    pub(crate) fn refused(reason: &'static str) -> TxReject {
        TxReject::refused_with(reason, String::new())
    }

    pub(crate) fn refused_with(reason: &'static str, detail: String) -> TxReject {
        TxReject::Refused { reason, detail }
    }
}
