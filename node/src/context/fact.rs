//! What one sub-protocol found that others have to know. It is noted in the [`super::Context`], and
//! `machine/core.rs` alone knows who is notified.

use bitcoin::BlockHash;

use crate::chain::BlockAccepted;
use crate::io::PeerId;
use crate::wire::NamedTransaction;

/// A fact.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    /// A handshake is done.
    PeerReady(PeerId),
    /// A peer did what no honest one does.
    PeerMisbehaved(PeerId),
    /// A connection is being closed by this node: what was asked of it is to be asked of others.
    PeerClosing(PeerId),
    /// A peer's block was taken in, and the active chain may have changed.
    BlockAccepted {
        /// Who gave it.
        from: PeerId,
        /// Which.
        hash: BlockHash,
        /// What it did to the chain.
        accepted: BlockAccepted,
    },
    /// A transaction was refused by the mempool, or let go; a block may still have it.
    TransactionDropped(NamedTransaction),
}
