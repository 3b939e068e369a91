//! Sessions: peers that come and go by alternating renewal. At `go` the process is in its
//! stationary state, as if it had run for ever: a node is up with the probability
//! `session mean / (session mean + offline mean)`, and the period then running has the length
//! that is left of one found at a random moment ([`super::sample::residual`]). So the share of
//! nodes that are up is the same on average from the first second to the last.

use peerlab_link::{Nanos, NodeId};

use super::chance::Chance;
use super::sample::{draw, residual};
use super::spec::Outage;
use crate::experiment::{Down, PERIOD_MIN};
use crate::topology::Renewal;

/// Those of a rule's nodes that come and go; the always-on part has been drawn and left out.
pub fn churning(rule: &Renewal, nodes: &[NodeId], chance: &mut Chance) -> Vec<NodeId> {
    let always_on = libm::round(rule.always_on * nodes.len() as f64) as usize;
    let mut order = chance.choose(nodes, nodes.len());
    let mut going = order.split_off(always_on.min(nodes.len()));
    going.sort_unstable();
    going
}

/// When one node is down, from `go` until `end`. Its last outage ends there at the latest; one
/// that would be shorter than [`PERIOD_MIN`] for that is left out.
pub fn draw_outages(
    rule: &Renewal,
    node: NodeId,
    how: Down,
    end: Nanos,
    chance: &mut Chance,
) -> Vec<Outage> {
    let (session, offline) = (rule.session.mean_ns(), rule.offline.mean_ns());
    let mut up = chance.unit() < session / (session + offline);
    let running = if up { &rule.session } else { &rule.offline };
    let mut length = residual(running, chance);
    let mut at = Nanos::ZERO;
    let mut outages = Vec::new();
    while at < end {
        let next = at.saturating_add(period(length)).min(end);
        if !up && next.saturating_sub(at) >= PERIOD_MIN {
            outages.push(Outage {
                node,
                start: at,
                end: Some(next),
                how,
            });
        }
        up = !up;
        length = draw(if up { &rule.session } else { &rule.offline }, chance);
        at = next;
    }
    outages
}

fn period(length_ns: f64) -> Nanos {
    // A float beyond the range becomes the greatest integer, which is beyond every run.
    Nanos(libm::round(length_ns) as u64).max(PERIOD_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Distribution, Path, Selection};

    fn rule(session: Distribution, offline: Distribution) -> Renewal {
        Renewal {
            nodes: Selection {
                path: Path::root(),
                terms: Vec::new(),
            },
            always_on: 0.1,
            session,
            offline,
        }
    }

    #[test]
    fn the_share_of_nodes_up_is_stationary_from_the_start() {
        let secs = Nanos::from_secs;
        let rules = [
            rule(
                Distribution::Weibull {
                    shape: 0.6,
                    mean: secs(60),
                },
                Distribution::Weibull {
                    shape: 0.5,
                    mean: secs(20),
                },
            ),
            rule(
                Distribution::Exponential { mean: secs(30) },
                Distribution::Lognormal {
                    median: secs(20),
                    sigma: 1.0,
                },
            ),
            rule(Distribution::Fixed(secs(40)), Distribution::Fixed(secs(10))),
        ];
        const NODES: usize = 20_000;
        for rule in rules {
            let nodes: Vec<Vec<Outage>> = (0..NODES)
                .map(|node| {
                    draw_outages(
                        &rule,
                        NodeId(0),
                        Down::Kill,
                        secs(200),
                        &mut Chance::new(5, &format!("churn/{node}")),
                    )
                })
                .collect();
            let theory = rule.session.mean_ns() / (rule.session.mean_ns() + rule.offline.mean_ns());
            for at in [0, 1, 10, 60, 199] {
                let down = |spans: &&Vec<Outage>| {
                    spans.iter().any(|span| {
                        span.start <= secs(at) && span.end.is_none_or(|end| secs(at) < end)
                    })
                };
                let share = 1.0 - nodes.iter().filter(down).count() as f64 / NODES as f64;
                // Four standard deviations, and what the shortest period adds.
                assert!(
                    (share - theory).abs() < 0.02,
                    "{share} at {at}s, theory {theory}"
                );
            }
        }
    }

    #[test]
    fn the_always_on_part_never_leaves() {
        let fixed = Distribution::Fixed(Nanos::from_secs(1));
        let nodes: Vec<NodeId> = (0..90).map(NodeId).collect();
        let going = churning(&rule(fixed, fixed), &nodes, &mut Chance::new(1, "x"));
        assert_eq!(going.len(), 81);
    }
}
