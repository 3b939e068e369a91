//! The network now, for Prometheus: one family of metrics after the other, in its text format (0.0.4).
//! What is known is told; what is not yet (a node's height while it is down, say) has no sample.

use peerlab_link::Nanos;
use peerlab_link::proto::{DropReason, NodeCounters};
use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::network_view::{Deliveries, NetworkView, NodeRow, Status};
use crate::error::{Explain as _, Result, hint};

/// What the metrics are made of: taken at once, so that whoever keeps the view is not held up.
#[derive(Clone, Debug)]
pub struct Metrics {
    status: Status,
    rows: Vec<NodeRow>,
    counters: Vec<NodeCounters>,
    deliveries: Deliveries,
    forks: u64,
}

impl Metrics {
    /// A network as it is at an instant.
    pub fn of(view: &NetworkView, network: &str, now: Nanos) -> Metrics {
        Metrics {
            status: view.status(network, now),
            rows: view.rows().to_vec(),
            counters: view.counters().to_vec(),
            deliveries: view.deliveries(),
            forks: view.forks(),
        }
    }

    /// All of it as text.
    ///
    /// # Errors
    /// Only where we made a mistake.
    pub fn text(&self) -> Result<String> {
        let mut families = self.of_network();
        families.extend(self.of_nodes());
        families.extend(self.of_wire());
        families.extend(self.of_fabric());
        // A family without a sample is not to be told.
        let families = families.into_iter().filter(|family| !family.is_empty());
        let families: Vec<MetricFamily> = families.map(Family::finish).collect();
        let text = TextEncoder::new().encode_to_string(&families);
        let text = text.map_err(|error| error.to_string());
        text.or_environment(|| "cannot write the metrics".into(), hint::BUG)
    }

    fn of_network(&self) -> Vec<Family> {
        let status = &self.status;
        let one = |family: Family, value: f64| family.with(self.labels(&[]), value);
        let gauge = |name, help, value| one(Family::gauge(name, help), value);
        let counter = |name, help, value: u64| one(Family::counter(name, help), value as f64);
        let about = Family::gauge("peerlab_network_info", "What carries the network.");
        vec![
            about.with(self.labels(&[("engine", &status.engine)]), 1.0),
            gauge(
                "peerlab_network_uptime_seconds",
                "How long the network has been up.",
                status.up_for_ns.as_secs_f64(),
            ),
            gauge(
                "peerlab_network_nodes",
                "Nodes that it has.",
                status.nodes as f64,
            ),
            gauge(
                "peerlab_network_nodes_up",
                "Nodes that answer.",
                status.nodes_up as f64,
            ),
            gauge(
                "peerlab_network_agreed",
                "Whether all nodes that run have one tip.",
                f64::from(u8::from(status.agreed)),
            ),
            gauge(
                "peerlab_network_height",
                "Height of the highest tip.",
                f64::from(status.height),
            ),
            gauge(
                "peerlab_network_branches",
                "Tips that no other node's tip builds on; more than one while the chain is forked.",
                status.branches.len() as f64,
            ),
            counter(
                "peerlab_network_forks_total",
                "Blocks whose parent another block was built on already.",
                self.forks,
            ),
            counter(
                "peerlab_network_blocks_total",
                "Blocks that were seen.",
                status.blocks,
            ),
            counter(
                "peerlab_network_transactions_total",
                "Payments that a node took.",
                status.transactions,
            ),
            gauge(
                "peerlab_network_faults",
                "Faults in force.",
                status.faults.len() as f64,
            ),
        ]
    }

    fn of_nodes(&self) -> Vec<Family> {
        let mut about = Family::gauge("peerlab_node_info", "Where a node is.");
        let mut up = Family::gauge("peerlab_node_up", "Whether the node answers.");
        let mut height = Family::gauge("peerlab_node_height", "Height of the node's tip.");
        let mut peers = Family::gauge(
            "peerlab_node_peers",
            "Connections of the node, when they were last counted, by who opened them.",
        );
        let mut restarts = Family::counter(
            "peerlab_node_restarts_total",
            "How often the node's program came up again.",
        );
        for row in self.rows.iter().filter(|row| row.state.is_node()) {
            let node = ("node", row.node.as_str());
            let ip = row.ip.to_string();
            let place = [node, ("region", &row.region), ("ip", &ip)];
            about.add(self.labels(&place), 1.0);
            up.add(self.labels(&[node]), f64::from(u8::from(row.state.is_up())));
            if let Some(tip) = &row.tip {
                height.add(self.labels(&[node]), f64::from(tip.height));
            }
            if let Some(count) = row.peers {
                for (direction, count) in [("outbound", count.outbound), ("inbound", count.inbound)]
                {
                    let labels = self.labels(&[node, ("direction", direction)]);
                    peers.add(labels, f64::from(count));
                }
            }
            restarts.add(self.labels(&[node]), f64::from(row.restarts));
        }
        vec![about, up, height, peers, restarts]
    }

