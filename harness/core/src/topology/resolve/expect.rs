//! Expectations: that what they speak of exists, and can be told within the run.

use peerlab_link::Nanos;

use super::abilities::require;
use super::known::Known;
use super::problems::{At, seconds};
use crate::experiment::{Disturbance, Expectation, NodeQuantile};
use crate::topology::expect::{self as file, Expect, LAG_DEFAULT};
use crate::topology::marked::Path;
use crate::topology::resolved::{Fault, Ledger};
use crate::topology::suggest::did_you_mean;
use crate::topology::units::{Below, Rate, Share};
use crate::topology::written::{Value, Written};

/// How long agreement lasts when no block interval says it.
const HOLD_DEFAULT: Nanos = Nanos::from_secs(5);

/// What else the experiment says.
pub struct Circumstances<'a> {
    /// Nodes and phases.
    pub known: Known<'a>,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The faults; those with mistakes are `None`.
    pub faults: &'a [Option<Fault>],
}

impl Circumstances<'_> {
    /// Whether a fault of this kind is there, or one with mistakes, which could be.
    fn may_have(&self, is: impl Fn(&Fault) -> bool) -> bool {
        let mut faults = self.faults.iter();
        faults.any(|fault| fault.as_ref().is_none_or(&is))
    }

    /// That blocks are mined.
    fn need_blocks(&self, at: &At, what_for: &str) {
        if !self.ledger.mines() {
            at.add(
                format!("there are no blocks to {what_for}"),
                "`ledger` has neither `block_interval` nor `blocks`",
                "add `ledger: { block_interval: 10s }`, or remove the expectation",
            );
        }
    }
}

/// Resolves the expectations; each with where it is written.
pub fn resolve_expect(
    at: &At,
    expect: Vec<Expect>,
    circumstances: &Circumstances<'_>,
) -> Vec<(Expectation, Path)> {
    let mut resolved = Vec::new();
    for (index, one) in expect.into_iter().enumerate() {
        let at = at.item(index);
        // One entry may be resolved into several expectations of the same kind.
        let one = resolve_one(&at, one, circumstances);
        if let Some(expectation) = one.first() {
            require(&at, expectation.needs(), circumstances.known.groups);
        }
        resolved.extend(one.into_iter().map(|one| (one, at.path.clone())));
    }
    resolved
}

fn resolve_one(at: &At, expect: Expect, circumstances: &Circumstances<'_>) -> Vec<Expectation> {
    let keys = [
        expect.converged.is_some(),
        expect.agree.is_some(),
        expect.same_ledger.is_some(),
        expect.double_spend.is_some(),
        expect.reorg_depth.is_some(),
        expect.stale_rate.is_some(),
        expect.rewards.is_some(),
        expect.propagation.is_some(),
        expect.bandwidth.is_some(),
        expect.nodes_up.is_some(),
    ];
    let count = keys.into_iter().filter(|there| *there).count();
    if count != 1 {
        at.add(
            "an expectation says one thing",
            format!("{count} of its keys are there"),
            "begin each with a dash of its own: `- converged: { within: 20s }`",
        );
        return Vec::new();
    }
    let mut resolved = Vec::new();
    if let Some(converged) = expect.converged {
        resolved.extend(resolve_converged(at, converged, circumstances));
    }
    if let Some(agree) = expect.agree {
        let agreement = resolve_agreement(&at.key("agree"), agree, circumstances);
        let agree = |(within, of, hold)| Expectation::Agree { within, of, hold };
        resolved.extend(agreement.map(agree));
    }
    if let Some(same_ledger) = expect.same_ledger {
        at.key("same_ledger").key("at").optional(same_ledger.at);
        resolved.push(Expectation::SameLedger);
    }
    if let Some(outcome) = expect.double_spend {
        resolved.extend(resolve_double_spend(at, outcome, circumstances));
    }
    if let Some(depth) = expect.reorg_depth {
        resolved.extend(resolve_depth(&at.key("reorg_depth"), depth));
    }
    if let Some(stale_rate) = expect.stale_rate {
        let at = at.key("stale_rate");
        circumstances.need_blocks(&at, "become stale");
        let max = at.key("max").value(stale_rate.max);
        resolved.extend(max.map(|Share(max)| Expectation::StaleRate { max }));
    }
    if let Some(rewards) = expect.rewards {
        resolved.extend(resolve_rewards(at, rewards, circumstances));
    }
    if let Some(propagation) = expect.propagation {
        resolved.extend(resolve_propagation(at, propagation, circumstances));
    }
    if let Some(bandwidth) = expect.bandwidth {
        resolved.extend(resolve_bandwidth(at, bandwidth, circumstances));
    }
    if let Some(nodes_up) = expect.nodes_up {
        resolved.extend(resolve_nodes_up(at, nodes_up, circumstances));
    }
    resolved
}

