//! Expectations: that what they speak of exists, and can be told within the run.

use peerlab_link::Nanos;

use super::abilities::require;
use super::faults::seconds;
use super::problems::Problems;
use crate::experiment::{Disturbance, Expectation, NodeQuantile};
use crate::topology::expect::{self as file, Expect, LAG_DEFAULT};
use crate::topology::marked::Path;
use crate::topology::resolved::{Fault, Group, Ledger, Phases};
use crate::topology::suggest::closest;
use crate::topology::units::{Amount, Below, Count, Share};
use crate::topology::words::DisturbanceWord;
use crate::topology::written::{Value, Written};

/// How long agreement lasts when no block interval says it.
const HOLD_DEFAULT: Nanos = Nanos::from_secs(5);

/// What else the experiment says.
pub struct Circumstances<'a> {
    /// The phases, if they are right.
    pub phases: Option<Phases>,
    /// The groups of nodes.
    pub groups: &'a [Group],
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The faults; those with mistakes are `None`.
    pub faults: &'a [Option<Fault>],
    /// How many nodes there are.
    pub nodes: u32,
}

impl Circumstances<'_> {
    /// Whether a fault of this kind is there, or one with mistakes, which could be.
    fn may_have(&self, is: impl Fn(&Fault) -> bool) -> bool {
        self.faults
            .iter()
            .any(|fault| fault.as_ref().is_none_or(&is))
    }
}

/// Resolves the expectations.
pub fn resolve_expect(
    problems: &Problems,
    path: &Path,
    expect: Vec<Expect>,
    circumstances: &Circumstances<'_>,
) -> Vec<Expectation> {
    let mut resolved = Vec::new();
    for (index, one) in expect.into_iter().enumerate() {
        let (path, before) = (path.item(index), resolved.len());
        resolve_one(problems, &path, one, circumstances, &mut resolved);
        // One entry may be resolved into several expectations of the same kind.
        if let Some(expectation) = resolved.get(before) {
            require(problems, &path, expectation.needs(), circumstances.groups);
        }
    }
    resolved
}

fn resolve_one(
    problems: &Problems,
    path: &Path,
    expect: Expect,
    circumstances: &Circumstances<'_>,
    resolved: &mut Vec<Expectation>,
) {
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
        problems.add(
            path,
            "an expectation says one thing",
            format!("{count} of its keys are there"),
            "begin each with a dash of its own: `- converged: { within: 20s }`",
        );
        return;
    }
    if let Some(file::Converged {
        within,
        of,
        lag,
        hold,
    }) = expect.converged
    {
        let path = path.key("converged");
        let lag = problems.optional(&path.key("lag"), lag);
        let time = resolve_time(problems, &path, within, of, hold, circumstances);
        resolved.extend(
            time.map(|Time { within, of, hold }| Expectation::Converged {
                within,
                of,
                lag: lag.map_or(LAG_DEFAULT, |Count(lag)| lag),
                hold,
            }),
        );
    }
    if let Some(file::Agree { within, of, hold }) = expect.agree {
        let path = path.key("agree");
        let time = resolve_time(problems, &path, within, of, hold, circumstances);
        resolved.extend(time.map(|Time { within, of, hold }| Expectation::Agree {
            within,
            of,
            hold,
        }));
    }
    if let Some(same_ledger) = expect.same_ledger {
        problems.optional(&path.key("same_ledger").key("at"), same_ledger.at);
        resolved.push(Expectation::SameLedger);
    }
    if let Some(outcome) = expect.double_spend {
        resolved.extend(resolve_double_spend(
            problems,
            &path.key("double_spend"),
            outcome,
            circumstances,
        ));
    }
    if let Some(depth) = expect.reorg_depth {
        resolved.extend(resolve_depth(problems, &path.key("reorg_depth"), depth));
    }
    if let Some(stale_rate) = expect.stale_rate {
        let path = path.key("stale_rate");
        need_blocks(problems, &path, "become stale", circumstances);
        let max = problems.value(&path.key("max"), stale_rate.max);
        resolved.extend(max.map(|Share(max)| Expectation::StaleRate { max }));
    }
    if let Some(file::Rewards { of, within }) = expect.rewards {
        let path = path.key("rewards");
        need_blocks(problems, &path, "be rewarded for", circumstances);
        let groups = circumstances.groups.iter().map(|group| group.name.as_str());
        if !groups.clone().any(|group| group == of) {
            problems.unknown(&path.key("of"), "group", &of, groups);
        }
        let within = problems.value(&path.key("within"), within);
        resolved.extend(within.map(|Share(within)| Expectation::Rewards { of, within }));
    }
    if let Some(propagation) = expect.propagation {
        resolve_propagation(
            problems,
            &path.key("propagation"),
            propagation,
            circumstances,
            resolved,
        );
    }
    if let Some(bandwidth) = expect.bandwidth {
        resolve_bandwidth(
            problems,
            &path.key("bandwidth"),
            bandwidth,
            circumstances,
            resolved,
        );
    }
    if let Some(nodes_up) = expect.nodes_up {
        resolved.extend(resolve_nodes_up(
            problems,
            &path.key("nodes_up").key("min"),
            nodes_up,
            circumstances,
        ));
    }
}

