//! The table of expectations: of each its key in a file, its bounds, what it measures and how that
//! is said, and whether `explore` may judge by it. How it is written in a file is
//! `topology::expect`; how it is measured, `check::verdict`.

use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};

use super::Ability;
use crate::words;

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
    /// Live nodes say the same within a time of a disturbance's end, for as long as `hold`.
    Agree {
        /// Bound on the time to agree.
        within: Nanos,
        /// The disturbance whose end is meant.
        of: Disturbance,
        /// How long agreement must last.
        hold: Nanos,
    },
    /// At the end all live nodes have the same tip and the same ledger state.
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
    /// Share of the blocks mined that are not in the final chain.
    StaleRate {
        /// At most, 0 to 1.
        max: f64,
    },
    /// Each miner's part of the final chain, against its part of the blocks that were mined. The
    /// draw of who mines when is then no unfairness.
    Rewards {
        /// The miners: a group, by its name.
        of: String,
        /// How far the one may be from the other, as a share of the latter.
        within: f64,
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
            | Expectation::StaleRate { .. }
            | Expectation::Rewards { .. }
            | Expectation::Propagation { .. } => Ability::Chain,
            Expectation::Agree { .. } => Ability::Value,
            Expectation::SameLedger | Expectation::DoubleSpend { .. } => Ability::Ledger,
            Expectation::Bandwidth { .. } | Expectation::NodesUp { .. } => Ability::Up,
        }
    }

    /// Its key in an experiment file, and the name of its check in reports.
    pub fn key(&self) -> &'static str {
        match self {
            Expectation::Converged { .. } => "converged",
            Expectation::Agree { .. } => "agree",
            Expectation::SameLedger => "same_ledger",
            Expectation::DoubleSpend { .. } => "double_spend",
            Expectation::ReorgDepth { .. } => "reorg_depth",
            Expectation::StaleRate { .. } => "stale_rate",
            Expectation::Rewards { .. } => "rewards",
            Expectation::Propagation { .. } => "propagation",
            Expectation::Bandwidth { .. } => "bandwidth",
            Expectation::NodesUp { .. } => "nodes_up",
        }
    }

    /// What is measured, in words.
    pub fn title(&self) -> String {
        match self {
            Expectation::Converged { of, .. } => format!("agreement after {}", of.title()),
            Expectation::Agree { of, .. } => format!("one value after {}", of.title()),
            Expectation::SameLedger => "one tip and one ledger state at the end".to_owned(),
            Expectation::DoubleSpend { .. } => {
                "conflicting transactions confirmed, of two".to_owned()
            }
            Expectation::ReorgDepth { .. } => "deepest reorganisation, blocks".to_owned(),
            Expectation::StaleRate { .. } => "stale blocks of those mined".to_owned(),
            Expectation::Rewards { of, .. } => {
                format!("share of the chain beside share of the blocks mined, each of {of}")
            }
            Expectation::Propagation {
                quantile, phase, ..
            } => {
                let within = in_phase(phase.as_deref());
                format!("a block reaches {quantile} % of nodes{within}")
            }
            Expectation::Bandwidth { of, phase, .. } => {
                let within = in_phase(phase.as_deref());
                format!("{} bandwidth of a node{within}", of.title())
            }
            Expectation::NodesUp { .. } => "nodes up at the end".to_owned(),
        }
    }

    /// What the measure has to be, in words.
    pub fn bound(&self) -> String {
        match self {
            Expectation::Converged { within, .. } | Expectation::Agree { within, .. } => {
                format!("<= {}", words::duration(*within))
            }
            Expectation::SameLedger => "all equal".to_owned(),
            Expectation::DoubleSpend { confirmed } => format!("exactly {confirmed}"),
            Expectation::ReorgDepth { min, max } => match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!(">= {min}"),
                (None, Some(max)) => format!("<= {max}"),
                (None, None) => "any".to_owned(),
            },
            Expectation::StaleRate { max } => format!("<= {}", words::percent(*max)),
            Expectation::Rewards { within, .. } => format!("within {}", words::percent(*within)),
            Expectation::Propagation { below, .. } => format!("< {}", words::duration(*below)),
            Expectation::Bandwidth { below, .. } => format!("< {}", words::rate(*below)),
            Expectation::NodesUp { min } => format!(">= {min}"),
        }
    }

    /// Whether it must hold after any faults: `explore` judges by these alone. It speaks of the
    /// end of the run, or of a time before any fault.
    pub fn holds_after_any_faults(&self) -> bool {
        match self {
            Expectation::Converged { of, .. } | Expectation::Agree { of, .. } => {
                *of == Disturbance::Settle
            }
            Expectation::SameLedger
            | Expectation::DoubleSpend { .. }
            | Expectation::NodesUp { .. } => true,
            Expectation::ReorgDepth { .. }
            | Expectation::StaleRate { .. }
            | Expectation::Rewards { .. } => false,
            Expectation::Propagation { phase, .. } | Expectation::Bandwidth { phase, .. } => {
                phase.as_deref() == Some("warmup")
            }
        }
    }

    /// What is left of it where there are no faults. That they have an effect is then not expected.
    pub fn without_faults(&self) -> Option<Expectation> {
        let mut left = self.clone();
        match &mut left {
            Expectation::Converged { of, .. } | Expectation::Agree { of, .. } => {
                *of = Disturbance::Settle;
            }
            Expectation::DoubleSpend { .. } => return None,
            Expectation::ReorgDepth { min, max } => {
                *min = None;
                (*max)?;
            }
            Expectation::SameLedger
            | Expectation::StaleRate { .. }
            | Expectation::Rewards { .. }
            | Expectation::Propagation { .. }
            | Expectation::Bandwidth { .. }
            | Expectation::NodesUp { .. } => {}
        }
        Some(left)
    }
}

/// ` in PHASE`, or nothing for the whole run.
pub fn in_phase(phase: Option<&str>) -> String {
    phase.map_or_else(String::new, |phase| format!(" in {phase}"))
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

impl Disturbance {
    /// As experiment files name it.
    pub fn word(self) -> &'static str {
        match self {
            Disturbance::Heal => "heal",
            Disturbance::Settle => "settle",
        }
    }

    /// As reports name it.
    fn title(self) -> &'static str {
        match self {
            Disturbance::Heal => "each heal",
            Disturbance::Settle => "settle",
        }
    }
}

impl NodeQuantile {
    /// As experiment files name it.
    pub fn word(self) -> &'static str {
        match self {
            NodeQuantile::Mean => "mean",
            NodeQuantile::P50 => "p50",
            NodeQuantile::P95 => "p95",
            NodeQuantile::Max => "max",
        }
    }

    /// As reports name it.
    pub fn title(self) -> &'static str {
        match self {
            NodeQuantile::Max => "greatest",
            NodeQuantile::Mean | NodeQuantile::P50 | NodeQuantile::P95 => self.word(),
        }
    }
}
