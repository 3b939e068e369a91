//! What the tasks that wait for nodes tell the one that owns the run.

use peerlab_link::NodeId;
use tokio::time::Instant;

use peerlab_core::conduct::{BlockFacts, LedgerState, PeerSums};
use peerlab_core::event::Tip;

/// What a task found out, and when.
#[derive(Debug)]
pub struct Report {
    /// When it was known.
    pub at: Instant,
    /// What.
    pub finding: Finding,
}

impl Report {
    /// Known now.
    pub fn now(finding: Finding) -> Report {
        Report {
            at: Instant::now(),
            finding,
        }
    }
}

/// What a task found out.
#[derive(Debug)]
pub enum Finding {
    /// A node answers its probe for the first time in this life.
    Up {
        /// Which.
        node: NodeId,
        /// Which of its lives.
        life: u32,
    },
    /// A node's best block.
    Tip {
        /// Whose.
        node: NodeId,
        /// In which of its lives.
        life: u32,
        /// The block.
        tip: Tip,
    },
    /// The lottery's winner was asked to mine.
    Mined {
        /// The winner.
        node: NodeId,
        /// The new block's hash, or why there is none.
        result: Result<String, String>,
    },
    /// A transaction was submitted.
    Submitted {
        /// Where.
        node: NodeId,
        /// Its id.
        txid: String,
        /// The double-spend fault that it belongs to.
        double_spend: Option<u32>,
        /// Why it was refused, if it was.
        refused: Option<String>,
    },
    /// A block that was asked for, and those before it that were unknown; children first.
    Blocks {
        /// The block that was asked for.
        wanted: String,
        /// Empty when no node could tell.
        blocks: Vec<BlockFacts>,
    },
    /// A node's own counters.
    Peers {
        /// Whose.
        node: NodeId,
        /// The figures.
        sums: PeerSums,
    },
    /// A node's state at the end.
    Ledger {
        /// Whose.
        node: NodeId,
        /// The state.
        state: LedgerState,
    },
    /// A node that was asked for counters or state is done with, whether it answered or not.
    Asked,
}
