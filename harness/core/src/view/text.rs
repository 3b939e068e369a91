//! The network now, as text: a table of nodes, and the whole in short. Lines fit 80 columns unless names
//! are long.

use std::fmt::Write as _;

use peerlab_link::proto::Lateness;

use super::network_view::{Branch, FidelityNow, NodeRow, NodeState, Status, TrafficNow};
use crate::words;

/// Characters of a block's hash that tell it from others. Regtest's begin like any number.
const HASH_CHARS: usize = 8;
/// Branches that are listed; of more the count is told.
const BRANCHES_SHOWN: usize = 8;
/// Faults that are listed, likewise.
const FAULTS_SHOWN: usize = 10;

/// Titles of the columns of [`node_cells`].
pub const NODE_TITLES: [&str; 8] = [
    "NODE", "STATE", "HEIGHT", "TIP", "PEERS", "SENT", "RECEIVED", "RESTARTS",
];

/// One line for each node, under a head.
pub fn nodes_text(rows: &[NodeRow]) -> String {
    let mut table = vec![NODE_TITLES.map(str::to_owned)];
    table.extend(rows.iter().map(node_cells));
    let mut widths = [0; 8];
    for line in &table {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &table {
        let mut shown = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Words to the left, numbers to the right.
            if matches!(column, 0 | 1 | 3) {
                let _ = write!(shown, "{cell:<width$}  ");
            } else {
                let _ = write!(shown, "{cell:>width$}  ");
            }
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// What is known of a node, column by column.
pub fn node_cells(row: &NodeRow) -> [String; 8] {
    let nothing = || "-".to_owned();
    let tip = row.tip.as_ref();
    let peers = row.peers;
    [
        words::visible(&row.node),
        state(&row.state),
        tip.map_or_else(nothing, |tip| tip.height.to_string()),
        tip.map_or_else(nothing, |tip| short(&tip.hash)),
        peers.map_or_else(nothing, |it| format!("{}+{}", it.outbound, it.inbound)),
        row.sent_bytes.map_or_else(nothing, words::bytes),
        row.received_bytes.map_or_else(nothing, words::bytes),
        row.restarts.to_string(),
    ]
}

fn state(state: &NodeState) -> String {
    match state {
        NodeState::Starting => "starting".into(),
        NodeState::Up => "up".into(),
        NodeState::Removed => "removed".into(),
        NodeState::Guest => "guest".into(),
        NodeState::Down { how: None, .. } => "down by itself".into(),
        NodeState::Down { how: Some(how), .. } => format!("down ({})", how.word()),
    }
}

/// The end of a hash: its beginning says little of a block that had to be found.
pub fn short(hash: &str) -> String {
    let count = hash.chars().count();
    let end: String = hash
        .chars()
        .skip(count.saturating_sub(HASH_CHARS))
        .collect();
    words::visible(&end)
}

/// The network in short.
pub fn status_text(status: &Status) -> String {
    let mut text = format!(
        "{} on {}, up for {}\n",
        status.network,
        status.engine,
        words::long(status.up_for_ns)
    );
    let _ = writeln!(text, "nodes     {} of {} up", status.nodes_up, status.nodes);
    let _ = writeln!(text, "tips      {}", agreement(status));
    if status.branches.len() > 1 {
        branches(&mut text, &status.branches);
    }
    if !status.behind.is_empty() {
        let _ = writeln!(text, "behind    {}", words::names(&status.behind));
    }
    let _ = writeln!(
        text,
        "ledger    {} and {} so far",
        words::count(status.blocks, "block"),
        words::count(status.transactions, "transaction")
    );
    let _ = writeln!(text, "traffic   {}", traffic_text(status));
    let _ = writeln!(
        text,
        "host      {}",
        fidelity_text(status.fidelity.as_ref())
    );
    if status.faults.is_empty() {
        text.push_str("faults    none in force\n");
    }
    for (index, fault) in status.faults.iter().take(FAULTS_SHOWN).enumerate() {
        let head = if index == 0 { "faults" } else { "" };
        let _ = writeln!(
            text,
            "{head:<8}  {}, {}",
            words::visible(&fault.label),
            fault.times()
        );
    }
    let more = status.faults.len().saturating_sub(FAULTS_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "          and {more} more");
    }
    text
}

/// What all send, and a node of them.
pub fn traffic_text(status: &Status) -> String {
    let Some(TrafficNow {
        sent_per_second,
        over_ns,
    }) = status.traffic
    else {
        return "not measured yet".into();
    };
    let each = sent_per_second / status.nodes.max(1) as f64;
    format!(
        "{} sent by all, {} by a node, over the last {}",
        words::rate(sent_per_second as u64),
        words::rate(each as u64),
        words::duration(over_ns)
    )
}

/// How well the host keeps up.
pub fn fidelity_text(fidelity: Option<&FidelityNow>) -> String {
    let Some(FidelityNow {
        lateness,
        cpu_pressure,
    }) = fidelity
    else {
        return "not measured yet".into();
    };
    let mut text = match (lateness.packets, lateness.late) {
        (0, _) => "no packets lately".to_owned(),
        (packets, 0) => format!("keeps up: none of {} late", words::count(packets, "packet")),
        (packets, late) => format!(
            "{} of {} more than {} late, up to {}",
            words::thousands(late),
            words::count(packets, "packet"),
            words::duration(Lateness::LATE),
            words::duration(lateness.max)
        ),
    };
    if let Some(pressure) = cpu_pressure {
        let _ = write!(text, "; CPU pressure {pressure:.0} %");
    }
    text
}

/// What the tips come to, in a sentence.
pub fn agreement(status: &Status) -> String {
    match (&status.branches[..], status.agreed) {
        ([], _) => "none known yet".into(),
        ([only], true) => format!(
            "all agree on {} at height {}",
            short(&only.tip.hash),
            status.height
        ),
        ([only], false) => format!(
            "one branch, up to {} at height {}",
            short(&only.tip.hash),
            status.height
        ),
        (several, _) => format!(
            "{} branches, the highest at {}",
            several.len(),
            status.height
        ),
    }
}

fn branches(text: &mut String, branches: &[Branch]) {
    for branch in branches.iter().take(BRANCHES_SHOWN) {
        let _ = writeln!(
            text,
            "          {} at height {}: {}",
            short(&branch.tip.hash),
            branch.tip.height,
            words::names(&branch.nodes)
        );
    }
    let more = branches.len().saturating_sub(BRANCHES_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "          and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::proto::{Action, NodeCounters, ProcessOp, Seen};
    use peerlab_link::{Nanos, NodeId};

    use super::super::told::{block, tip};
    use super::super::{NetworkView, PeerCount, Until};
    use super::*;
    use crate::check::story::{Story, secs};
    use crate::event::{RunEvent, Started, What};
    use crate::experiment::{Down, FaultKind};

    const B: NodeId = NodeId(1);

    fn view(events: Vec<(f64, What)>) -> NetworkView {
        let mut view = NetworkView::new(&Story::of(4).plan);
        view.take(&RunEvent {
            t: secs(0.0),
            what: What::Started(Started {
                format: 4,
                engine: "local".into(),
                version: String::new(),
                unix_nanos: 0,
                bring_up: secs(1.0),
                base: tip("00", 0),
            }),
        });
        for (t, what) in events {
            view.take(&RunEvent { t: secs(t), what });
        }
        view
    }

    fn at(node: u32, name: &str, height: u32) -> What {
        let node = NodeId(node);
        let tip = tip(name, height);
        What::Tip { node, tip }
    }

    fn up(node: u32) -> What {
        let node = NodeId(node);
        What::NodeUp { node }
    }

    fn down(node: u32, how: Option<Down>) -> What {
        What::NodeDown {
            node: NodeId(node),
            how,
            status: None,
            reason: None,
        }
    }

    /// The host did not keep up.
    fn late() -> What {
        What::Fidelity {
            lateness: Lateness {
                packets: 3_210,
                late: 321,
                max: secs(0.04),
                ..Lateness::default()
            },
            cpu_pressure: Some(81.4),
            host_cpu: None,
        }
    }

    #[test]
    fn a_network_that_agrees() {
        let counters = |bytes| What::Traffic {
            nodes: vec![
                NodeCounters {
                    tx_bytes: bytes,
                    rx_bytes: bytes / 2,
                    ..NodeCounters::default()
                };
                4
            ],
        };
        let mut events: Vec<(f64, What)> = (0..4).map(|node| (1.0, up(node))).collect();
        events.push((2.0, block("1a", "00", 1)));
        events.extend((0..4).map(|node| (2.5, at(node, "1a", 1))));
        events.extend([(5.0, counters(4_000)), (10.0, counters(14_000))]);
        let mut view = view(events);
        let (outbound, inbound) = (3, 1);
        view.counted_peers(B, PeerCount { outbound, inbound });
        assert!(Until::Agreed.holds(&view) && Until::Height(1).holds(&view));
        assert!(!Until::Height(2).holds(&view) && !Until::Peers(4).holds(&view));
        assert!(Until::Up(4).holds(&view) && !Until::Up(5).holds(&view));
        insta::assert_snapshot!(format!(
            "{}\n{}",
            nodes_text(view.rows()),
            status_text(&view.status("net-4", secs(3_725.0)))
        ));
    }

    #[test]
    fn a_network_that_is_split_and_has_nodes_that_are_down() {
        let mut events: Vec<(f64, What)> = (0..4).map(|node| (1.0, up(node))).collect();
        events.push((2.0, block("1a", "00", 1)));
        let kind = FaultKind::Down {
            nodes: vec![NodeId(3)],
            how: Down::Kill,
        };
        let fault = 0;
        let label = "kill of peers-3".to_owned();
        events.extend([
            (3.0, What::ByHand { fault, kind, label }),
            (3.0, What::FaultBegan { fault }),
            (3.0, down(3, Some(Down::Kill))),
            (4.0, block("2b", "1a", 2)),
            (4.0, block("2c", "1a", 2)),
            (4.5, at(0, "2b", 2)),
            (4.5, at(1, "2c", 2)),
            (4.5, at(2, "1a", 1)),
            (5.0, late()),
        ]);
        let mut view = view(events);
        view.lasts(fault, secs(60.0));
        // One that is not in force does not come to be.
        view.lasts(7, secs(60.0));
        assert!(!Until::Agreed.holds(&view) && Until::Up(3).holds(&view));
        let has = |node, name| view.has_block(NodeId(node), &tip(name, 0).hash);
        assert!(has(0, "2b") && has(0, "1a") && has(2, "1a"));
        assert!(!has(0, "2c") && !has(2, "2b") && !has(9, "1a"));
        insta::assert_snapshot!(format!(
            "{}\n{}",
            nodes_text(view.rows()),
            status_text(&view.status("net-4", secs(9.0)))
        ));
    }

    #[test]
    fn a_node_that_comes_back_is_told_as_starting_and_then_as_restarted() {
        let action = Action::Process {
            node: B,
            op: ProcessOp::Start,
        };
        let effect = What::Effect {
            line: 7,
            seen: Some(Seen::Running),
            error: None,
        };
        let mut events = vec![
            (1.0, up(1)),
            (2.0, down(1, None)),
            (3.0, What::Ordered { line: 7, action }),
            (3.0, effect),
        ];
        let state = |events: &[(f64, What)]| {
            let view = view(events.to_vec());
            let row = view.rows()[1].clone();
            (row.state, row.restarts)
        };
        assert_eq!(state(&events), (NodeState::Starting, 0));
        events.push((4.0, up(1)));
        assert_eq!(state(&events), (NodeState::Up, 1));
        // One that was frozen is the same as before.
        events.extend([(5.0, down(1, Some(Down::Freeze))), (6.0, up(1))]);
        assert_eq!(state(&events), (NodeState::Up, 1));
    }

    #[test]
    fn a_fault_of_a_plan_has_its_label_and_its_end() {
        let mut story = Story::of(4);
        let fault = story.partition(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
        let mut view = NetworkView::new(&story.plan);
        let mut take = |t, what| view.take(&RunEvent { t: secs(t), what });
        take(30.0, What::FaultBegan { fault });
        let row = view.status("x", secs(32.0)).faults[0].clone();
        assert_eq!(row.label, story.plan.faults[0].label);
        assert_eq!(row.times(), "for 2 s so far, 18 s left");
        // One that ends late is not told to go on for ages.
        let late = view.status("x", secs(51.0)).faults[0].left_ns;
        assert_eq!(late, Some(Nanos::ZERO));
    }

    #[test]
    fn what_nodes_say_is_escaped() {
        let mut view = view(vec![(1.0, up(0)), (1.0, at(0, "\u{1b}[2J\u{202e}", 1))]);
        view.lasts(0, secs(1.0));
        let text = nodes_text(view.rows()) + &status_text(&view.status("x", secs(2.0)));
        let unseen = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.chars().any(unseen), "{text:?}");
    }

    #[test]
    fn nobody_agrees_before_all_that_run_have_answered() {
        let mut events: Vec<(f64, What)> = (0..3).map(|node| (1.0, up(node))).collect();
        events.extend((0..3).map(|node| (1.0, at(node, "00", 0))));
        assert!(!view(events.clone()).agreed());
        events.push((2.0, down(3, None)));
        assert!(view(events).agreed());
        assert!(!view(Vec::new()).agreed());
    }
}