fn resolve_converged(
    at: &At,
    converged: file::Converged,
    circumstances: &Circumstances<'_>,
) -> Option<Expectation> {
    let at = &at.key("converged");
    let file::Converged {
        within,
        of,
        lag,
        hold,
    } = converged;
    let lag = at.key("lag").optional(lag).unwrap_or(LAG_DEFAULT);
    let agree = file::Agree { within, of, hold };
    let (within, of, hold) = resolve_agreement(at, agree, circumstances)?;
    Some(Expectation::Converged {
        within,
        of,
        lag,
        hold,
    })
}

/// Within which time of what nodes must agree, and for how long.
fn resolve_agreement(
    at: &At,
    agree: file::Agree,
    circumstances: &Circumstances<'_>,
) -> Option<(Nanos, Disturbance, Nanos)> {
    let within = at.key("within").value(agree.within);
    let of = at.key("of").optional(agree.of);
    let of = of.unwrap_or(Disturbance::Settle);
    let hold = at.key("hold").optional(agree.hold);
    let hold = hold.or(circumstances.ledger.block_interval());
    let hold = hold.unwrap_or(HOLD_DEFAULT);
    let partition = |fault: &Fault| fault.kind.sides().is_some();
    let heals = |fault: &Fault| partition(fault) && fault.end.is_some();
    if of == Disturbance::Heal && !circumstances.may_have(heals) {
        let cause = if circumstances.may_have(partition) {
            "its partition is `until: never`"
        } else {
            "it has no partition"
        };
        at.key("of").add(
            "nothing heals in this experiment",
            cause,
            "write `of: settle`, or add a partition that heals",
        );
    }
    let (within, phases) = (within?, circumstances.known.phases?);
    let healing = circumstances
        .faults
        .iter()
        .flatten()
        .filter(|fault| heals(fault));
    let from = match of {
        Disturbance::Settle => None,
        Disturbance::Heal => healing.filter_map(|fault| fault.end).max(),
    };
    let from = from.unwrap_or(phases.settle_start());
    let left = phases.end().saturating_sub(from);
    let needed = within.saturating_add(hold);
    if needed > left {
        at.key("within").add(
            "the run ends too early to tell",
            format!(
                "the disturbance ends at {}, so {} are left; agreement within {} that lasts {} needs {}",
                seconds(from),
                seconds(left),
                seconds(within),
                seconds(hold),
                seconds(needed)
            ),
            "lengthen `phases.settle`, or lower `within` or `hold`",
        );
    }
    Some((within, of, hold))
}

fn resolve_double_spend(
    at: &At,
    outcome: file::DoubleSpendOutcome,
    circumstances: &Circumstances<'_>,
) -> Option<Expectation> {
    let at = &at.key("double_spend");
    if !circumstances.may_have(|fault| fault.kind.across().is_some()) {
        at.add(
            "there is no double spend to judge",
            "no fault of this experiment is one",
            "add a fault `double_spend: { across: partition }`, or remove the expectation",
        );
    }
    let at = at.key("confirmed");
    let confirmed = at.value(outcome.confirmed)?;
    if confirmed > 2 {
        at.add(
            format!("{confirmed} transactions cannot be confirmed"),
            "a double spend has two",
            "write 0, 1 or 2",
        );
    }
    Some(Expectation::DoubleSpend { confirmed })
}

fn resolve_depth(at: &At, depth: file::ReorgDepth) -> Option<Expectation> {
    let min = at.key("min").optional(depth.min);
    let max = at.key("max").optional(depth.max);
    match (min, max) {
        (None, None) if at.none() => at.add(
            "no bound is given",
            "neither `min` nor `max` is there",
            "add one, as `max: 6`",
        ),
        (Some(low), Some(high)) if low > high => at.add(
            "no depth can satisfy this",
            "`min` is above `max`",
            "swap the two",
        ),
        _ => return Some(Expectation::ReorgDepth { min, max }),
    }
    None
}

fn resolve_rewards(
    at: &At,
    rewards: file::Rewards,
    circumstances: &Circumstances<'_>,
) -> Option<Expectation> {
    let at = &at.key("rewards");
    circumstances.need_blocks(at, "be rewarded for");
    let (of, known) = (rewards.of, circumstances.known);
    if known.group(&of).is_none() {
        at.key("of").unknown("group", &of, known.group_names());
    }
    let Share(within) = at.key("within").value(rewards.within)?;
    Some(Expectation::Rewards { of, within })
}

