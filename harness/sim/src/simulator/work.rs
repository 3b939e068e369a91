//! How long programs compute. A program is one thread: while it checks a block and writes it
//! durably it reads nothing else, and what it answers leaves when it is done.
//!
//! By default every node has a CPU of its own, and only blocks are work worth modelling. With
//! [`Plan::cpus`](peerlab_core::plan::Plan::cpus) all of them share so many, first come, first served, as
//! containers on one machine do: a block that reaches fifty of them at once is then passed on by
//! the last one much later. That is no property of the network, but one of measuring it there; it
//! is modelled so that the simulator can be held against real nodes.

use std::collections::BTreeMap;

use peerlab_link::proto::SLOW_PERIOD;
use peerlab_link::{Nanos, NodeId};

/// Checking, connecting and durably writing a block that was put together from its compact form:
/// what a hop takes beyond the link's latency, by the median over a line of eleven real nodes
/// (10 ms, two transactions a second, a block every 5 s) on an otherwise idle machine.
const BLOCK: Nanos = Nanos(1_200_000);
/// The same for each transaction in it: coins spent and made, hashed and written. A block of four
/// hundred reached a hundred real nodes on two CPUs by so much later than one of few.
const TRANSACTION: Nanos = Nanos(30_000);
/// On shared CPUs, where the plan does not say: reading one message and answering it, with what
/// kernel, fabric and harness do for its packets. CPU time of the whole machine by the number of
/// messages, over a hundred real nodes that pass on ten transactions a second, on an AMD EPYC;
/// `ci/compare-engines` measures it anew on the machine at hand.
const MESSAGE: Nanos = Nanos(200_000);

/// What a program did at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whether it read a message.
    pub message: bool,
    /// If its best block changed: the transactions in the new one.
    pub block: Option<u32>,
}

/// CPUs on which programs run, and how much of them slow ones get.
#[derive(Clone, Debug)]
pub struct Cpus {
    shared: Option<Shared>,
    /// What a block takes, of the usual, percent.
    block_percent: u32,
    /// Of each slow program its parts of a core, in thousandths, by the fault that says so.
    slow: BTreeMap<NodeId, BTreeMap<u32, u32>>,
}

/// CPUs that all programs share.
#[derive(Clone, Debug)]
struct Shared {
    /// Since when each is free.
    free_at: Vec<Nanos>,
    /// What a message takes.
    message: Nanos,
}

impl Cpus {
    /// As many as the plan says.
    pub fn of(shared: Option<u16>, message_work: Option<Nanos>) -> Cpus {
        let shared = shared.map(|count| Shared {
            free_at: vec![Nanos::ZERO; usize::from(count.max(1))],
            message: message_work.unwrap_or(MESSAGE),
        });
        Cpus {
            shared,
            block_percent: 100,
            slow: BTreeMap::new(),
        }
    }

    /// Blocks take so much of the usual, percent, where the plan says it.
    #[must_use]
    pub fn with_block_work(self, percent: Option<u32>) -> Cpus {
        Cpus {
            block_percent: percent.unwrap_or(self.block_percent),
            ..self
        }
    }

    /// A program gets this part of a core from now on; `None` ends what was said by the same `id`.
    pub fn slow(&mut self, node: NodeId, id: u32, cpu_millis: Option<u32>) {
        let parts = self.slow.entry(node).or_default();
        match cpu_millis {
            Some(part) => drop(parts.insert(id, part)),
            None => drop(parts.remove(&id)),
        }
        if parts.is_empty() {
            self.slow.remove(&node);
        }
    }

    /// Until when a slow program stands still, if it does.
    pub fn still_until(&self, now: Nanos, node: NodeId) -> Option<Nanos> {
        let next = self.turns(node)?.next(now);
        (next > now).then_some(next)
    }

    fn turns(&self, node: NodeId) -> Option<Turns> {
        let cpu_millis = self.slow.get(&node)?.values().min()?;
        Some(Turns {
            run: Nanos(SLOW_PERIOD.0 * u64::from(*cpu_millis) / 1000),
        })
    }

    /// When work of a program that is there now will be done. `None`: at once.
    pub fn done(&mut self, now: Nanos, node: NodeId, work: Work) -> Option<Nanos> {
        let turns = self.turns(node);
        let block = |transactions| block(transactions, self.block_percent);
        let (begins, takes) = match &mut self.shared {
            None => (now, block(work.block?)),
            Some(Shared { free_at, message }) => {
                let takes = match (work.message, work.block) {
                    (_, Some(count)) => message.saturating_add(block(count)),
                    (true, None) => *message,
                    (false, None) => return None,
                };
                let first = free_at.iter_mut().min()?;
                let begins = now.max(*first);
                *first = begins.saturating_add(takes);
                (begins, takes)
            }
        };
        Some(match turns {
            None => begins.saturating_add(takes),
            Some(turns) => turns.done(begins, takes),
        })
    }
}

