//! What can be expected of a run.

use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};

use super::Ability;

/// What must hold for exit code 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// Live nodes agree on a tip within a time of a disturbance's end, for as long as `hold`.
    Converged {
        /// Bound on the time to converge.
        within: Nanos,
        /// The disturbance whose end is meant.
        of: Disturbance,
        /// A live node may be this many blocks behind.
        lag: u32,
        /// How long agreement must last.
        hold: Nanos,
    },
    /// At the end all live nodes have the same tip and the same ledger state (muhash).
    SameLedger,
    /// Of every double spend exactly this many of the two transactions are in the final chain.
    DoubleSpend {
        /// 0, 1 or 2.
        confirmed: u32,
    },
    /// Depth of the deepest reorganisation of any node, blocks.
    ReorgDepth {
        /// At least.
        min: Option<u32>,
        /// At most.
        max: Option<u32>,
    },
    /// Time from a block's birth until a share of the live nodes have it.
    Propagation {
        /// Share of nodes, percent: 50, 90 or 99.
        quantile: u8,
        /// The median over blocks of that time must be below this.
        below: Nanos,
        /// Only blocks born in this phase.
        phase: Option<String>,
    },
    /// Bytes per second on the wire, sent plus received.
    Bandwidth {
        /// Over which nodes' figures.
        of: NodeQuantile,
        /// Must be below this, bytes per second.
        below: u64,
        /// Only in this phase.
        phase: Option<String>,
    },
    /// At the end at least this many nodes are live.
    NodesUp {
        /// Count.
        min: u32,
    },
}

impl Expectation {
    /// What every node must be able to tell for it.
    pub fn needs(&self) -> Ability {
        match self {
            Expectation::Converged { .. }
            | Expectation::ReorgDepth { .. }
            | Expectation::Propagation { .. } => Ability::Chain,
            Expectation::SameLedger | Expectation::DoubleSpend { .. } => Ability::Ledger,
            Expectation::Bandwidth { .. } | Expectation::NodesUp { .. } => Ability::Up,
        }
    }
}

/// The end of which disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disturbance {
    /// Every partition that heals, each judged.
    Heal,
    /// The start of the settle phase, when everything has been healed.
    Settle,
}

/// A figure over the nodes' figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeQuantile {
    /// Arithmetic mean.
    Mean,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// Greatest.
    Max,
}
