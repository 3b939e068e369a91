//! What the screen knows: the network as it was last seen, and what the person at it has done.

use std::collections::VecDeque;

use peerlab_core::view::{Marks, NodeRow, Snapshot, TrafficNow};
use peerlab_core::words;
use peerlab_link::Nanos;

use super::colours::Colours;

/// Measurements of bandwidth that are kept: as many as a wide terminal draws.
const RATES_MAX: usize = 200;

/// What the screen is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To look at a network that another process holds: it stays.
    Watch,
    /// To look at one that this process holds: it ends with it.
    Hold,
    /// To look on while a plan is carried out, until then: nobody interferes.
    Run {
        /// When the plan ends.
        end: Nanos,
    },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Dashboard {
    pub purpose: Purpose,
    pub colours: Colours,
    /// The network, once it was seen.
    pub snapshot: Option<Snapshot>,
    /// What its nodes are shown as.
    pub marks: Marks,
    /// The node that keys act upon, by number.
    pub selected: usize,
    /// Bytes per second, as they were measured.
    pub rates: VecDeque<u64>,
    /// What came of what was done last.
    pub message: String,
    /// Whether the end was asked for once, and is to be asked for again.
    pub asked_to_end: bool,
    last_traffic: Option<TrafficNow>,
    /// What was said elsewhere last.
    heard: String,
}

impl Dashboard {
    /// Before anything was seen.
    pub fn new(purpose: Purpose, color: bool) -> Dashboard {
        Dashboard {
            purpose,
            colours: Colours { on: color },
            snapshot: None,
            marks: Marks::default(),
            selected: 0,
            rates: VecDeque::new(),
            message: String::new(),
            asked_to_end: false,
            last_traffic: None,
            heard: String::new(),
        }
    }

    /// The network was seen.
    pub fn see(&mut self, snapshot: Snapshot) {
        let traffic = snapshot.status.traffic;
        if traffic != self.last_traffic {
            self.last_traffic = traffic;
            let rate = traffic.map_or(0.0, |it| it.sent_per_second);
            self.rates.push_back(rate as u64);
            if self.rates.len() > RATES_MAX {
                self.rates.pop_front();
            }
        }
        self.selected = self.selected.min(snapshot.nodes.len().saturating_sub(1));
        self.marks.see(&snapshot);
        self.snapshot = Some(snapshot);
    }

    /// Something is to be said, in one line.
    pub fn say(&mut self, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines.collect::<Vec<_>>().join("; ");
        self.message = words::visible(&line);
    }

    /// Something was said that the screen hides: it is shown once.
    pub fn hear(&mut self, line: String) {
        if line != self.heard {
            self.say(&line);
            self.heard = line;
        }
    }

    /// All nodes, by number.
    pub fn nodes(&self) -> &[NodeRow] {
        self.snapshot.as_ref().map_or(&[], |it| &it.nodes)
    }

    /// The node that keys act upon.
    pub fn selected_node(&self) -> Option<&NodeRow> {
        self.nodes().get(self.selected)
    }
}

#[cfg(test)]
pub mod tests {
    use peerlab_core::event::Tip;
    use peerlab_core::experiment::Down;
    use peerlab_core::view::{Branch, FaultRow, FidelityNow, NodeState, PeerCount, Status};
    use peerlab_link::proto::Lateness;

    use super::*;

    pub fn tip(letter: &str, height: u32) -> Tip {
        Tip {
            hash: letter.repeat(64),
            height,
        }
    }

    fn row(number: usize, tip: Tip) -> NodeRow {
        NodeRow {
            node: format!("peers-{number}"),
            ip: std::net::Ipv4Addr::new(10, 0, 0, number as u8),
            region: "europe".into(),
            state: NodeState::Up,
            tip: Some(tip),
            peers: Some(PeerCount {
                outbound: 8,
                inbound: 3,
            }),
            sent_bytes: Some(12_345 + number as u64),
            received_bytes: Some(54_321),
            restarts: 0,
        }
    }

