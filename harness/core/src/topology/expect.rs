//! Expectations as written in the file: what each key means, its values and its default; and a
//! resolved one written back. What an expectation is in itself, `experiment::expectation` has.

use peerlab_link::Nanos;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Amount, Below, Rate, Share};
use super::words::EndWord;
use super::written::Written;
use crate::experiment::{Disturbance, Expectation, NodeQuantile};

/// How far a live node may be behind and still agree.
pub const LAG_DEFAULT: u32 = 1;

/// Something that must hold. Exactly one key says what.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an expectation")]
pub struct Expect {
    /// After a disturbance all live nodes agree on a tip within a time.
    pub converged: Option<Converged>,
    /// After a disturbance all live nodes say the same within a time.
    pub agree: Option<Agree>,
    /// At the end all live nodes have the same tip and the same set of unspent outputs.
    pub same_ledger: Option<SameLedger>,
    /// What becomes of double spends.
    pub double_spend: Option<DoubleSpendOutcome>,
    /// Depth of the deepest reorganisation of any node, blocks.
    pub reorg_depth: Option<ReorgDepth>,
    /// Share of the blocks mined in the run that are not in the final chain.
    pub stale_rate: Option<StaleRate>,
    /// That no miner gets more or less of the chain than it mined.
    pub rewards: Option<Rewards>,
    /// Time until a part of the nodes have a block; the median over the blocks counts.
    pub propagation: Option<Propagation>,
    /// Bytes per second on each node's wire, sent and received together.
    pub bandwidth: Option<Bandwidth>,
    /// Nodes that live at the end.
    pub nodes_up: Option<NodesUp>,
}

/// All live nodes agree.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `converged`")]
pub struct Converged {
    /// From the end of the disturbance to the start of the agreement, at most.
    pub within: Written<Nanos>,
    /// The disturbance: `heal`, each partition that heals; or `settle`, the start of the settle
    /// phase. Default: `settle`.
    pub of: Option<Written<Disturbance>>,
    /// How many blocks a node may be behind and still agree. Default: 1.
    pub lag: Option<Written<u32>>,
    /// How long the agreement must last. Default: one block interval, or 5 s without mining.
    pub hold: Option<Written<Nanos>>,
}

/// All live nodes say the same: their probe's value, or their best block.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of `agree`: within, of, hold"
)]
pub struct Agree {
    /// From the end of the disturbance to the start of the agreement, at most.
    pub within: Written<Nanos>,
    /// The disturbance, as for `converged`. Default: `settle`.
    pub of: Option<Written<Disturbance>>,
    /// How long the agreement must last. Default: one block interval, or 5 s without mining.
    pub hold: Option<Written<Nanos>>,
}

/// The same ledger everywhere.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `same_ledger`: at")]
pub struct SameLedger {
    /// When: `end`. Default: `end`.
    pub at: Option<Written<EndWord>>,
}

/// What becomes of double spends.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of `double_spend`: confirmed"
)]
pub struct DoubleSpendOutcome {
    /// How many of the two conflicting transactions are in the final chain: 0, 1 or 2. (A ledger
    /// that works confirms 1.)
    pub confirmed: Written<u32>,
}

/// Depth of reorganisations.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `reorg_depth`: min, max")]
pub struct ReorgDepth {
    /// At least so deep: the fault had an effect. Default: no bound.
    pub min: Option<Written<u32>>,
    /// At most so deep. Default: no bound.
    pub max: Option<Written<u32>>,
}

/// Blocks that were mined in vain.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `stale_rate`: max")]
pub struct StaleRate {
    /// At most, as `5%`.
    pub max: Written<Share>,
}

/// Each miner's part of the final chain, against its part of all blocks that were mined.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `rewards`: of, within")]
pub struct Rewards {
    /// Which miners are judged: a group.
    pub of: String,
    /// How far the one may be from the other, as a share of the latter: with `10%` a miner of 20 %
    /// of the blocks has from 18 % to 22 % of the chain.
    pub within: Written<Share>,
}

