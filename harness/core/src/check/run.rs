//! A run as its record tells it: the plan, what was recorded, who was live when, and on which chain
//! it ended. All measures start from it; nothing is measured here.

use std::collections::BTreeSet;

use peerlab_link::NodeId;

use super::record::{Partition, Record};
use super::timeline::{Crowd, Timeline};
use super::tree::{BlockId, BlockTree};
use crate::plan::Plan;

/// A run to be measured.
#[derive(Debug)]
pub struct Run<'a> {
    pub plan: &'a Plan,
    pub record: &'a Record,
    /// Who was live when, with which best block.
    pub timeline: Timeline<'a>,
    /// Those that took effect.
    pub partitions: Vec<Partition>,
    /// The chain at the end.
    pub chain: FinalChain,
}

/// The chain that the live nodes hold at the end.
#[derive(Clone, Debug, Default)]
pub struct FinalChain {
    /// Its blocks; empty when no live node has a known tip.
    pub blocks: BTreeSet<BlockId>,
    /// Whether all live nodes' tips lie on it.
    pub undisputed: bool,
}

impl<'a> Run<'a> {
    /// Takes the moves out of the record.
    pub fn of(plan: &'a Plan, record: &'a mut Record) -> Run<'a> {
        let moves = std::mem::take(&mut record.moves);
        let record = &*record;
        let timeline = Timeline::of(plan, record, moves);
        let crowd = Crowd::everybody(timeline.tree, timeline.at(timeline.end));
        let best = crowd.best();
        let chain = FinalChain {
            blocks: best
                .into_iter()
                .flat_map(|tip| record.tree.downwards(tip))
                .collect(),
            undisputed: best.is_some() && crowd.on_one_chain(),
        };
        Run {
            plan,
            record,
            timeline,
            partitions: record.partitions(plan),
            chain,
        }
    }

    pub fn tree(&self) -> &'a BlockTree {
        &self.record.tree
    }

    /// Names of nodes.
    pub fn names(&self, nodes: &[NodeId]) -> Vec<String> {
        nodes.iter().map(|n| self.plan.node_name(*n)).collect()
    }
}