    /// So many nodes that agree.
    pub fn agreed(nodes: usize) -> Snapshot {
        let tip = tip("a", 12);
        let rows: Vec<NodeRow> = (0..nodes).map(|it| row(it, tip.clone())).collect();
        Snapshot {
            status: Status {
                network: format!("net-{nodes}"),
                engine: "local".into(),
                up_for_ns: Nanos(72_300_000_000),
                nodes,
                nodes_up: nodes,
                agreed: true,
                height: 12,
                branches: vec![Branch {
                    tip,
                    nodes: rows.iter().map(|row| row.node.clone()).collect(),
                }],
                behind: Vec::new(),
                blocks: 12,
                transactions: 3,
                faults: Vec::new(),
                traffic: Some(TrafficNow {
                    sent_per_second: 1_230.0 * nodes as f64,
                    over_ns: Nanos::from_secs(1),
                }),
                fidelity: Some(FidelityNow {
                    lateness: Lateness {
                        packets: 3_210,
                        ..Lateness::default()
                    },
                    cpu_pressure: Some(3.4),
                }),
            },
            nodes: rows,
        }
    }

    /// So many nodes in two halves, some of them in every other state.
    pub fn split(nodes: usize) -> Snapshot {
        let mut it = agreed(nodes);
        let (ahead, other) = (tip("a", 12), tip("b", 11));
        let down = |how| NodeState::Down { how, reason: None };
        for (number, row) in it.nodes.iter_mut().enumerate().skip(nodes / 2) {
            row.tip = Some(match number {
                0..=3 => ahead.clone(),
                _ => other.clone(),
            });
        }
        let states = [
            NodeState::Starting,
            down(Some(Down::Kill)),
            down(Some(Down::Freeze)),
            down(None),
        ];
        for (row, state) in it.nodes.iter_mut().rev().zip(states) {
            row.state = state;
            (row.tip, row.peers) = (None, None);
        }
        it.nodes[1].tip = Some(tip("0", 10));
        let on = |tip: &Tip| {
            let rows = it.nodes.iter().filter(|row| row.tip.as_ref() == Some(tip));
            Branch {
                tip: tip.clone(),
                nodes: rows.map(|row| row.node.clone()).collect(),
            }
        };
        it.status.branches = vec![on(&ahead), on(&other)];
        it.status.behind = vec!["peers-1".into()];
        it.status.agreed = false;
        it.status.nodes_up = nodes - 4;
        let fault = |fault, label: &str, left| FaultRow {
            fault,
            label: label.into(),
            since_ns: Nanos::from_secs(12),
            left_ns: left,
        };
        it.status.faults = vec![
            fault(0, "kill of peers-18", None),
            fault(
                1,
                "partition of 10 nodes from 10",
                Some(Nanos::from_secs(18)),
            ),
        ];
        it.status.fidelity = Some(FidelityNow {
            lateness: Lateness {
                packets: 3_210,
                late: 321,
                max: Nanos::from_millis(40),
                ..Lateness::default()
            },
            cpu_pressure: None,
        });
        it
    }

    pub fn board(purpose: Purpose, nodes: usize) -> Dashboard {
        let mut board = Dashboard::new(purpose, false);
        board.see(agreed(nodes));
        board
    }

    #[test]
    fn bandwidth_is_kept_once_a_measurement_and_not_for_ever() {
        let mut board = board(Purpose::Watch, 4);
        board.see(agreed(4));
        assert_eq!(board.rates, [4_920]);
        for rate in 0..500 {
            let mut snapshot = agreed(4);
            snapshot.status.traffic = Some(TrafficNow {
                sent_per_second: f64::from(rate),
                over_ns: Nanos::from_secs(1),
            });
            board.see(snapshot);
        }
        assert_eq!(board.rates.len(), RATES_MAX);
        assert_eq!(board.rates.back(), Some(&499));
    }

    #[test]
    fn a_message_is_one_line_and_drives_no_terminal() {
        let mut board = board(Purpose::Watch, 4);
        board.say("Error: no\n  Caused by: \u{1b}[2J\u{202e}x\n");
        assert_eq!(board.message, r"Error: no; Caused by: \u{1b}[2J\u{202e}x");
    }

    #[test]
    fn what_was_said_elsewhere_is_shown_once() {
        let mut board = board(Purpose::Watch, 4);
        board.hear("warning: x".into());
        assert_eq!(board.message, "warning: x");
        board.say("1 block by peers-0");
        board.hear("warning: x".into());
        assert_eq!(board.message, "1 block by peers-0");
    }

    #[test]
    fn the_selection_is_kept_within_a_network_that_shrank() {
        let mut board = board(Purpose::Watch, 10);
        board.selected = 9;
        board.see(agreed(3));
        assert_eq!(board.selected, 2);
    }
}
