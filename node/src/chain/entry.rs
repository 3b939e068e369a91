//! What is known of one block without its body, and the answers about branches built from it.

use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};

use super::fingerprint::Fingerprint;

/// How far a block has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockStatus {
    /// Only the header is here.
    HeaderOnly,
    /// The body is stored and sound in itself; it was never connected.
    Stored,
    /// It was connected once: every rule held.
    Valid,
    /// It breaks a rule.
    Invalid,
    /// An ancestor breaks a rule.
    InvalidAncestor,
}

impl BlockStatus {
    /// Whether the body is stored.
    pub fn has_body(self) -> bool {
        matches!(self, BlockStatus::Stored | BlockStatus::Valid)
    }

    /// Whether it, or an ancestor, breaks a rule.
    pub fn is_invalid(self) -> bool {
        matches!(self, BlockStatus::Invalid | BlockStatus::InvalidAncestor)
    }
}

/// A block in the header tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEntry {
    /// Its hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
    /// Blocks below it.
    pub height: u32,
    /// Work of the chain up to and with it.
    pub work: Work,
    /// How far it has come.
    pub status: BlockStatus,
    /// Transactions in it, once the body was seen.
    pub tx_count: Option<u32>,
    /// When all bodies up to it were here: lower is earlier. 0 while some are missing, and for
    /// genesis.
    pub(crate) sequence: u64,
    /// Whether the store has it, or will with the next batch.
    pub(crate) noted: bool,
}

impl HeaderEntry {
    /// Stands for the block and how it stands. Of when it was complete only whether: see
    /// [`super::tree::HeaderTree::fingerprint`].
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let status = self.status as u64;
        let flags = [self.sequence > 0, self.noted, self.tx_count.is_some()];
        let bits = flags
            .iter()
            .fold(status, |bits, flag| bits << 1 | u64::from(*flag));
        Fingerprint::of(&self.hash, bits)
    }

    /// The block before.
    pub fn parent(&self) -> BlockHash {
        self.header.prev_blockhash
    }

    /// Whether the bodies of it and of all its ancestors are here.
    pub fn is_linked(&self) -> bool {
        self.status.has_body() && (self.sequence > 0 || self.height == 0)
    }
}

/// The state of a branch, in the words of getchaintips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainTipStatus {
    /// The tip of the active chain.
    Active,
    /// Fully validated, not active.
    ValidFork,
    /// All bodies are here, not validated (less work than the active chain).
    ValidHeaders,
    /// Some bodies are missing.
    HeadersOnly,
    /// Something in the branch breaks a rule.
    Invalid,
}

impl ChainTipStatus {
    /// As getchaintips writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ChainTipStatus::Active => "active",
            ChainTipStatus::ValidFork => "valid-fork",
            ChainTipStatus::ValidHeaders => "valid-headers",
            ChainTipStatus::HeadersOnly => "headers-only",
            ChainTipStatus::Invalid => "invalid",
        }
    }
}

/// The end of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainTip {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Blocks between it and the active chain; 0 for the active tip.
    pub branch_len: u32,
    /// Its state.
    pub status: ChainTipStatus,
}
