//! How compact blocks (BIP152) served the nodes of each group: of the new blocks that came in compact
//! form, how many were put together from transactions that were there, and what it cost where that was
//! not so. By the nodes' own counters when last asked, which begin anew with each incarnation: of nodes
//! whose program is killed and started again they tell only of its last one.

use peerlab_link::Nanos;
use serde::Serialize;

use super::record::Record;
use crate::event::CompactSums;
use crate::plan::Plan;

/// A group's compact blocks, each of its nodes counted for itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompactBlocks {
    /// The group's name.
    pub group: String,
    /// Put together from what was there.
    pub rebuilt: u64,
    /// More had to be asked for.
    pub asked: u64,
    /// Transactions that were not there, on average over those.
    pub missing_mean: Option<f64>,
    /// From the compact block to the block, on average over those.
    pub waited_mean_ns: Option<Nanos>,
}

/// The compact blocks of each group that had any, in the order of the plan.
pub fn by_group(plan: &Plan, record: &Record) -> Vec<CompactBlocks> {
    let mut sums = vec![CompactSums::default(); plan.groups.len()];
    for (node, (_, own)) in &record.peers {
        let Some(own) = own.compact else { continue };
        let group = plan.nodes.get(node.0 as usize);
        let Some(sum) = group.and_then(|node| sums.get_mut(node.group as usize)) else {
            continue;
        };
        sum.rebuilt = sum.rebuilt.saturating_add(own.rebuilt);
        sum.asked = sum.asked.saturating_add(own.asked);
        sum.missing = sum.missing.saturating_add(own.missing);
        sum.waited = sum.waited.saturating_add(own.waited);
    }
    let groups = plan.groups.iter().zip(sums);
    groups
        .filter(|(_, sum)| sum.rebuilt > 0 || sum.asked > 0)
        .map(|(group, sum)| CompactBlocks {
            group: group.name.clone(),
            rebuilt: sum.rebuilt,
            asked: sum.asked,
            missing_mean: (sum.asked > 0).then(|| sum.missing as f64 / sum.asked as f64),
            waited_mean_ns: sum.waited.0.checked_div(sum.asked).map(Nanos),
        })
        .collect()
}
