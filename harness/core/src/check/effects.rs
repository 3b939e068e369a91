//! Whether every fault took effect. With one that did nothing the run proves nothing, whatever held.
//!
//! **Without effect** is an order of the fault schedule that failed where it was carried out, one of
//! which nothing was heard in time, and a replacement after which the node kept what it had: the
//! chain of its first answer, above what all nodes start from, has more than [`SURPLUS_MAX`] times
//! the bytes that had been delivered to it since the other was gone.

use peerlab_link::proto::{Action, ProcessOp, STOP_GRACE, Seen, Timed};
use peerlab_link::{Change, Nanos, NodeId};
use serde::Serialize;

use super::record::{MoveKind, Record};
use super::run::Run;
use crate::event::FORMAT_WITH_EFFECTS;
use crate::plan::Plan;
use crate::plan::spec::Fault;
use crate::words;

/// How long it may take to hear of an order: what a polite stop may take, and half as much again.
const ANSWER_TIMEOUT: Nanos = Nanos(STOP_GRACE.0 / 2 * 3);
/// A chain takes at least so many times fewer bytes to receive: blocks may come without witnesses.
const SURPLUS_MAX: u64 = 2;
/// How long after its end an order of a fault may be due at the latest.
const AFTERMATH: Nanos = Nanos::from_secs(1);
/// So many are named as reasons for a run that proves nothing.
const NAMED_MAX: usize = 3;

/// An order that had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WithoutEffect {
    /// Index into the plan's faults, where the order is one's.
    pub fault: Option<u32>,
    /// The fault as the plan tells it.
    pub label: Option<String>,
    /// What was ordered: `kill`, `wipe`, `heal`.
    pub order: &'static str,
    /// At which node, by name; `None` where it is about the network.
    pub node: Option<String>,
    pub at_ns: Nanos,
    pub reason: String,
}

/// All orders without effect, in the order of the fault schedule; then the replacements.
pub fn without_effect(run: &Run<'_>) -> Vec<WithoutEffect> {
    let (plan, record) = (run.plan, run.record);
    let told = record.started.as_ref().map_or(0, |started| started.format) >= FORMAT_WITH_EFFECTS;
    let failed = |(line, timed): (u32, &Timed)| {
        let reason = match record.effects.get(&line) {
            Some(Ok(_)) => return None,
            Some(Err(reason)) => reason.clone(),
            None if told && is_overdue(plan, record, timed.at) => "nothing was heard of it".into(),
            None => return None,
        };
        let (order, node, fault) = order(plan, timed);
        Some(entry(plan, order, node, fault, timed.at, reason))
    };
    let failed = (0..).zip(&plan.fault_schedule).filter_map(failed);
    failed.chain(kept(run)).collect()
}

/// Whether it should have been heard by the end of the run what became of an order.
fn is_overdue(plan: &Plan, record: &Record, at: Nanos) -> bool {
    at < plan.end() && at.saturating_add(ANSWER_TIMEOUT) < record.end
}

/// Replaced nodes that kept what they had.
fn kept(run: &Run<'_>) -> Vec<WithoutEffect> {
    let (plan, tree) = (run.plan, run.tree());
    if run.record.replaced.is_empty() {
        return Vec::new();
    }
    let moves = run.timeline.by_node();
    let kept = |&(t, node, received): &(Nanos, NodeId, u64)| {
        let later = moves.get(node.index())?.iter().filter(|m| m.t >= t);
        let first = later.filter_map(|m| match m.kind {
            MoveKind::Tip(tip) => Some(tip),
            MoveKind::Up | MoveKind::Down { .. } | MoveKind::Untold | MoveKind::Meant(_) => None,
        });
        let tip = first.take(1).next()?;
        let mined = tree.downwards(tip).map_while(|block| tree.described(block));
        let bytes: u64 = mined.map(|block| block.size).sum();
        if bytes <= received.saturating_mul(SURPLUS_MAX) {
            return None;
        }
        let reason = format!(
            "its first answer was a chain to height {} with {} of blocks, and it had received {}: it \
             kept its disk",
            tree.height(tip),
            words::bytes(bytes),
            words::bytes(received)
        );
        let fault = cause(plan, node, t);
        Some(entry(plan, "replacement", Some(node), fault, t, reason))
    };
    run.record.replaced.iter().filter_map(kept).collect()
}

