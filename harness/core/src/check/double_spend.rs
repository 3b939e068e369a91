//! What became of each double spend: two conflicting transactions, each given to one side of a
//! partition.
//!
//! It *took place* when two different transactions were submitted while a partition was in
//! force, on two different sides of it, and both nodes took theirs. Only then does it say
//! something that exactly n of the two are in the final chain.

use peerlab_link::Nanos;
use serde::Serialize;

use super::record::{Partition, Spend};
use super::run::Run;
use super::tree::BlockId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoubleSpend {
    /// Index into the plan's faults.
    pub fault: u32,
    /// The two transactions, in the order in which they were submitted.
    pub sides: Vec<SpendSide>,
    /// How many of them are in the final chain.
    pub confirmed: u32,
    /// Why it did not take place as meant; `None` when it did.
    pub flaw: Option<String>,
}

/// One of the two transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpendSide {
    pub txid: String,
    /// The node that it was given to.
    pub node: String,
    pub submitted_ns: Nanos,
    /// Height of the block of the final chain that holds it.
    pub confirmed_height: Option<u32>,
    /// Whether a block that is not in the final chain holds it: it was confirmed, and undone.
    pub undone: bool,
}

/// Every double spend of the plan.
pub fn all(run: &Run<'_>) -> Vec<DoubleSpend> {
    let faults = (0..).zip(&run.plan.faults);
    let double_spends = faults.filter(|(_, fault)| fault.is_double_spend());
    double_spends.map(|(index, _)| one(run, index)).collect()
}

fn one(run: &Run<'_>, fault: u32) -> DoubleSpend {
    let mut spends = run
        .record
        .double_spends
        .get(&fault)
        .cloned()
        .unwrap_or_default();
    spends.sort_by(|a, b| (a.t, a.node, &a.txid).cmp(&(b.t, b.node, &b.txid)));
    let sides: Vec<SpendSide> = spends.iter().map(|spend| side(run, spend)).collect();
    let confirmed = sides.iter().filter(|s| s.confirmed_height.is_some());
    DoubleSpend {
        fault,
        confirmed: confirmed.count() as u32,
        flaw: flaw(run, &spends),
        sides,
    }
}

fn side(run: &Run<'_>, spend: &Spend) -> SpendSide {
    let blocks = run.record.blocks_of_tx.get(&spend.txid);
    let (kept, undone): (Vec<BlockId>, Vec<BlockId>) = blocks
        .into_iter()
        .flatten()
        .partition(|b| run.chain.blocks.contains(b));
    SpendSide {
        txid: spend.txid.clone(),
        node: run.plan.node_name(spend.node),
        submitted_ns: spend.t,
        confirmed_height: kept.first().map(|b| run.tree().height(*b)),
        undone: !undone.is_empty(),
    }
}

/// Why it did not take place.
fn flaw(run: &Run<'_>, spends: &[Spend]) -> Option<String> {
    let [a, b] = spends else {
        return Some(match spends.len() {
            0 => "neither transaction was submitted".to_owned(),
            1 => "only one of the two transactions was submitted".to_owned(),
            n => format!("{n} transactions were submitted instead of two"),
        });
    };
    if a.txid == b.txid {
        return Some("both transactions were the same".to_owned());
    }
    if let Some((spend, reason)) = [a, b].iter().find_map(|s| Some((s, s.refused.as_ref()?))) {
        let node = run.plan.node_name(spend.node);
        return Some(format!("{node} did not take its transaction ({reason})"));
    }
    let between = |p: &Partition| p.in_force(a.t) && p.in_force(b.t) && p.separates(a.node, b.node);
    (!run.partitions.iter().any(between)).then(|| {
        "no partition lay between the two nodes when the transactions were submitted".to_owned()
    })
}
