//! Workload actions that the plan wanted and that did not happen: how many, and why.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::Reason;
use crate::words;

/// Most reasons that one sentence tells.
const REASONS_SHOWN: usize = 3;
/// Most reasons of one kind of action that the report keeps: a node may say another each time.
const REASONS_KEPT: usize = 20;

/// Kinds of workload actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedKind {
    /// A block was to be mined.
    Block,
    /// A transaction was to be taken.
    Transaction,
}

/// How often actions of one kind did not happen for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missed {
    pub kind: MissedKind,
    pub reason: Reason,
    pub count: u32,
}

/// All of them, counted.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<(MissedKind, Reason), u32>);

impl Counts {
    pub fn add(&mut self, kind: MissedKind, reason: Reason) {
        *self.0.entry((kind, reason)).or_default() += 1;
    }

    /// How many of one kind there are.
    pub fn of(&self, kind: MissedKind) -> u32 {
        let own = self.0.iter().filter(|((own, _), _)| *own == kind);
        own.map(|(_, count)| *count).sum()
    }

    /// How many of one kind there are and why, in words; `None` where there are none.
    pub fn story(&self, kind: MissedKind) -> Option<String> {
        story(&self.reasons(), kind, self.of(kind))
    }

    /// The reasons of each kind, the most frequent first.
    pub fn reasons(&self) -> Vec<Missed> {
        let kept = |kind: MissedKind| {
            let mut own: Vec<Missed> = self
                .0
                .iter()
                .filter(|((own, _), _)| *own == kind)
                .map(|((_, reason), count)| Missed {
                    kind,
                    reason: reason.clone(),
                    count: *count,
                })
                .collect();
            own.sort_by_key(|missed| Reverse(missed.count));
            own.truncate(REASONS_KEPT);
            own
        };
        [MissedKind::Block, MissedKind::Transaction]
            .into_iter()
            .flat_map(kept)
            .collect()
    }
}

/// How many of `total` did not happen and why, in words; `None` when all did.
pub fn story(reasons: &[Missed], kind: MissedKind, total: u32) -> Option<String> {
    let (noun, what) = match kind {
        MissedKind::Block => ("block", "missed"),
        MissedKind::Transaction => ("transaction", "not taken"),
    };
    let own: Vec<&Missed> = reasons.iter().filter(|m| m.kind == kind).collect();
    let told = match own.as_slice() {
        [] => return None,
        [only] if only.count == total => only.reason.to_string(),
        several => {
            let shown = several.iter().take(REASONS_SHOWN);
            let mut parts: Vec<String> = shown
                .clone()
                .map(|m| {
                    format!(
                        "{} of them: {}",
                        words::thousands(u64::from(m.count)),
                        m.reason
                    )
                })
                .collect();
            let rest = total.saturating_sub(shown.map(|m| m.count).sum());
            if rest > 0 {
                let rest = words::thousands(u64::from(rest));
                parts.push(format!("{rest} for other reasons"));
            }
            parts.join("; ")
        }
    };
    let count = words::count(u64::from(total), noun);
    Some(format!("{count} {what} ({told})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reasons: &[(&str, u32)]) -> Option<String> {
        let mut counts = Counts::default();
        counts.add(MissedKind::Transaction, "of another kind".into());
        for (reason, count) in reasons {
            for _ in 0..*count {
                counts.add(MissedKind::Block, (*reason).into());
            }
        }
        counts.story(MissedKind::Block)
    }

    #[test]
    fn the_most_frequent_reasons_are_told() {
        assert_eq!(told(&[]), None);
        assert_eq!(
            told(&[("down", 1)]).as_deref(),
            Some("1 block missed (down)")
        );
        assert_eq!(
            told(&[("down", 2), ("locked", 7)]).as_deref(),
            Some("9 blocks missed (7 of them: locked; 2 of them: down)")
        );
        assert_eq!(
            told(&[("a", 1), ("b", 9), ("c", 5), ("d", 3)]).as_deref(),
            Some(
                "18 blocks missed (9 of them: b; 5 of them: c; 3 of them: d; 1 for other reasons)"
            )
        );
    }

    #[test]
    fn a_node_that_says_something_else_each_time_does_not_fill_the_report() {
        let mut counts = Counts::default();
        for number in 0..1_000 {
            counts.add(MissedKind::Block, number.to_string().into());
        }
        let kept = counts.reasons();
        assert_eq!(kept.len(), REASONS_KEPT);
        let told = counts.story(MissedKind::Block).unwrap();
        assert!(told.starts_with("1,000 blocks missed ("), "{told}");
        assert!(told.ends_with("; 997 for other reasons)"), "{told}");
    }
}
