//! What the network cost: bytes on the emulated wire, per node, direction and phase, and which
//! message types they went to.
//!
//! **Bandwidth**: bytes per second on the emulated wire, with IP and TCP headers and framing,
//! from the difference of a node's counters between the first sample at or after the start of a
//! phase and the first at or after its end, divided by the time between those two samples, down
//! time included. Nodes that were never live in the phase are left out. Quantiles over nodes are
//! by nearest rank, of sent plus received unless said otherwise.

use std::collections::BTreeMap;

use peerlab_link::Nanos;
use peerlab_link::proto::{DropReason, NodeCounters};
use serde::Serialize;

use super::quantile::nearest_rank;
use super::record::{Record, Sample};
use super::run::Run;
use crate::experiment::NodeQuantile;
use crate::plan::spec::Node;
use crate::words;

/// The least share of a phase that the samples must cover, percent: where the run ended early,
/// the figure of a small part would not be that of the phase.
const COVERED_PERCENT_MIN: u64 = 50;

/// How many message types the report names; the rest is summed as `other`.
const MESSAGE_TYPES_SHOWN: usize = 8;
/// How many characters of a type's name are kept: the protocol has 12 bytes for it, and a node may call
/// it anything.
const MESSAGE_TYPE_CHARS: usize = 12;

/// One node's bandwidth in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeRate {
    pub node: String,
    /// Bytes per second that it sent.
    pub sent_bytes_per_s: u64,
    /// Bytes per second that it received.
    pub received_bytes_per_s: u64,
}

impl NodeRate {
    /// Sent plus received.
    pub fn both(&self) -> u64 {
        self.sent_bytes_per_s + self.received_bytes_per_s
    }
}

/// Quantiles over nodes, bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Arithmetic mean.
    pub mean: u64,
    /// Median.
    pub p50: u64,
    /// 95th percentile.
    pub p95: u64,
    /// Greatest.
    pub max: u64,
}

impl Quantiles {
    /// Of some values; `None` when there are none.
    pub fn of(mut values: Vec<u64>) -> Option<Quantiles> {
        values.sort_unstable();
        let sum: u128 = values.iter().map(|v| u128::from(*v)).sum();
        Some(Quantiles {
            mean: u64::try_from(sum / u128::try_from(values.len()).ok().filter(|n| *n > 0)?)
                .ok()?,
            p50: nearest_rank(&values, 50)?,
            p95: nearest_rank(&values, 95)?,
            max: *values.last()?,
        })
    }

    /// The figure that an expectation asks for.
    pub fn get(&self, which: NodeQuantile) -> u64 {
        match which {
            NodeQuantile::Mean => self.mean,
            NodeQuantile::P50 => self.p50,
            NodeQuantile::P95 => self.p95,
            NodeQuantile::Max => self.max,
        }
    }
}

/// Bandwidth in one phase, or in the whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bandwidth {
    /// The phase; `None` for the whole run.
    pub phase: Option<String>,
    /// Time between the two samples that this is the difference of.
    pub measured_ns: Nanos,
    /// Over nodes: bytes per second, sent plus received.
    pub per_node: Quantiles,
    /// Over nodes: sent.
    pub per_node_sent: Quantiles,
    /// Over nodes: received.
    pub per_node_received: Quantiles,
    /// Every node that was live in the phase.
    pub nodes: Vec<NodeRate>,
}

/// Measures one phase, or with `None` the whole run; `Err` says why that cannot be done.
pub fn measure(run: &Run<'_>, phase: Option<&str>) -> Result<Bandwidth, String> {
    let plan = run.plan;
    let (start, end) = match phase {
        None => (Nanos::ZERO, plan.end()),
        Some(name) => plan
            .phases
            .iter()
            .find(|p| p.name == name)
            .map(|p| (p.start, p.end))
            .ok_or_else(|| format!("the plan has no phase {name}"))?,
    };
    let at = |border| {
        let sample = run.record.traffic.at_border(border);
        sample.ok_or("no byte counters were written")
    };
    let at_go = Sample::default();
    let first = match start {
        Nanos::ZERO => &at_go,
        _ => at(start)?,
    };
    let last = at(end)?;
    let measured = last.t.saturating_sub(first.t);
    let length = end.saturating_sub(start);
    if measured == Nanos::ZERO
        || u128::from(measured.0) * 100 < u128::from(length.0) * u128::from(COVERED_PERCENT_MIN)
    {
        return Err(format!(
            "the byte counters cover only {:.1} s of the {:.1} s",
            measured.as_secs_f64(),
            length.as_secs_f64()
        ));
    }
    let nodes = rates(run, first, last);
    let over = |figure: fn(&NodeRate) -> u64| {
        Quantiles::of(nodes.iter().map(figure).collect()).ok_or("no node was live")
    };
    Ok(Bandwidth {
        phase: phase.map(str::to_owned),
        measured_ns: measured,
        per_node: over(NodeRate::both)?,
        per_node_sent: over(|n| n.sent_bytes_per_s)?,
        per_node_received: over(|n| n.received_bytes_per_s)?,
        nodes,
    })
}