fn entry(
    plan: &Plan,
    order: &'static str,
    node: Option<NodeId>,
    fault: Option<u32>,
    at_ns: Nanos,
    reason: String,
) -> WithoutEffect {
    let planned = fault.and_then(|fault| plan.faults.get(fault as usize));
    WithoutEffect {
        fault,
        label: planned.map(|fault| fault.label.clone()),
        order,
        node: node.map(|node| plan.node_name(node)),
        at_ns,
        reason,
    }
}

/// What a line of the fault schedule orders, of whom, and for which of the plan's faults.
fn order(plan: &Plan, line: &Timed) -> (&'static str, Option<NodeId>, Option<u32>) {
    let (order, node, fault) = match &line.action {
        Action::Link(change) => match change {
            Change::Partition { id, .. } => ("partition", None, Some(*id)),
            Change::Heal { id } => ("heal", None, Some(*id)),
            Change::Shape { id, .. } => ("shape", None, Some(*id)),
            Change::Unshape { id } => ("end of the shape", None, Some(*id)),
            Change::Silence { node } => ("silence", Some(*node), None),
            Change::Unsilence { node } => ("end of the silence", Some(*node), None),
            Change::HealAll => ("heal of everything", None, None),
        },
        Action::Process { node, op } => {
            let (order, fault) = match op {
                ProcessOp::Kill => ("kill", None),
                ProcessOp::Stop => ("stop", None),
                ProcessOp::Start => ("start", None),
                ProcessOp::Freeze => ("freeze", None),
                ProcessOp::Thaw => ("thaw", None),
                ProcessOp::Wipe => ("wipe", None),
                ProcessOp::Slow { id, .. } => ("slowing", Some(*id)),
                ProcessOp::Unslow { id } => ("end of the slowing", Some(*id)),
            };
            (order, Some(*node), fault)
        }
    };
    (order, node, fault.or_else(|| cause(plan, node?, line.at)))
}

/// The fault or churn rule for which something is done to a node's program: the one that began last.
fn cause(plan: &Plan, node: NodeId, at: Nanos) -> Option<u32> {
    let holds = |(_, fault): &(u32, &Fault)| {
        let over = |end: Nanos| end.saturating_add(AFTERMATH) < at;
        fault.start <= at && !fault.end.is_some_and(over) && fault.takes_down(node)
    };
    let causes = (0..).zip(&plan.faults).filter(holds);
    let last = causes.max_by_key(|(_, fault)| fault.start);
    last.map(|(index, _)| index)
}

/// Why a run with such orders proves nothing, a sentence each for the first of them.
pub fn sentences(all: &[WithoutEffect]) -> Vec<String> {
    let sentence = |it: &WithoutEffect| {
        let of = it.node.as_ref().map(|node| format!(" of {node}"));
        let label = it.label.as_ref().map(|label| format!(" ({label})"));
        format!(
            "the {}{} at {}{} had no effect: {}",
            it.order,
            of.unwrap_or_default(),
            words::instant(it.at_ns),
            label.unwrap_or_default(),
            it.reason
        )
    };
    let others = all.len().saturating_sub(NAMED_MAX) as u64;
    let more = (others > 0).then(|| {
        let orders = words::count(others, "other order");
        format!("{orders} of the fault schedule had no effect")
    });
    let named = all.iter().take(NAMED_MAX).map(sentence);
    named.chain(more).collect()
}

/// Partitions that no packet ran into, by their labels.
pub fn idle_partitions(run: &Run<'_>) -> Vec<String> {
    let cut_at = |wanted: &dyn Fn(&Change) -> bool| {
        let mut lines = (0..).zip(&run.plan.fault_schedule);
        let line = lines.find(|(_, line)| matches!(&line.action, Action::Link(c) if wanted(c)));
        match run.record.effects.get(&line?.0)? {
            Ok(Seen::Linked { cut }) => Some(*cut),
            _ => None,
        }
    };
    let idle = run.partitions.iter().filter(|partition| {
        let fault = partition.fault;
        let before = cut_at(&|c| matches!(c, Change::Partition { id, .. } if *id == fault));
        let after = cut_at(&|c| matches!(c, Change::Heal { id } if *id == fault));
        before.is_some() && before == after
    });
    idle.map(|partition| partition.label.clone()).collect()
}
