//! How long programs compute. A program is one thread: while it checks a block and writes it
//! durably it reads nothing else, and what it answers leaves when it is done.
//!
//! By default every node has a CPU of its own, and only blocks are work worth modelling. With
//! [`Plan::cpus`](peerlab_core::plan::Plan::cpus) all of them share so many, first come, first served, as
//! containers on one machine do: a block that reaches fifty of them at once is then passed on by
//! the last one much later. That is no property of the network, but one of measuring it there; it
//! is modelled so that the simulator can be held against real nodes.

use peerlab_link::Nanos;

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

/// CPUs on which programs run.
#[derive(Clone, Debug)]
pub enum Cpus {
    /// Every node has its own.
    Own,
    /// They share some.
    Shared {
        /// Since when each is free.
        free_at: Vec<Nanos>,
        /// What a message takes.
        message: Nanos,
    },
}

impl Cpus {
    /// As many as the plan says.
    pub fn of(shared: Option<u16>, message_work: Option<Nanos>) -> Cpus {
        match shared {
            None => Cpus::Own,
            Some(count) => Cpus::Shared {
                free_at: vec![Nanos::ZERO; usize::from(count.max(1))],
                message: message_work.unwrap_or(MESSAGE),
            },
        }
    }

    /// When work that is there now will be done. `None`: at once.
    pub fn done(&mut self, now: Nanos, work: Work) -> Option<Nanos> {
        match self {
            Cpus::Own => work.block.map(|count| now.saturating_add(block(count))),
            Cpus::Shared { free_at, message } => {
                let takes = match (work.message, work.block) {
                    (_, Some(count)) => message.saturating_add(block(count)),
                    (true, None) => *message,
                    (false, None) => return None,
                };
                let first = free_at.iter_mut().min()?;
                *first = now.max(*first).saturating_add(takes);
                Some(*first)
            }
        }
    }
}

/// What a block of so many transactions takes.
fn block(transactions: u32) -> Nanos {
    Nanos(BLOCK.0 + u64::from(transactions) * TRANSACTION.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_secs(1);
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
        assert_eq!(cpus.done(NOW, READ), None);
        for _ in 0..3 {
            assert_eq!(
                cpus.done(NOW, STORED),
                Some(Nanos(NOW.0 + BLOCK.0 + 10 * TRANSACTION.0))
            );
        }
    }

    #[test]
    fn who_comes_later_to_shared_cpus_waits() {
        let mut cpus = Cpus::of(Some(2), None);
        let after = |messages: u64| Some(Nanos(NOW.0 + messages * MESSAGE.0));
        assert_eq!(cpus.done(NOW, READ), after(1));
        assert_eq!(cpus.done(NOW, READ), after(1));
        assert_eq!(cpus.done(NOW, READ), after(2));
        assert_eq!(cpus.done(NOW, READ), after(2));
        let later = Nanos::from_secs(2);
        assert_eq!(cpus.done(later, READ), Some(Nanos(later.0 + MESSAGE.0)));
        let mut fast = Cpus::of(Some(2), Some(Nanos(7)));
        assert_eq!(fast.done(later, READ), Some(Nanos(later.0 + 7)));
    }

    #[test]
    fn what_is_no_message_is_no_work() {
        let nothing = Work {
            message: false,
            block: None,
        };
        assert_eq!(Cpus::of(Some(1), None).done(NOW, nothing), None);
        assert_eq!(Cpus::of(None, None).done(NOW, nothing), None);
    }
}