/// Time for a block to spread. At least one of `p50`, `p90` and `p99`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of `propagation`: p50, p90, p99, phase"
)]
pub struct Propagation {
    /// Until half of the live nodes have it.
    pub p50: Option<Written<Below<Nanos>>>,
    /// Until 90 % of the live nodes have it.
    pub p90: Option<Written<Below<Nanos>>>,
    /// Until 99 % of the live nodes have it.
    pub p99: Option<Written<Below<Nanos>>>,
    /// Only blocks born in this phase. Default: all.
    pub phase: Option<String>,
}

/// Bytes per second of a node. At least one of `mean`, `p50`, `p95` and `max`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of `bandwidth`: mean, p50, p95, max, phase"
)]
pub struct Bandwidth {
    /// Mean over the nodes.
    pub mean: Option<Written<Below<Rate>>>,
    /// Median over the nodes.
    pub p50: Option<Written<Below<Rate>>>,
    /// 95th percentile over the nodes.
    pub p95: Option<Written<Below<Rate>>>,
    /// The busiest node.
    pub max: Option<Written<Below<Rate>>>,
    /// Only in this phase. Default: the whole run.
    pub phase: Option<String>,
}

/// Nodes that live at the end.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `nodes_up`: min")]
pub struct NodesUp {
    /// At least so many, or such a part, as `12` or `90%`.
    pub min: Written<Amount>,
}

impl From<&Expectation> for Expect {
    fn from(expectation: &Expectation) -> Expect {
        let mut expect = Expect::default();
        match expectation {
            Expectation::Converged {
                within,
                of,
                lag,
                hold,
            } => {
                expect.converged = Some(Converged {
                    within: Written::of(*within),
                    of: Some(Written::of(*of)),
                    lag: (*lag != LAG_DEFAULT).then(|| Written::of(*lag)),
                    hold: Some(Written::of(*hold)),
                });
            }
            Expectation::Agree { within, of, hold } => {
                expect.agree = Some(Agree {
                    within: Written::of(*within),
                    of: Some(Written::of(*of)),
                    hold: Some(Written::of(*hold)),
                });
            }
            Expectation::SameLedger => {
                let at = Some(Written::of(EndWord));
                expect.same_ledger = Some(SameLedger { at });
            }
            Expectation::DoubleSpend { confirmed } => {
                let confirmed = Written::of(*confirmed);
                expect.double_spend = Some(DoubleSpendOutcome { confirmed });
            }
            Expectation::ReorgDepth { min, max } => {
                let bound = |depth: &Option<u32>| depth.map(Written::of);
                let (min, max) = (bound(min), bound(max));
                expect.reorg_depth = Some(ReorgDepth { min, max });
            }
            Expectation::StaleRate { max } => {
                let max = Written::of(Share(*max));
                expect.stale_rate = Some(StaleRate { max });
            }
            Expectation::Rewards { of, within } => {
                expect.rewards = Some(Rewards {
                    of: of.clone(),
                    within: Written::of(Share(*within)),
                });
            }
            Expectation::Propagation {
                quantile,
                below,
                phase,
            } => {
                let bound = |of: u8| (of == *quantile).then(|| Written::of(Below(*below)));
                expect.propagation = Some(Propagation {
                    p50: bound(50),
                    p90: bound(90),
                    p99: bound(99),
                    phase: phase.clone(),
                });
            }
            Expectation::Bandwidth { of, below, phase } => {
                let below = Below(Rate { bps: below * 8 });
                let bound = |it: NodeQuantile| (it == *of).then(|| Written::of(below));
                expect.bandwidth = Some(Bandwidth {
                    mean: bound(NodeQuantile::Mean),
                    p50: bound(NodeQuantile::P50),
                    p95: bound(NodeQuantile::P95),
                    max: bound(NodeQuantile::Max),
                    phase: phase.clone(),
                });
            }
            Expectation::NodesUp { min } => {
                let min = Written::of(Amount::Count(*min));
                expect.nodes_up = Some(NodesUp { min });
            }
        }
        expect
    }
}
