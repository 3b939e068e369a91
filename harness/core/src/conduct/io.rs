//! All that goes into the conductor and all that comes out of it, apart from the events of the
//! record. What an [`Order`] means on an engine is that engine's affair.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use peerlab_link::proto::{Action, NodeCounters, NodeUsage, Seen};
use peerlab_link::{Nanos, NodeId};
use serde::Deserialize;

use crate::event::{Joined, Tip, What};
use crate::experiment::{FaultKind, Nodes};
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
        /// What was seen of it, or why it had no effect.
        result: Result<Seen, String>,
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
    /// Answers [`Order::Join`].
    Joined {
        node: NodeId,
        /// Why it cannot take part, if so.
        result: Result<(), String>,
    },
    /// Answers [`Order::Remove`].
    Removed {
        node: NodeId,
        /// What may be left of it, if so.
        result: Result<(), String>,
    },
    /// Somebody wants something that is not in the plan. What came of it is told by
    /// [`super::Conductor::poll_done`].
    Command {
        /// For the answer.
        ticket: Ticket,
        command: Command,
    },
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
    /// A node says something else than before.
    Said {
        /// Which.
        node: NodeId,
        /// As in [`Order::Follow`].
        incarnation: u32,
        /// What.
        said: Said,
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
        /// Who was asked.
        node: NodeId,
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
    /// Answers [`Order::Submit`].
    Submitted {
        /// Who was asked.
        node: NodeId,
        /// The transaction.
        txid: String,
        /// As in the order.
        double_spend: Option<u32>,
        /// Why the node did not take it, if it did not.
        result: Result<(), String>,
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
    /// A node that was started has not answered its probe yet.
    Unready {
        /// Which.
        node: NodeId,
        /// As in [`Order::Follow`].
        incarnation: u32,
        /// What came of asking.
        reason: String,
    },
    /// One node of [`Order::AskAccounts`] is done with, whether it answered or not.
    Accounted,
    /// What only the record needs, and what waits for nothing there: what a node says to
    /// [`Order::AskAccounts`], or why it does not, how well the host keeps up.
    Recorded(What),
}

/// What a node says: that on which nodes can agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its best block.
    Tip(Tip),
    /// Whatever its probe makes out, of one that has no chain to tell of.
    Value(String),
    /// It answers, and says nothing on which nodes could agree, or nothing any more.
    Nothing,
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

/// Tells requests by hand apart. Whoever hands them in chooses it, another one each time.
pub type Ticket = u64;

/// What somebody asks for by hand. The nodes that it names are the network's. All of it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Workload actions, now.
    Act(Vec<Work>),
    /// There are some nodes more, with the next ids. Each is started as soon as it is there.
    Join(Vec<Joined>),
    /// Nodes stop, and end for good.
    Remove(Vec<NodeId>),
    /// A fault, now.
    Fault {
        /// What.
        kind: FaultKind<Nodes>,
        /// How long; `None` until it is ended by hand.
        lasts: Option<Nanos>,
    },
    /// Partitions, worse links and slow programs end, now; or whatever is in force.
    Heal {
        /// Nodes that are down or frozen come back as well.
        all: bool,
    },
    /// These faults by hand end, now; a node that another holds down stays so.
    End(Vec<u32>),
    /// Nodes that are down or frozen, by hand or by themselves, come back.
    Start(Vec<NodeId>),
    /// A network that stays comes to its end.
    Finish,
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
        /// When its program was started, which a thaw is not.
        began: Nanos,
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
    /// Make a node more, whose program does not run yet; answered by [`Input::Joined`].
    Join(Box<Joined>),
    /// Remove whatever ran a node's program, which has ended; answered by [`Input::Removed`].
    Remove { node: NodeId },
    /// Read the traffic counters.
    Count,
    /// Have each of these nodes measured from inside.
    MeasureUsage {
        /// Whose.
        nodes: Vec<NodeId>,
        /// Whether their memory is wanted.
        memory: bool,
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