/// When nodes must agree, and for how long.
struct Time {
    within: Nanos,
    of: Disturbance,
    hold: Nanos,
}

fn resolve_time(
    problems: &Problems,
    path: &Path,
    within: Written<Nanos>,
    of: Option<Written<DisturbanceWord>>,
    hold: Option<Written<Nanos>>,
    circumstances: &Circumstances<'_>,
) -> Option<Time> {
    let within = problems.value(&path.key("within"), within);
    let of = problems
        .optional(&path.key("of"), of)
        .map_or(Disturbance::Settle, |DisturbanceWord(of)| of);
    let hold = problems.optional(&path.key("hold"), hold);
    let hold = hold
        .or(circumstances.ledger.block_interval())
        .unwrap_or(HOLD_DEFAULT);
    let partition = |fault: &Fault| fault.kind.sides().is_some();
    let heals = |fault: &Fault| partition(fault) && fault.end.is_some();
    if of == Disturbance::Heal && !circumstances.may_have(heals) {
        let never = circumstances.may_have(partition);
        problems.add(
            &path.key("of"),
            "nothing heals in this experiment",
            if never {
                "its partition is `until: never`"
            } else {
                "it has no partition"
            },
            "write `of: settle`, or add a partition that heals",
        );
    }
    let within = within?;
    let phases = circumstances.phases?;
    let last_heal = circumstances
        .faults
        .iter()
        .flatten()
        .filter(|fault| heals(fault))
        .filter_map(|fault| fault.end)
        .max();
    let from = match of {
        Disturbance::Settle => phases.settle_start(),
        Disturbance::Heal => last_heal.unwrap_or(phases.settle_start()),
    };
    let left = phases.end().saturating_sub(from);
    if within.saturating_add(hold) > left {
        problems.add(
            &path.key("within"),
            "the run ends too early to tell",
            format!(
                "the disturbance ends at {}, so {} are left; agreement within {} that lasts {} needs {}",
                seconds(from),
                seconds(left),
                seconds(within),
                seconds(hold),
                seconds(within.saturating_add(hold))
            ),
            "lengthen `phases.settle`, or lower `within` or `hold`",
        );
    }
    Some(Time { within, of, hold })
}

fn resolve_double_spend(
    problems: &Problems,
    path: &Path,
    outcome: file::DoubleSpendOutcome,
    circumstances: &Circumstances<'_>,
) -> Option<Expectation> {
    if !circumstances.may_have(|fault| fault.kind.across().is_some()) {
        problems.add(
            path,
            "there is no double spend to judge",
            "no fault of this experiment is one",
            "add a fault `double_spend: { across: partition }`, or remove the expectation",
        );
    }
    let path = path.key("confirmed");
    let Count(confirmed) = problems.value(&path, outcome.confirmed)?;
    if confirmed > 2 {
        problems.add(
            &path,
            format!("{confirmed} transactions cannot be confirmed"),
            "a double spend has two",
            "write 0, 1 or 2",
        );
    }
    Some(Expectation::DoubleSpend { confirmed })
}

fn resolve_depth(problems: &Problems, path: &Path, depth: file::ReorgDepth) -> Option<Expectation> {
    let min = problems
        .optional(&path.key("min"), depth.min)
        .map(|Count(min)| min);
    let max = problems
        .optional(&path.key("max"), depth.max)
        .map(|Count(max)| max);
    match (min, max) {
        (None, None) if problems.none() => {
            problems.add(
                path,
                "no bound is given",
                "neither `min` nor `max` is there",
                "add one, as `max: 6`",
            );
            None
        }
        (Some(low), Some(high)) if low > high => {
            problems.add(
                path,
                "no depth can satisfy this",
                "`min` is above `max`",
                "swap the two",
            );
            None
        }
        _ => Some(Expectation::ReorgDepth { min, max }),
    }
}

