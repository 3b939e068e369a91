//! A limit, and what all limits of an engine come to.

use peerlab_core::error::{Error, Result};
use peerlab_core::words;

/// Something of which a machine has only so much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What it is, in a few words.
    pub what: String,
    /// How much there is now.
    pub now: String,
    /// How many nodes that carries.
    pub nodes: u64,
    /// The command that raises it, or what else to do.
    pub raise: String,
    /// Whether `nodes` is an estimate from what an experiment does: a run may begin beyond it,
    /// and says itself whether the machine kept up.
    pub estimate: bool,
}

impl Limit {
    /// A limit that is a number, where it is known, and how many nodes so many carry.
    pub fn of_count(
        what: &str,
        now: Option<u64>,
        nodes: impl Fn(u64) -> u64,
        raise: &str,
    ) -> Option<Limit> {
        now.map(|now| Limit {
            what: what.to_owned(),
            now: words::thousands(now),
            nodes: nodes(now),
            raise: raise.to_owned(),
            estimate: false,
        })
    }

    /// Memory of which each node takes so much, after what is taken in any case; bytes.
    pub fn of_memory(free: u64, per_node: u64, base: u64) -> Limit {
        Limit {
            what: "memory free".to_owned(),
            now: words::bytes(free),
            nodes: free.saturating_sub(base) / per_node,
            raise: "end other programs, or take a machine with more".to_owned(),
            estimate: false,
        }
    }
}

/// What one engine can carry on its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The engine, in words.
    pub engine: String,
    /// Its limits, in no particular order.
    pub limits: Vec<Limit>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Capacity {
    /// The limit that binds first. `None` where nothing is known of the machine.
    pub fn binds(&self) -> Option<&Limit> {
        self.limits.iter().min_by_key(|limit| limit.nodes)
    }

    /// Whether so many nodes fit.
    ///
    /// # Errors
    /// [`peerlab_core::error::Kind::Environment`]: one report for each limit that is too low.
    /// Estimates refuse nothing.
    pub fn admit(&self, nodes: usize) -> Result<()> {
        let too_low = |limit: &&Limit| !limit.estimate && limit.nodes < nodes as u64;
        let refused = self.limits.iter().filter(too_low).map(|limit| {
            let nodes = words::count(nodes as u64, "node");
            let carried = words::count(limit.nodes, "node");
            Error::environment(
                format!("{} cannot carry {nodes} here", self.engine),
                format!("{}: {}, which carries {carried}", limit.what, limit.now),
                limit.raise.clone(),
            )
        });
        let all = refused.reduce(|mut all, next| {
            all.reports.extend(next.reports);
            all
        });
        all.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(what: &str, nodes: u64, estimate: bool) -> Limit {
        Limit {
            what: what.to_owned(),
            now: "some".to_owned(),
            nodes,
            raise: format!("raise {what}"),
            estimate,
        }
    }

    fn capacity() -> Capacity {
        Capacity {
            engine: "the local engine".to_owned(),
            limits: vec![
                limit("open files", 100, false),
                limit("memory", 90, false),
                limit("CPU", 10, true),
            ],
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_lowest_binds() {
        assert_eq!(capacity().binds().unwrap().what, "CPU");
        let none = Capacity {
            limits: Vec::new(),
            ..capacity()
        };
        assert_eq!(none.binds(), None);
        assert!(none.admit(1_000_000).is_ok());
    }

    #[test]
    fn what_fits_is_admitted_and_what_does_not_is_told_with_each_reason() {
        assert!(capacity().admit(90).is_ok());
        let one = capacity().admit(91).unwrap_err();
        assert_eq!(
            one.render(),
            "Error: the local engine cannot carry 91 nodes here\n\
             Caused by: memory: some, which carries 90 nodes\n\
             Hint: raise memory\n"
        );
        assert_eq!(one.kind.exit_code(), 3);
        assert_eq!(capacity().admit(101).unwrap_err().reports.len(), 2);
    }
}