/// When a slow program runs: at the beginning of every [`SLOW_PERIOD`].
#[derive(Clone, Copy, Debug)]
struct Turns {
    /// How long; more than nothing.
    run: Nanos,
}

impl Turns {
    /// The first moment from now on at which it runs.
    fn next(self, now: Nanos) -> Nanos {
        let into = now.0 % SLOW_PERIOD.0;
        if into < self.run.0 {
            now
        } else {
            Nanos(now.0 - into).saturating_add(SLOW_PERIOD)
        }
    }

    /// When work is done that takes so long and begins now at the earliest.
    fn done(self, now: Nanos, takes: Nanos) -> Nanos {
        let begins = self.next(now);
        let period = Nanos(begins.0 - begins.0 % SLOW_PERIOD.0);
        // What has run since the period's start, were it all this work.
        let ran = takes.saturating_add(begins.saturating_sub(period));
        let (whole, rest) = (ran.0 / self.run.0, ran.0 % self.run.0);
        let waited = whole.saturating_mul(SLOW_PERIOD.0);
        period.saturating_add(Nanos(waited.saturating_add(rest)))
    }
}

/// What a block of so many transactions takes, with so much of the usual work, percent.
fn block(transactions: u32, percent: u32) -> Nanos {
    let usual = BLOCK.0 + u64::from(transactions) * TRANSACTION.0;
    Nanos(usual.saturating_mul(u64::from(percent)) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_secs(1);
    const NODE: NodeId = NodeId(3);
    const READ: Work = Work {
        message: true,
        block: None,
    };
    const STORED: Work = Work {
        message: true,
        block: Some(10),
    };

    #[test]
    fn on_a_cpu_of_its_own_only_a_block_is_work() {
        let mut cpus = Cpus::of(None, None);
        assert_eq!(cpus.done(NOW, NODE, READ), None);
        for _ in 0..3 {
            assert_eq!(
                cpus.done(NOW, NODE, STORED),
                Some(Nanos(NOW.0 + BLOCK.0 + 10 * TRANSACTION.0))
            );
        }
    }

    #[test]
    fn a_block_may_take_longer_than_usual() {
        let usual = BLOCK.0 + 10 * TRANSACTION.0;
        for (percent, takes) in [(None, usual), (Some(200), 2 * usual), (Some(50), usual / 2)] {
            let mut cpus = Cpus::of(None, None).with_block_work(percent);
            let done = cpus.done(NOW, NODE, STORED);
            assert_eq!(done, Some(Nanos(NOW.0 + takes)), "{percent:?}");
        }
    }

    #[test]
    fn who_comes_later_to_shared_cpus_waits() {
        let mut cpus = Cpus::of(Some(2), None);
        let after = |messages: u64| Some(Nanos(NOW.0 + messages * MESSAGE.0));
        assert_eq!(cpus.done(NOW, NODE, READ), after(1));
        assert_eq!(cpus.done(NOW, NODE, READ), after(1));
        assert_eq!(cpus.done(NOW, NODE, READ), after(2));
        assert_eq!(cpus.done(NOW, NODE, READ), after(2));
        let later = Nanos::from_secs(2);
        assert_eq!(
            cpus.done(later, NODE, READ),
            Some(Nanos(later.0 + MESSAGE.0))
        );
        let mut fast = Cpus::of(Some(2), Some(Nanos(7)));
        assert_eq!(fast.done(later, NODE, READ), Some(Nanos(later.0 + 7)));
    }

    #[test]
    fn what_is_no_message_is_no_work() {
        let nothing = Work {
            message: false,
            block: None,
        };
        assert_eq!(Cpus::of(Some(1), None).done(NOW, NODE, nothing), None);
        assert_eq!(Cpus::of(None, None).done(NOW, NODE, nothing), None);
    }

    #[test]
    fn a_slow_program_runs_by_turns() {
        let mut cpus = Cpus::of(None, None);
        cpus.slow(NODE, 1, Some(500));
        cpus.slow(NODE, 2, Some(100));
        let at = |millis: u64| NOW.saturating_add(Nanos::from_millis(millis));
        assert_eq!(cpus.still_until(at(9), NODE), None);
        assert_eq!(cpus.still_until(at(10), NODE), Some(at(100)));
        assert_eq!(cpus.still_until(at(10), NodeId(4)), None);
        let turns = cpus.turns(NODE).unwrap();
        let done = |begins, takes| turns.done(at(begins), Nanos::from_millis(takes));
        assert_eq!(done(2, 3), at(5));
        assert_eq!(done(8, 3), at(101));
        assert_eq!(done(50, 25), at(305));
        cpus.slow(NODE, 2, None);
        assert_eq!(cpus.still_until(at(10), NODE), None);
        cpus.slow(NODE, 1, None);
        assert!(cpus.slow.is_empty());
    }
}