    /// What nodes sent and received.
    fn of_wire(&self) -> Vec<Family> {
        let mut bytes = Family::counter(
            "peerlab_node_bytes_total",
            "Bytes of the node on the emulated wire, IP headers and framing counted.",
        );
        let mut packets = Family::counter(
            "peerlab_node_packets_total",
            "Packets of the node on the emulated wire.",
        );
        let mut drops = Family::counter(
            "peerlab_node_dropped_packets_total",
            "Packets that the node sent and that were not delivered, by reason.",
        );
        let counted = self.rows.iter().zip(&self.counters);
        for (row, counters) in counted.filter(|(row, _)| row.state.is_node()) {
            let node = ("node", row.node.as_str());
            let directions = [
                ("sent", counters.tx_bytes, counters.tx_packets),
                ("received", counters.rx_bytes, counters.rx_packets),
            ];
            for (direction, of_bytes, of_packets) in directions {
                let labels = self.labels(&[node, ("direction", direction)]);
                bytes.add(labels.clone(), of_bytes as f64);
                packets.add(labels, of_packets as f64);
            }
            for (reason, name) in DropReason::NAMED {
                let labels = self.labels(&[node, ("reason", name)]);
                drops.add(labels, counters.drops[reason as usize] as f64);
            }
        }
        vec![bytes, packets, drops]
    }

    /// Whether the host keeps up.
    fn of_fabric(&self) -> Vec<Family> {
        let counter = |name, help, value| Family::counter(name, help).with(self.labels(&[]), value);
        vec![
            counter(
                "peerlab_fabric_packets_total",
                "Packets that were to be delivered at an instant.",
                self.deliveries.packets as f64,
            ),
            counter(
                "peerlab_fabric_late_packets_total",
                "Of these, the ones that were delivered more than 10 ms late.",
                self.deliveries.late as f64,
            ),
            counter(
                "peerlab_fabric_away_seconds_total",
                "Time in which the fabric got no CPU.",
                self.deliveries.away.as_secs_f64(),
            ),
        ]
    }

    /// Labels, the network's before them.
    fn labels(&self, labels: &[(&str, &str)]) -> Vec<LabelPair> {
        let network = ("network", self.status.network.as_str());
        let all = std::iter::once(network).chain(labels.iter().copied());
        let pair = |(name, value): (&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.into());
            pair.set_value(value.into());
            pair
        };
        all.map(pair).collect()
    }
}

