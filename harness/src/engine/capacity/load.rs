//! How busy an experiment keeps the CPUs: an estimate, from what a node's work cost where it was
//! measured.
//!
//! The figures are CPU time of everything that runs for a node (its program, its gate, its part
//! of fabric and harness), fitted to runs of 300 local nodes with eight connections each, which
//! `ci/bench-growth` repeats. Another CPU may take half as long or twice; nodes of other images
//! may take what they like. So this tells an order of magnitude, and refuses nothing: a run
//! measures itself whether its host kept up.

use peerlab_link::Nanos;

use super::Limit;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Work;

/// CPU time of an idle node, per second.
const IDLE_NANOS: f64 = 150_000.0;
/// CPU time of a node for each block that the network mines.
const BLOCK_NANOS: f64 = 9_000_000.0;
/// CPU time of a node for each transaction that the network relays.
const TRANSACTION_NANOS: f64 = 2_000_000.0;
/// The share of the CPUs that may be busy in the mean: bursts need the rest.
const BUSY_MAX: f64 = 0.6;

/// What a network has to do, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Blocks mined per second.
    pub blocks: f64,
    /// Transactions submitted per second.
    pub transactions: f64,
}

/// A block in ten seconds and a transaction a second: what is asked about where there is no
/// experiment.
impl Default for Load {
    fn default() -> Load {
        Load {
            blocks: 0.1,
            transactions: 1.0,
        }
    }
}

impl Load {
    /// The mean over a plan's length. Of a network that stays, payments are not known.
    pub fn of(plan: &Plan) -> Load {
        if plan.stays() {
            let interval = plan.ledger.block_interval;
            return Load {
                blocks: interval.map_or(0.0, |it| 1.0 / it.max(Nanos(1)).as_secs_f64()),
                transactions: 0.0,
            };
        }
        let seconds = plan.end().max(Nanos(1)).as_secs_f64();
        let count = |wanted: fn(&Work) -> bool| {
            plan.workload.iter().filter(|e| wanted(&e.work)).count() as f64
        };
        Load {
            blocks: count(|task| matches!(task, Work::Mine { .. })) / seconds,
            transactions: count(|task| matches!(task, Work::Transaction { .. })) / seconds,
        }
    }

    /// CPU seconds that one node takes per second.
    fn per_node(&self) -> f64 {
        let nanos = IDLE_NANOS + self.blocks * BLOCK_NANOS + self.transactions * TRANSACTION_NANOS;
        nanos / 1e9
    }

    /// The limit that so many CPUs are.
    pub fn limit(&self, cpus: u64) -> Limit {
        Limit {
            what: "CPUs".to_owned(),
            now: cpus.to_string(),
            nodes: (cpus as f64 * BUSY_MAX / self.per_node()) as u64,
            raise: format!(
                "more CPUs, or less to do (now {:.2} blocks and {:.1} transactions a second)",
                self.blocks, self.transactions
            ),
            estimate: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_cpus_carry_more_and_more_work_less() {
        let nodes = |load: Load, cpus| load.limit(cpus).nodes;
        let calm = Load::default();
        let busy = Load {
            transactions: 10.0,
            ..calm
        };
        assert!(nodes(calm, 4) >= 2 * nodes(calm, 2));
        assert!(nodes(busy, 2) < nodes(calm, 2));
        assert!(calm.limit(2).estimate);
    }
}