/// Of every node that was live between the two samples.
fn rates(run: &Run<'_>, first: &Sample, last: &Sample) -> Vec<NodeRate> {
    let stays = run.timeline.stays();
    let live = |(from, until): &(Nanos, Nanos)| *from <= last.t && *until > first.t;
    let nothing = NodeCounters::default();
    let rate = |(i, node): (usize, &Node)| {
        let [a, b] = [first, last].map(|sample| sample.nodes.get(i).unwrap_or(&nothing));
        let per_second = |from, to| per_second(from, to, last.t.saturating_sub(first.t));
        NodeRate {
            node: node.name.clone(),
            sent_bytes_per_s: per_second(a.tx_bytes, b.tx_bytes),
            received_bytes_per_s: per_second(a.rx_bytes, b.rx_bytes),
        }
    };
    let nodes = run.plan.nodes.iter().enumerate();
    nodes
        .filter(|(i, _)| stays[*i].iter().any(live))
        .map(rate)
        .collect()
}

/// The rate of a counter that goes from one value to another in a time.
pub fn per_second(from: u64, to: u64, time: Nanos) -> u64 {
    let bytes = u128::from(to.saturating_sub(from));
    u64::try_from(bytes * 1_000_000_000 / u128::from(time.0).max(1)).unwrap_or(u64::MAX)
}

/// One message type's part of the bytes that nodes sent to peers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageShare {
    /// The type as a terminal may show it, or `other` for all that are not named.
    pub message: String,
    /// Bytes, by the nodes' own counters.
    pub bytes: u64,
    /// Part of the whole, 0 to 1.
    pub share: f64,
}

/// Message types by bytes sent, most first. By the nodes' own counters over the connections
/// that they had when last asked: a share, not a sum of the run.
pub fn message_shares(record: &Record) -> Vec<MessageShare> {
    let mut by_type = BTreeMap::<String, u64>::new();
    for (message, bytes) in record.peers.values().flat_map(|(_, sums)| &sums.sent) {
        let kept: String = message.chars().take(MESSAGE_TYPE_CHARS).collect();
        let sum = by_type.entry(words::visible(&kept)).or_default();
        *sum = sum.saturating_add(*bytes);
    }
    let sum = |all: &[(String, u64)]| all.iter().map(|(_, n)| *n).fold(0, u64::saturating_add);
    let mut sorted: Vec<(String, u64)> = by_type.into_iter().filter(|(_, n)| *n > 0).collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let total = sum(&sorted);
    let rest = sorted.split_off(sorted.len().min(MESSAGE_TYPES_SHOWN));
    if !rest.is_empty() {
        sorted.push(("other".to_owned(), sum(&rest)));
    }
    let share = |(message, bytes)| MessageShare {
        message,
        bytes,
        share: bytes as f64 / total as f64,
    };
    sorted.into_iter().map(share).collect()
}

/// Dropped packets of all nodes, by reason; reasons without a drop are left out. Those that nodes'
/// own devices dropped, which the fabric has not seen, are one more.
pub fn drops(record: &Record) -> BTreeMap<String, u64> {
    let nodes = record.traffic.last().map_or(&[][..], |s| &s.nodes);
    let dropped = |(reason, name): (DropReason, &str)| {
        let counts = nodes.iter().map(|n| n.drops[reason as usize]);
        (name.to_owned(), counts.fold(0, u64::saturating_add))
    };
    let of_devices = ("device_queue".to_owned(), record.all_device_drops());
    let all = DropReason::NAMED
        .into_iter()
        .map(dropped)
        .chain([of_devices]);
    all.filter(|(_, count)| *count > 0).collect()
}
