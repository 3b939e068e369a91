//! All that goes into the conductor and all that comes out of it, apart from the events of the
//! record. What an [`Order`] means on an engine is that engine's affair.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use peerlab_link::NodeId;
use peerlab_link::proto::{Action, NodeCounters, NodeUsage};
use serde::Deserialize;

use crate::event::{Tip, What};
use crate::ledger::Payment;
use crate::plan::spec::Work;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// [`super::Conductor::deadline`] has come.
    Timer,
    /// A line of the fault schedule, or an [`Order::Apply`], was carried out.
    Applied {
        /// Index into the plan's fault schedule, or the order's tag.
        tag: u32,
        /// Why it could not be, if so.
        error: Option<String>,
    },
    /// A node's program ended.
    Exited {
        /// Whose.
        node: NodeId,
        /// Exit code, or minus the signal.
        status: i32,
        /// Whether it was told to.
        asked: bool,
    },
    /// A node is lost: whatever runs its program is gone, and it cannot come back.
    Lost {
        /// Which.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// Something was read of the network, or done to it.
    Observed(Observation),
    /// Somebody wants something that is not in the plan.
    Command(Command),
}

/// What was read of the network, or done to it; most of it answers an [`Order`].
#[derive(Debug)]
pub enum Observation {
    /// A node answers its probe for the first time in this incarnation.
    Up {
        /// Which.
        node: NodeId,
        /// As in [`Order::Follow`].
        incarnation: u32,
    },
    /// A node's best block.
    Tip {
        /// Whose.
        node: NodeId,
        /// As in [`Order::Follow`].
        incarnation: u32,
        /// The block.
        tip: Tip,
    },
    /// What a node says, of one that has no chain to tell of.
    Value {
        /// Whose.
        node: NodeId,
        /// As in [`Order::Follow`].
        incarnation: u32,
        /// The value.
        value: String,
    },
    /// A block, from an engine that need not be asked for it. Its parent came before it.
    Block {
        /// The block.
        facts: BlockFacts,
        /// Who was asked to mine it.
        miner: Option<NodeId>,
    },
    /// Answers [`Order::AskBlocks`].
    Blocks {
        /// The block that was asked for.
        wanted: String,
        /// It, and those before it that were unknown; children first. Empty when the node could
        /// not tell.
        blocks: Vec<BlockFacts>,
    },
    /// Answers [`Order::Mine`].
    Mined {
        /// The miner.
        node: NodeId,
        /// The new block's hash, or why there is none.
        result: Result<String, String>,
    },
    /// Answers [`Order::Count`].
    Counters {
        /// One row per node.
        nodes: Vec<NodeCounters>,
    },
    /// Answers [`Order::MeasureUsage`], for one node.
    Usage {
        /// Whose.
        node: NodeId,
        /// What was measured.
        usage: NodeUsage,
    },
    /// One node of [`Order::AskAccounts`] is done with, whether it answered or not.
    Accounted,
    /// What only the record needs, and what waits for nothing there: what became of an
    /// [`Order::Submit`], what a node says to [`Order::AskAccounts`], how well the host keeps up.
    Recorded(What),
}

/// What is told about a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BlockFacts {
    /// Its hash.
    pub hash: String,
    /// Its height.
    pub height: u32,
    /// Its parent; the genesis block has none.
    #[serde(rename = "previousblockhash", default)]
    pub prev: String,
    /// Serialised size, bytes.
    pub size: u64,
    /// Transaction ids, the coinbase's first.
    pub tx: Vec<String>,
}

/// What somebody asks for by hand.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Change links or control a program, now. Of a link change the record tells nothing, since
    /// the faults that it tells of are the plan's.
    Apply(Action),
    /// A workload action, now.
    Act(Work),
    /// There is one node more, with the next id. It is down until it is started.
    Join,
}

/// What the engine is to do.
#[derive(Debug)]
pub enum Order {
    /// A node's program runs, or is about to: say when it answers, and what: each new best block, or
    /// each new value. With this incarnation.
    Follow {
        /// Whose.
        node: NodeId,
        /// The node's how many-th start or thaw this is.
        incarnation: u32,
    },
    /// A node is down or frozen: leave it alone.
    Leave {
        /// Which.
        node: NodeId,
    },
    /// Carry an action out at once; answered by [`Input::Applied`].
    Apply {
        /// For the answer.
        tag: u32,
        /// What to do.
        action: Action,
    },
    /// Read the traffic counters.
    Count,
    /// Have each of these nodes measured from inside.
    MeasureUsage {
        /// Whose.
        nodes: Vec<NodeId>,
    },
    /// Have a node mine one block.
    Mine {
        /// Who.
        node: NodeId,
    },
    /// Submit a transaction to a node.
    Submit {
        /// Where.
        node: NodeId,
        /// Which.
        payment: Arc<Payment>,
        /// The double-spend fault that it belongs to.
        double_spend: Option<u32>,
    },
    /// Ask a node for a block, and for those of its ancestors that are not known.
    AskBlocks {
        /// Who has it.
        node: NodeId,
        /// Its hash.
        hash: String,
        /// Where to stop.
        known: KnownBlocks,
    },
    /// Ask nodes for their counters and, where wanted, for their state.
    AskAccounts {
        /// Whom.
        nodes: Vec<NodeId>,
        /// Whether the state is wanted.
        ledger: bool,
    },
}

/// Blocks whose line is written. Shared with the tasks that ask for blocks, which stop at one.
#[derive(Clone, Debug, Default)]
pub struct KnownBlocks(Arc<RwLock<BTreeSet<String>>>);

impl KnownBlocks {
    /// Whether the block's line is written.
    pub fn contains(&self, hash: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.contains(hash)
    }

    pub(super) fn insert(&self, hash: String) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(hash);
    }
}