/// A family under way.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    fn gauge(name: &'static str, help: &'static str) -> Family {
        Family {
            name,
            help,
            kind: MetricType::GAUGE,
            metrics: Vec::new(),
        }
    }

    fn counter(name: &'static str, help: &'static str) -> Family {
        Family {
            kind: MetricType::COUNTER,
            ..Family::gauge(name, help)
        }
    }

    fn with(mut self, labels: Vec<LabelPair>, value: f64) -> Family {
        self.add(labels, value);
        self
    }

    fn add(&mut self, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    fn finish(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.into());
        family.set_help(self.help.into());
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        family
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use peerlab_link::NodeId;
    use peerlab_link::proto::Lateness;

    use super::super::PeerCount;
    use super::super::told::{block, tip};
    use super::*;
    use crate::check::story::{Story, secs};
    use crate::event::{RunEvent, What};

    /// A sample: name, labels, value.
    type Sample = (String, BTreeMap<String, String>, f64);

    /// Reads the format as its specification has it, and panics where a text is not that.
    fn read(text: &str) -> Vec<Sample> {
        let mut family = String::new();
        let mut helped = BTreeSet::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, _) = help.split_once(' ').unwrap();
                assert!(helped.insert(name.to_owned()), "{name} twice");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(["counter", "gauge"].contains(&kind), "{kind}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert!(helped.contains(name), "{name}");
                family = name.to_owned();
            } else {
                let sample = read_sample(line);
                // Those of one family stand together, after its head.
                assert_eq!(sample.0, family, "{line}");
                samples.push(sample);
            }
        }
        samples
    }

    fn read_sample(line: &str) -> Sample {
        let (name, rest) = line.split_once('{').unwrap();
        let fine = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(fine), "{name}");
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        loop {
            let (label, quoted) = rest.split_once("=\"").unwrap();
            assert!(label.chars().all(fine), "{label}");
            let mut value = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("\\{c} is no escape"),
                    }),
                    (at, '"') => break at,
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none());
            rest = &quoted[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        let value = rest.strip_prefix("} ").unwrap().parse().unwrap();
        (name.to_owned(), labels, value)
    }

    fn value(samples: &[Sample], name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let meant = |(other, labels, _): &&Sample| {
            let has =
                |&(label, value): &(&str, &str)| labels.get(label).is_some_and(|v| v == value);
            other == name && wanted.iter().all(has)
        };
        samples.iter().find(meant).map(|(.., value)| *value)
    }

    /// Two nodes of two are up, on two branches.
    fn forked() -> NetworkView {
        let mut drops = [0; DropReason::COUNT];
        drops[DropReason::Partition as usize] = 7;
        let counters = |bytes| NodeCounters {
            tx_bytes: bytes,
            tx_packets: bytes / 100,
            drops,
            ..NodeCounters::default()
        };
        let nodes = vec![counters(4_000), counters(9_007_199_254_740_993)];
        let lateness = Lateness {
            packets: 50,
            late: 2,
            away: secs(0.5),
            ..Lateness::default()
        };
        let mut view = NetworkView::new(&Story::of(2).plan);
        let up = |node| What::NodeUp { node: NodeId(node) };
        let at = |node, tip| What::Tip {
            node: NodeId(node),
            tip,
        };
        let fidelity = || What::Fidelity {
            lateness,
            cpu_pressure: None,
            host_cpu: None,
        };
        for what in [
            up(0),
            up(1),
            block("1a", "00", 1),
            block("2b", "1a", 2),
            block("2c", "1a", 2),
            // Told once more, it is no other.
            block("2c", "1a", 2),
            at(0, tip("2b", 2)),
            at(1, tip("2c", 2)),
            What::Traffic { nodes },
            fidelity(),
            fidelity(),
        ] {
            view.take(&RunEvent { t: secs(5.0), what });
        }
        let (outbound, inbound) = (1, 3);
        view.counted_peers(NodeId(0), PeerCount { outbound, inbound });
        view
    }

    #[test]
    fn all_that_is_known_is_told_and_read_by_the_formats_rules() {
        let text = Metrics::of(&forked(), "net-2", secs(60.0)).text().unwrap();
        insta::assert_snapshot!(text);
        let samples = read(&text);
        let network = |name| value(&samples, name, &[("network", "net-2")]);
        assert_eq!(network("peerlab_network_uptime_seconds"), Some(60.0));
        assert_eq!(network("peerlab_network_agreed"), Some(0.0));
        assert_eq!(network("peerlab_network_branches"), Some(2.0));
        assert_eq!(network("peerlab_network_forks_total"), Some(1.0));
        assert_eq!(network("peerlab_fabric_late_packets_total"), Some(4.0));
        assert_eq!(network("peerlab_fabric_away_seconds_total"), Some(1.0));
        let first = |name, more| value(&samples, name, &[("node", "peers-0"), more]);
        let sent = ("direction", "sent");
        assert_eq!(first("peerlab_node_bytes_total", sent), Some(4_000.0));
        assert_eq!(
            first("peerlab_node_peers", ("direction", "inbound")),
            Some(3.0)
        );
        let dropped = "peerlab_node_dropped_packets_total";
        assert_eq!(first(dropped, ("reason", "partition")), Some(7.0));
        assert_eq!(first(dropped, ("reason", "loss")), Some(0.0));
    }

    #[test]
    fn what_is_not_known_yet_has_no_sample() {
        let view = NetworkView::new(&Story::of(2).plan);
        let samples = read(&Metrics::of(&view, "net-2", Nanos::ZERO).text().unwrap());
        assert_eq!(value(&samples, "peerlab_node_up", &[]), Some(0.0));
        for unknown in [
            "peerlab_node_height",
            "peerlab_node_peers",
            "peerlab_node_bytes_total",
        ] {
            assert_eq!(value(&samples, unknown, &[]), None, "{unknown}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_label() {
        let name = "a\"} 1\nup{b=\"\\";
        let text = Metrics::of(&forked(), name, secs(1.0)).text().unwrap();
        let samples = read(&text);
        assert!(
            samples
                .iter()
                .all(|(_, labels, _)| labels["network"] == name)
        );
        assert!(samples.len() > 20);
    }

    /// What the dashboard asks for is there, or its panels are empty.
    #[test]
    fn every_metric_of_the_dashboard_is_told() {
        let dashboard = include_str!("../../../grafana-dashboard.json");
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        let text = Metrics::of(&forked(), "net-2", secs(60.0)).text().unwrap();
        let told: BTreeSet<String> = read(&text).into_iter().map(|(name, ..)| name).collect();
        let asked = asked(&dashboard);
        assert!(asked.len() > 10, "{asked:?}");
        let missing: Vec<&String> = asked.difference(&told).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// The metrics that a dashboard's queries name.
    fn asked(value: &serde_json::Value) -> BTreeSet<String> {
        use serde_json::Value;
        match value {
            Value::String(text) => {
                let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                let named = words.filter(|word| word.starts_with("peerlab_"));
                named.map(str::to_owned).collect()
            }
            Value::Array(values) => values.iter().flat_map(asked).collect(),
            Value::Object(values) => values.values().flat_map(asked).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
        }
    }

    #[test]
    fn a_node_that_was_removed_is_told_of_no_more() {
        let mut view = forked();
        let node = NodeId(0);
        let what = What::Left { node };
        view.take(&RunEvent { t: secs(6.0), what });
        let samples = read(&Metrics::of(&view, "net-2", secs(60.0)).text().unwrap());
        let told: BTreeSet<&str> = samples
            .iter()
            .filter_map(|(_, labels, _)| labels.get("node").map(String::as_str))
            .collect();
        assert_eq!(told, BTreeSet::from(["peers-1"]));
        // The counters are still each node's own.
        let sent = [("node", "peers-1"), ("direction", "sent")];
        let sent = value(&samples, "peerlab_node_bytes_total", &sent).unwrap();
        assert!(sent > 1e15, "{sent}");
    }
}
