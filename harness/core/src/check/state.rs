//! Whether the live nodes hold the same ledger at the end: the same tip and the same set of
//! unspent outputs. Two nodes with one tip and different states is the worst that a ledger can
//! do, and no slow host can cause it. Nodes that tell their states by different kinds of digest are
//! compared with those of their own kind.

use std::collections::BTreeMap;

use peerlab_link::NodeId;

use super::record::Record;

/// What sets the ledgers of some live nodes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// They were not told.
    Unread,
    /// Their tip is not the one that most have.
    OtherTip,
    /// Others have their tip, and most of those another state.
    OtherState,
    /// Each is the only one that tells its kind of digest.
    Incomparable,
}

/// Compares the live nodes' ledgers; `None` when they are all the same.
pub fn flaw(record: &Record, live: &[NodeId]) -> Option<(Flaw, Vec<NodeId>)> {
    // By tip and kind of digest.
    let mut states = BTreeMap::<(&str, &str), Vec<(NodeId, &str)>>::new();
    let mut tips = Vec::new();
    let mut unread = Vec::new();
    for &node in live {
        let told = record.ledgers.get(&node);
        match told.and_then(|state| Some((&state.tip.hash, state.digest.as_ref()?.parts()))) {
            None => unread.push(node),
            Some((tip, (kind, digest))) => {
                tips.push((node, tip.as_str()));
                let same = states.entry((tip, kind)).or_default();
                same.push((node, digest));
            }
        }
    }
    // A contradiction under one tip outweighs a node that is silent or behind.
    let contradictions = states
        .values()
        .map(|same_tip| (Flaw::OtherState, minority(same_tip)));
    // It comes last: by then all have one tip.
    let alone = states.values().filter(|same| same.len() == 1).flatten();
    let alone = alone.map(|(node, _)| *node).collect();
    contradictions
        .chain([
            (Flaw::Unread, unread),
            (Flaw::OtherTip, minority(&tips)),
            (Flaw::Incomparable, alone),
        ])
        .find(|(_, nodes)| !nodes.is_empty())
}

/// Those whose value is not the one that most have (of equally many, the least).
fn minority(values: &[(NodeId, &str)]) -> Vec<NodeId> {
    let mut held = BTreeMap::<&str, usize>::new();
    for (_, value) in values {
        *held.entry(value).or_default() += 1;
    }
    let most = held.iter().rev().max_by_key(|(_, nodes)| **nodes);
    let others = values
        .iter()
        .filter(|(_, value)| most.is_none_or(|(most, _)| most != value));
    others.map(|(node, _)| *node).collect()
}