fn resolve_propagation(
    problems: &Problems,
    path: &Path,
    propagation: file::Propagation,
    circumstances: &Circumstances<'_>,
    resolved: &mut Vec<Expectation>,
) {
    need_blocks(problems, path, "propagate", circumstances);
    let phase = resolve_phase(
        problems,
        &path.key("phase"),
        propagation.phase,
        circumstances,
    );
    let bounds = [
        ("p50", 50, propagation.p50),
        ("p90", 90, propagation.p90),
        ("p99", 99, propagation.p99),
    ];
    let bounds = resolve_bounds(problems, path, bounds, "p90: < 2s");
    resolved.extend(
        bounds.map(|(quantile, Below(below))| Expectation::Propagation {
            quantile,
            below,
            phase: phase.clone(),
        }),
    );
}

fn resolve_bandwidth(
    problems: &Problems,
    path: &Path,
    bandwidth: file::Bandwidth,
    circumstances: &Circumstances<'_>,
    resolved: &mut Vec<Expectation>,
) {
    let phase = resolve_phase(problems, &path.key("phase"), bandwidth.phase, circumstances);
    let bounds = [
        ("mean", NodeQuantile::Mean, bandwidth.mean),
        ("p50", NodeQuantile::P50, bandwidth.p50),
        ("p95", NodeQuantile::P95, bandwidth.p95),
        ("max", NodeQuantile::Max, bandwidth.max),
    ];
    let bounds = resolve_bounds(problems, path, bounds, "p95: < 80 kB/s");
    resolved.extend(bounds.map(|(of, Below(below))| Expectation::Bandwidth {
        of,
        below: below.bps / 8,
        phase: phase.clone(),
    }));
}

/// The bounds that are written, of which there must be one at least.
fn resolve_bounds<K, T: Value, const N: usize>(
    problems: &Problems,
    path: &Path,
    bounds: [(&'static str, K, Option<Written<T>>); N],
    example: &str,
) -> impl Iterator<Item = (K, T)> {
    if bounds.iter().all(|(.., bound)| bound.is_none()) {
        let keys = bounds.each_ref().map(|(key, ..)| *key);
        let (last, others) = keys.split_last().unwrap_or((&"", &[]));
        problems.add(
            path,
            "no bound is given",
            format!("none of {} and {last} is there", others.join(", ")),
            format!("add one, as `{example}`"),
        );
    }
    let resolve = |(key, of, bound)| Some((of, problems.optional(&path.key(key), bound)?));
    let resolved: Vec<(K, T)> = bounds.into_iter().filter_map(resolve).collect();
    resolved.into_iter()
}

fn resolve_nodes_up(
    problems: &Problems,
    path: &Path,
    nodes_up: file::NodesUp,
    circumstances: &Circumstances<'_>,
) -> Option<Expectation> {
    let amount: Amount = problems.value(path, nodes_up.min)?;
    let min = amount.of(circumstances.nodes as usize);
    if min > circumstances.nodes as usize {
        problems.add(
            path,
            "there are not so many nodes",
            format!("this experiment has {}", circumstances.nodes),
            "write at most that, or `100%`",
        );
    }
    Some(Expectation::NodesUp {
        min: u32::try_from(min).unwrap_or(u32::MAX),
    })
}

/// That blocks are mined.
fn need_blocks(
    problems: &Problems,
    path: &Path,
    what_for: &str,
    circumstances: &Circumstances<'_>,
) {
    if !circumstances.ledger.mines() {
        problems.add(
            path,
            format!("there are no blocks to {what_for}"),
            "`ledger` has neither `block_interval` nor `blocks`",
            "add `ledger: { block_interval: 10s }`, or remove the expectation",
        );
    }
}

/// That the phase exists.
fn resolve_phase(
    problems: &Problems,
    path: &Path,
    phase: Option<String>,
    circumstances: &Circumstances<'_>,
) -> Option<String> {
    const PHASES: [&str; 3] = ["warmup", "faults", "settle"];
    let phase = phase?;
    let Some(known) = PHASES.iter().find(|known| **known == phase) else {
        let hint = match closest(&phase, PHASES) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "there are warmup, faults and settle".to_owned(),
        };
        problems.add(
            path,
            format!("unknown phase `{phase}`"),
            "a run has no phase of that name",
            hint,
        );
        return None;
    };
    let empty = circumstances.phases.is_some_and(|phases| match *known {
        "warmup" => phases.warmup == Nanos::ZERO,
        "faults" => phases.faults == Nanos::ZERO,
        _ => false,
    });
    if empty {
        problems.add(
            path,
            format!("the phase `{phase}` is empty"),
            "its length in `phases` is zero",
            "give it a length, or name another phase",
        );
    }
    Some(phase)
}
