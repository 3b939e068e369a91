//! What became of each double spend: two conflicting transactions, each given to one side of a
//! partition.
//!
//! It *took place* when two different transactions were submitted while a partition was in
//! force, on two different sides of it, and both nodes took theirs. Only then does it say
//! something that exactly n of the two are in the final chain.

use peerlab_link::Nanos;
use serde::Serialize;

use super::bandwidth::node_name;
use super::forks::FinalChain;
use super::record::{Partition, Record, Spend};
use super::tree::BlockId;
use crate::plan::Plan;

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
pub fn all(
    plan: &Plan,
    record: &Record,
    partitions: &[Partition],
    chain: &FinalChain,
) -> Vec<DoubleSpend> {
    plan.faults
        .iter()
        .enumerate()
        .filter(|(_, f)| f.is_double_spend())
        .map(|(index, _)| one(plan, record, partitions, chain, index as u32))
        .collect()
}

fn one(
    plan: &Plan,
    record: &Record,
    partitions: &[Partition],
    chain: &FinalChain,
    fault: u32,
) -> DoubleSpend {
    let empty = Vec::new();
    let mut spends: Vec<&Spend> = record
        .double_spends
        .get(&fault)
        .unwrap_or(&empty)
        .iter()
        .collect();
    spends.sort_by_key(|s| (s.t, s.node, &s.txid));
    let sides: Vec<SpendSide> = spends
        .iter()
        .map(|spend| side(plan, record, chain, spend))
        .collect();
    DoubleSpend {
        fault,
        confirmed: sides
            .iter()
            .filter(|s| s.confirmed_height.is_some())
            .count() as u32,
        flaw: flaw(plan, partitions, &spends),
        sides,
    }
}

fn side(plan: &Plan, record: &Record, chain: &FinalChain, spend: &Spend) -> SpendSide {
    let none = Vec::new();
    let blocks = record.blocks_of_tx.get(&spend.txid).unwrap_or(&none);
    let in_chain = |b: &&BlockId| chain.blocks.contains(b);
    SpendSide {
        txid: spend.txid.clone(),
        node: node_name(plan, spend.node),
        submitted_ns: spend.t,
        confirmed_height: blocks.iter().find(in_chain).map(|b| record.tree.height(*b)),
        undone: blocks.iter().any(|b| !in_chain(&b)),
    }
}

/// Why it did not take place.
fn flaw(plan: &Plan, partitions: &[Partition], spends: &[&Spend]) -> Option<String> {
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
        let node = node_name(plan, spend.node);
        return Some(format!("{node} refused its transaction ({reason})"));
    }
    let between = |p: &Partition| p.in_force(a.t) && p.in_force(b.t) && p.separates(a.node, b.node);
    (!partitions.iter().any(between)).then(|| {
        "no partition lay between the two nodes when the transactions were submitted".to_owned()
    })
}
