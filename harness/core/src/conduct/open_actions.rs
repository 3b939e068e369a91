//! Workload actions that were ordered and of which nothing was heard yet: none gets lost, whatever
//! its node does.

use peerlab_link::NodeId;

use super::outstanding::Outstanding;
use crate::event::{Reason, What};

/// Those that were ordered.
pub type OpenActions = Outstanding<OpenAction>;

/// A workload action as the record tells of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenAction {
    /// A block is mined.
    Mine {
        /// By whom.
        node: NodeId,
    },
    /// A transaction is submitted.
    Submit {
        /// To whom.
        node: NodeId,
        /// Which.
        txid: String,
        /// The double-spend fault that it belongs to.
        double_spend: Option<u32>,
    },
}

impl OpenAction {
    /// Whose it is.
    pub fn node(&self) -> NodeId {
        match self {
            OpenAction::Mine { node } | OpenAction::Submit { node, .. } => *node,
        }
    }

    /// The record's line where it did not happen.
    pub fn missed(self, reason: impl Into<Reason>) -> What {
        let reason = reason.into();
        match self {
            OpenAction::Mine { node } => What::MineMissed { node, reason },
            OpenAction::Submit {
                node,
                txid,
                double_spend,
            } => What::Transaction {
                node,
                txid,
                double_spend,
                refused: Some(reason),
            },
        }
    }
}
