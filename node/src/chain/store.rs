//! The contract between the chain and whatever keeps its data: block bodies, the index of known
//! blocks, undo data, the coins and the tip, written in atomic batches. The chain decides what is
//! written; the store keeps it, and says at start-up what was damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash, OutPoint};

use super::coin::Coin;
use super::entry::{BlockStatus, HeaderEntry};
use super::muhash::MuHash;

/// The store cannot keep its word. The node must end: what it would say from now on may not be
/// what it will know after the next start.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed (disk full, device gone, no permission ...).
    #[error("the store cannot be {doing}: {cause}")]
    Io {
        /// "read", "written", ...
        doing: &'static str,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// Another process has the store open.
    #[error("the store is in use by another process: {0}")]
    InUse(String),
    /// Bytes changed under the running node.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// The coins that a connected block spent: what is needed to take it off again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockUndo {
    /// Coins of earlier blocks, as they were.
    pub spent: Vec<(OutPoint, Coin)>,
}

/// What the index keeps of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRecord {
    /// Its header.
    pub header: Header,
    /// How far it has come. A block without a body is kept when it is invalid, so that it is not
    /// fetched again, and when a stored body stands on it.
    pub status: BlockStatus,
    /// Transactions in it, if the body was seen.
    pub tx_count: Option<u32>,
    /// See [`HeaderEntry`]: when the chain up to it was complete; 0 if not yet.
    pub sequence: u64,
}

impl IndexRecord {
    /// Of an entry as it now stands.
    pub(crate) fn of(entry: &HeaderEntry) -> IndexRecord {
        IndexRecord {
            header: entry.header,
            status: entry.status,
            tx_count: entry.tx_count,
            sequence: entry.sequence,
        }
    }
}

/// The state after the tip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The tip.
    pub tip: BlockHash,
    /// How many coins there are.
    pub coins: u64,
    /// The running hash of the coins.
    pub muhash: MuHash,
}

/// Changes that take effect together, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New bodies.
    pub blocks: BTreeMap<BlockHash, Arc<Block>>,
    /// Bodies that turned out invalid and need not be kept.
    pub dropped_blocks: BTreeSet<BlockHash>,
    /// New or changed index records.
    pub index: BTreeMap<BlockHash, IndexRecord>,
    /// Undo data of blocks connected (`Some`) or disconnected (`None`).
    pub undos: BTreeMap<BlockHash, Option<Arc<BlockUndo>>>,
    /// Coins that are there afterwards (`Some`) or are not (`None`).
    pub coins: BTreeMap<OutPoint, Option<Coin>>,
    /// The state afterwards, if it changed.
    pub state: Option<State>,
    /// Bytes of the new bodies, so that a batch of many can be bounded.
    pub block_bytes: usize,
}

impl Batch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.dropped_blocks.is_empty()
            && self.index.is_empty()
            && self.undos.is_empty()
            && self.coins.is_empty()
            && self.state.is_none()
    }
}

/// Everything but bodies and undo data, as read at start-up.
#[derive(Debug, Default)]
pub struct Loaded {
    /// All index records.
    pub index: BTreeMap<BlockHash, IndexRecord>,
    /// All coins.
    pub coins: Vec<(OutPoint, Coin)>,
    /// The state; `None` for a new store.
    pub state: Option<State>,
    /// What was found damaged. If anything was, the rest must not be trusted either.
    pub damage: Vec<Damage>,
}

/// Something in the store is not as the node wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {what}")]
pub struct Damage {
    /// Which part: "file", "blocks", "coins", ...
    pub part: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl Damage {
    /// Names the part and what is wrong with it.
    pub fn new(part: &'static str, what: impl Into<String>) -> Damage {
        Damage {
            part,
            what: what.into(),
        }
    }
}

/// What is sound in a damaged store.
pub struct Salvage {
    /// Sound index records. More of them may be here than in the tables, which may be cut off.
    pub index: BTreeMap<BlockHash, IndexRecord>,
    /// Sound bodies, parents before children as far as the index knows.
    pub bodies: Box<dyn Iterator<Item = Block>>,
}

/// A place to keep the chain. Genesis is built in and never stored.
pub trait Store: Send {
    /// Reads and verifies everything. Called once, first.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Makes a batch durable: when this returns, it survives the death of process and machine.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// A body, checked against its hash.
    fn block(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError>;

    /// The undo data of a connected block.
    fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError>;

    /// After damage: starts an empty store and hands over the sound bodies of the old one, which
    /// stays in place until [`Store::seal`].
    fn start_over(&mut self) -> Result<Salvage, StoreError>;

    /// After [`Store::start_over`]: the new store replaces the old one, which is moved aside.
    /// Says where to, for the report.
    fn seal(&mut self) -> Result<Option<String>, StoreError>;
}
