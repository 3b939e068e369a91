//! Whether the live nodes hold the same ledger at the end: the same tip and the same set of
//! unspent outputs. Two nodes with one tip and different states is the worst that a ledger can
//! do, and no slow host can cause it.

use peerlab_link::NodeId;

use super::record::Record;
use super::timeline::Timeline;

/// What the live nodes' ledgers came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerState {
    Same {
        /// How many live nodes.
        nodes: u32,
    },
    /// Fewer than two nodes were live at the end.
    TooFew {
        /// How many were.
        nodes: u32,
    },
    /// Live nodes that did not tell their state.
    Silent(Vec<NodeId>),
    /// Live nodes whose tip is not the one that most have.
    OtherTip(Vec<NodeId>),
    /// Live nodes with the tip that all have, but another state than most.
    OtherState(Vec<NodeId>),
}

/// Compares the live nodes' ledgers.
pub fn compare(record: &Record, timeline: &Timeline) -> LedgerState {
    let live: Vec<NodeId> = timeline
        .at_end()
        .iter()
        .enumerate()
        .filter(|(_, s)| s.live())
        .map(|(i, _)| NodeId(i as u32))
        .collect();
    if live.len() < 2 {
        return LedgerState::TooFew {
            nodes: live.len() as u32,
        };
    }
    let told = |n: &NodeId| {
        let (tip, muhash) = record.ledgers.get(n)?;
        Some((tip.hash.as_str(), muhash.as_deref()?))
    };
    // A contradiction under one tip outweighs a node that is silent or behind.
    if let Some(contradiction) = other_state(&live, told) {
        return LedgerState::OtherState(contradiction);
    }
    let silent: Vec<NodeId> = live.iter().copied().filter(|n| told(n).is_none()).collect();
    if !silent.is_empty() {
        return LedgerState::Silent(silent);
    }
    let other_tip = minority(&live, |n| told(n).map(|(tip, _)| tip));
    if !other_tip.is_empty() {
        return LedgerState::OtherTip(other_tip);
    }
    LedgerState::Same {
        nodes: live.len() as u32,
    }
}

/// Nodes that share a tip with others but not their state.
fn other_state<'a>(
    live: &[NodeId],
    told: impl Fn(&NodeId) -> Option<(&'a str, &'a str)>,
) -> Option<Vec<NodeId>> {
    let mut tips: Vec<&str> = live.iter().filter_map(|n| Some(told(n)?.0)).collect();
    tips.sort_unstable();
    tips.dedup();
    tips.into_iter()
        .map(|tip| {
            let same_tip: Vec<NodeId> = live
                .iter()
                .copied()
                .filter(|n| told(n).is_some_and(|(t, _)| t == tip))
                .collect();
            minority(&same_tip, |n| told(n).map(|(_, state)| state))
        })
        .find(|contradiction| !contradiction.is_empty())
}

/// Those whose value is not the one that most have (of equally many, the least).
fn minority<'a>(nodes: &[NodeId], value: impl Fn(&NodeId) -> Option<&'a str>) -> Vec<NodeId> {
    let mut values: Vec<Option<&str>> = nodes.iter().map(&value).collect();
    values.sort_unstable();
    let most = values
        .chunk_by(|a, b| a == b)
        .rev()
        .max_by_key(|same| same.len())
        .map(|same| same[0]);
    nodes
        .iter()
        .copied()
        .filter(|n| Some(value(n)) != most)
        .collect()
}
