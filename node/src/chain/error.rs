//! Why a header or a block was refused, in Bitcoin Core's words, and whether its sender is to be
//! punished. Failures of the store are kept apart: they are this node's fault, and end it.

use std::borrow::Cow;

use bitcoin::BlockHash;

use super::store::StoreError;

/// Why a header was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Its parent is not known: ask the sender for the headers between.
    #[error("prev-blk-not-found: {0}")]
    UnknownParent(BlockHash),
    /// The headers of one message do not follow each other.
    #[error("non-continuous headers sequence")]
    NotContinuous,
    /// The hash does not meet the target.
    #[error("high-hash")]
    HighHash,
    /// The target is not the one that the rules demand.
    #[error("bad-diffbits")]
    BadBits,
    /// Not later than the median of the 11 blocks before.
    #[error("time-too-old")]
    TimeTooOld,
    /// More than two hours ahead of this node's clock. It may become valid.
    #[error("time-too-new")]
    TimeTooNew,
    /// A version that the soft forks forbid.
    #[error("bad-version(0x{0:08x})")]
    BadVersion(u32),
    /// It builds on an invalid block.
    #[error("bad-prevblk")]
    InvalidParent,
    /// It is known to be invalid.
    #[error("duplicate-invalid")]
    KnownInvalid,
    /// The header tree is full, and this header leads nowhere better. Ask again when the tip has
    /// moved.
    #[error("too-many-headers")]
    TooManyHeaders,
}

impl HeaderError {
    /// Bitcoin Core's reject reason, without detail.
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            HeaderError::UnknownParent(_) => "prev-blk-not-found".into(),
            other => other.to_string().into(),
        }
    }

    /// Whether an honest peer could not have sent it.
    pub fn punish(&self) -> bool {
        !matches!(
            self,
            HeaderError::UnknownParent(_) | HeaderError::TimeTooNew | HeaderError::TooManyHeaders
        )
    }
}

/// A block breaks a rule of the consensus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}{detail}", if detail.is_empty() { "" } else { ": " })]
pub struct BlockInvalid {
    /// Bitcoin Core's reject reason.
    pub reason: &'static str,
    /// What exactly, for the log; may be empty.
    pub detail: String,
    /// Whether the fault may lie in this copy rather than in the block that the header names
    /// (a malleated body). Then the hash is not marked invalid, and another peer's copy is tried.
    pub mutated: bool,
}

impl BlockInvalid {
    pub(crate) fn new(reason: &'static str) -> BlockInvalid {
        BlockInvalid::with(reason, "")
    }

    pub(crate) fn with(reason: &'static str, detail: impl Into<String>) -> BlockInvalid {
        BlockInvalid {
            reason,
            detail: detail.into(),
            mutated: false,
        }
    }

    pub(crate) fn mutated(reason: &'static str) -> BlockInvalid {
        BlockInvalid {
            mutated: true,
            ..BlockInvalid::new(reason)
        }
    }
}

/// Why a block was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BlockError {
    /// Its header was.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Its body, or its place in the chain, breaks a rule.
    #[error(transparent)]
    Invalid(#[from] BlockInvalid),
    /// Too far above the tip to be kept now; ask for it later.
    #[error("too-far-ahead: height {height}, limit {height_max}")]
    TooFarAhead {
        /// Of the block.
        height: u32,
        /// The highest one that is kept now.
        height_max: u32,
    },
    /// The store failed. Nothing is known to be wrong with the block; the node must end.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BlockError {
    /// Bitcoin Core's reject reason, without detail.
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            BlockError::Header(error) => error.reason(),
            BlockError::Invalid(invalid) => invalid.reason.into(),
            BlockError::TooFarAhead { .. } => "too-far-ahead".into(),
            BlockError::Store(_) => "store-failed".into(),
        }
    }

    /// Whether an honest peer could not have sent it.
    pub fn punish(&self) -> bool {
        match self {
            BlockError::Header(error) => error.punish(),
            BlockError::Invalid(_) => true,
            BlockError::TooFarAhead { .. } | BlockError::Store(_) => false,
        }
    }

    /// The failure of the store, if that is what it is: the node must end.
    pub fn store_failure(&self) -> Option<&StoreError> {
        match self {
            BlockError::Store(error) => Some(error),
            _ => None,
        }
    }
}