fn resolve_propagation(
    at: &At,
    propagation: file::Propagation,
    circumstances: &Circumstances<'_>,
) -> Vec<Expectation> {
    let at = &at.key("propagation");
    circumstances.need_blocks(at, "propagate");
    let phase = resolve_phase(&at.key("phase"), propagation.phase, circumstances);
    let bounds = [
        ("p50", 50, propagation.p50),
        ("p90", 90, propagation.p90),
        ("p99", 99, propagation.p99),
    ];
    let bounds = resolve_bounds(at, bounds, "p90: < 2s").into_iter();
    let expectation = |(quantile, Below(below))| Expectation::Propagation {
        quantile,
        below,
        phase: phase.clone(),
    };
    bounds.map(expectation).collect()
}

fn resolve_bandwidth(
    at: &At,
    bandwidth: file::Bandwidth,
    circumstances: &Circumstances<'_>,
) -> Vec<Expectation> {
    let at = &at.key("bandwidth");
    let phase = resolve_phase(&at.key("phase"), bandwidth.phase, circumstances);
    let bounds = [
        ("mean", NodeQuantile::Mean, bandwidth.mean),
        ("p50", NodeQuantile::P50, bandwidth.p50),
        ("p95", NodeQuantile::P95, bandwidth.p95),
        ("max", NodeQuantile::Max, bandwidth.max),
    ];
    let bounds = resolve_bounds(at, bounds, "p95: < 80 kB/s").into_iter();
    let expectation = |(of, Below(below)): (_, Below<Rate>)| Expectation::Bandwidth {
        of,
        below: below.bps / 8,
        phase: phase.clone(),
    };
    bounds.map(expectation).collect()
}

/// The bounds that are written, of which there must be one at least.
fn resolve_bounds<K, T: Value, const N: usize>(
    at: &At,
    bounds: [(&'static str, K, Option<Written<T>>); N],
    example: &str,
) -> Vec<(K, T)> {
    if bounds.iter().all(|(.., bound)| bound.is_none()) {
        let keys = bounds.each_ref().map(|(key, ..)| *key);
        let (last, others) = keys.split_last().unwrap_or((&"", &[]));
        at.add(
            "no bound is given",
            format!("none of {} and {last} is there", others.join(", ")),
            format!("add one, as `{example}`"),
        );
    }
    let resolve = |(key, of, bound)| Some((of, at.key(key).optional(bound)?));
    bounds.into_iter().filter_map(resolve).collect()
}

fn resolve_nodes_up(
    at: &At,
    nodes_up: file::NodesUp,
    circumstances: &Circumstances<'_>,
) -> Option<Expectation> {
    let at = &at.key("nodes_up").key("min");
    let nodes = circumstances.known.count();
    let min = at.value(nodes_up.min)?.of(nodes as usize);
    if min > nodes as usize {
        at.add(
            "there are not so many nodes",
            format!("this experiment has {nodes}"),
            "write at most that, or `100%`",
        );
    }
    let min = u32::try_from(min).unwrap_or(u32::MAX);
    Some(Expectation::NodesUp { min })
}

/// That the phase exists.
fn resolve_phase(
    at: &At,
    phase: Option<String>,
    circumstances: &Circumstances<'_>,
) -> Option<String> {
    let phase = phase?;
    let phases = circumstances.known.phases;
    // That of `settle` is never zero.
    let length = match phase.as_str() {
        "warmup" => phases.map(|phases| phases.warmup),
        "faults" => phases.map(|phases| phases.faults),
        "settle" => None,
        _ => {
            at.add(
                format!("unknown phase `{phase}`"),
                "a run has no phase of that name",
                did_you_mean(&phase, ["warmup", "faults", "settle"], || {
                    "there are warmup, faults and settle".to_owned()
                }),
            );
            return None;
        }
    };
    if length == Some(Nanos::ZERO) {
        at.add(
            format!("the phase `{phase}` is empty"),
            "its length in `phases` is zero",
            "give it a length, or name another phase",
        );
    }
    Some(phase)
}

#[cfg(test)]
mod tests {
    use crate::experiment::Expectation;
    use crate::topology;

    const EXPERIMENT: &str = "name: x
phases: { warmup: 4s, settle: 60s }
nodes: { a: { count: 2, hashpower: 1 } }
ledger: { block_interval: 2s }
expect:
  - same_ledger: { at: end }
  # One entry, two expectations.
  - propagation: { p50: < 1s, p90: < 2s }
  - nodes_up:
      min: 100%
";

    #[test]
    fn each_expectation_knows_the_line_that_it_is_written_in() {
        let mut topology = topology::parse("x.yaml", EXPERIMENT).unwrap();
        let lines = |topology: &topology::Topology| -> Vec<usize> {
            let places = topology.expect_places();
            places.iter().map(|place| place.line).collect()
        };
        assert_eq!(lines(&topology), [6, 8, 8, 9]);
        let place = &topology.expect_places()[3];
        assert_eq!((place.file.as_str(), place.column), ("x.yaml", 5));
        topology.retain_expectations(Expectation::holds_after_any_faults);
        assert_eq!(lines(&topology), [6, 9]);
    }
}
