//! The plan of a network that stays: an experiment's nodes, network and ledger, without its phases,
//! faults, churn and expectations. What is done to it comes by hand.

use std::ops::Range;

use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};

use super::compile::compile;
use super::lottery::Endless;
use super::place::Placement;
use super::spec::{Phase, Plan};
use crate::error::Result;
use crate::experiment::Ability;
use crate::ledger::block_count;
use crate::topology::{Topology, Transactions};

/// The one phase of such a network.
const PHASE: &str = "up";
/// Outputs that payments by hand may spend: all of one transaction of the pre-mined chain.
const OUTPUTS_BY_HAND: u32 = 2_000;
/// How long the outputs for the ledger's own payments are to last, and how many there are at most:
/// every node loads them when it starts.
const PAYMENTS_SECONDS: f64 = 3_600.0;
const OUTPUTS_MAX: u32 = 20_000;

/// A network that stays.
pub struct Staying {
    /// Its start. It has one phase, which never ends.
    pub plan: Plan,
    /// Blocks and payments.
    pub workload: Endless,
    /// The outputs that payments by hand may spend.
    pub outputs_by_hand: Range<u32>,
}

/// What a network has behind it that is brought up with ledgers that it had before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The first output that none of the ledger's own payments has spent.
    pub next_output: u32,
    /// The first of those for payments by hand that none has spent.
    pub next_output_by_hand: u32,
    /// How long it was up, in all.
    pub up_for_ns: Nanos,
}

/// Draws the start of a network that stays.
///
/// # Errors
/// Choices of nodes that cannot be met, with their place in the file.
pub fn stay(topology: &Topology, seed: u64) -> Result<Staying> {
    stay_after(topology, seed, &Past::default())
}

/// The same of one with a past: no payment spends what one has spent then, and what the file lists goes on
/// where it was.
///
/// # Errors
/// As [`stay`].
pub fn stay_after(topology: &Topology, seed: u64, past: &Past) -> Result<Staying> {
    let mut plan = compile(&topology.undisturbed(), seed)?;
    let drawn = drawn_outputs(topology);
    let has_ledger = |group: &crate::topology::Group| group.probe.ability() >= Ability::Ledger;
    let by_hand = if topology.groups.iter().any(has_ledger) {
        OUTPUTS_BY_HAND
    } else {
        0
    };
    let outputs = drawn + by_hand;
    plan.ledger.outputs = outputs;
    plan.ledger.premined_blocks = block_count(outputs);
    plan.phases = vec![Phase {
        name: PHASE.into(),
        start: Nanos::ZERO,
        end: Plan::NEVER,
    }];
    plan.fault_schedule.clear();
    plan.workload.clear();
    let placement = Placement::new(topology, seed);
    let own = past.next_output.min(drawn)..drawn;
    let workload = Endless::new(&placement, &plan.nodes, own, past.up_for_ns);
    Ok(Staying {
        plan,
        workload,
        outputs_by_hand: past.next_output_by_hand.clamp(drawn, outputs)..outputs,
    })
}

/// How many outputs the ledger's own payments may spend.
fn drawn_outputs(topology: &Topology) -> u32 {
    let wanted = match &topology.ledger.transactions {
        Transactions::PerSecond(rate) => libm::ceil(rate * PAYMENTS_SECONDS),
        Transactions::Listed(listed) => listed.len() as f64,
    };
    wanted.clamp(0.0, f64::from(OUTPUTS_MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Work, WorkloadAction};
    use super::*;
    use crate::topology::parse;

    const FILE: &str = "
name: three
seed: 1
phases: { warmup: 4s, faults: 10s, settle: 10s }
nodes: { peers: { count: 3, hashpower: 1 } }
ledger: { block_interval: 2s, transactions: 0.5/s }
churn:
  - { nodes: peers, session: fixed(4s), offline: fixed(2s) }
faults:
  - { at: 5s, for: 2s, kill: peers-0 }
expect:
  - nodes_up: { min: 3 }
";

    #[test]
    fn a_network_that_stays_has_the_nodes_of_its_file_and_none_of_its_faults() {
        let topology = parse("x.yaml", FILE).unwrap();
        let Staying { plan, .. } = stay(&topology, 1).unwrap();
        assert!(plan.stays());
        assert_eq!(plan.nodes.len(), 3);
        assert!(plan.nodes.iter().all(|node| node.starts_up));
        assert!(plan.faults.is_empty() && plan.outages.is_empty());
        assert!(plan.fault_schedule.is_empty() && plan.expect.is_empty());
        plan.validate().unwrap();
        // It is stored as any other.
        assert_eq!(Plan::parse("plan.json", &plan.to_json()).unwrap(), plan);
    }

    #[test]
    fn blocks_come_without_end_and_payments_as_long_as_there_is_something_to_spend() {
        let topology = parse("x.yaml", FILE).unwrap();
        let Staying {
            plan,
            workload,
            outputs_by_hand,
        } = stay(&topology, 1).unwrap();
        let actions: Vec<WorkloadAction> = workload.take(10_000).collect();
        assert!(actions.is_sorted_by_key(|action| action.at));
        let mut spent = actions.iter().filter_map(|action| match action.work {
            Work::Transaction { output, .. } => Some(output),
            Work::Mine { .. } | Work::DoubleSpend { .. } => None,
        });
        assert!(spent.by_ref().eq(0..1_800));
        assert_eq!(outputs_by_hand, 1_800..plan.ledger.outputs);
        let blocks = actions.len() - 1_800;
        let hours = actions[actions.len() - 1].at.as_secs_f64() / 3_600.0;
        let per_hour = blocks as f64 / hours;
        assert!((per_hour - 1_800.0).abs() < 120.0, "{per_hour}");
    }

    #[test]
    fn what_was_spent_and_listed_before_does_not_come_again() {
        let listed = FILE.replace(
            "0.5/s",
            "[{ at: 5s, to: peers-0 }, { at: 9s, to: peers-1 }]",
        );
        for (file, spent, first_at) in [(FILE, 7, None), (&listed, 1, Some(2))] {
            let topology = parse("x.yaml", file).unwrap();
            let before = stay(&topology, 1).unwrap();
            let past = Past {
                next_output: spent,
                next_output_by_hand: before.outputs_by_hand.start + 3,
                up_for_ns: Nanos::from_secs(7),
            };
            let after = stay_after(&topology, 1, &past).unwrap();
            assert_eq!(after.plan, before.plan);
            let by_hand = after.outputs_by_hand;
            assert_eq!(
                by_hand,
                past.next_output_by_hand..before.outputs_by_hand.end
            );
            let taken = after.workload.outputs_taken();
            assert_eq!(taken.next(), spent);
            let mut payments = after.workload.filter_map(|action| match action.work {
                Work::Transaction { output, .. } => Some((action.at, output)),
                Work::Mine { .. } | Work::DoubleSpend { .. } => None,
            });
            let (at, output) = payments.next().unwrap();
            assert_eq!(output, spent);
            assert!(first_at.is_none_or(|first| at == Nanos::from_secs(first)));
            assert_eq!(taken.next(), spent + 1);
        }
    }
}
