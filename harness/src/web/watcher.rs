//! What is seen of the network: looked at twice a second, by one task for all pages, and kept for some
//! minutes, so that a page that is opened later shows them as well.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerlab_core::error::Result;
use peerlab_core::view::{
    Marks, NodeRow, Placement, Snapshot, Status, fidelity_text, place, traffic_text,
};
use peerlab_core::words;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::network::{Reply, Request, ask, snapshot, unexpected};

/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks that are kept: five minutes of them.
const SAMPLES_MAX: usize = 600;

/// All nodes at an instant, as a page draws them over time.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    /// Its number.
    n: u64,
    /// Seconds since the network came up.
    t: f64,
    /// A character for each node that there was.
    marks: String,
    /// Whether a fault was in force.
    faulty: bool,
}

/// What a page is told.
#[derive(Serialize)]
struct State<'a> {
    ended: bool,
    status: &'a Status,
    nodes: &'a [NodeRow],
    /// The number of each branch.
    branches: &'a [usize],
    /// In words.
    faults: Vec<String>,
    traffic: String,
    host: String,
    /// What the page does not have yet.
    samples: Vec<&'a Sample>,
}

/// Where nodes are drawn, and who is connected to whom.
#[derive(Serialize)]
struct Graph {
    #[serde(flatten)]
    placement: Placement,
    links: Vec<(u32, u32)>,
}

#[derive(Default)]
struct Seen {
    now: Option<Snapshot>,
    marks: Marks,
    samples: VecDeque<Sample>,
    next: u64,
    ended: bool,
}

/// See the module.
pub struct Watcher {
    network: String,
    seen: Mutex<Seen>,
}

impl Watcher {
    /// Of a network that is up.
    pub fn of(network: String) -> Watcher {
        Watcher {
            network,
            seen: Mutex::default(),
        }
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.network
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the network until it has ended.
    pub async fn watch(&self) {
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.look().await {
                tracing::debug!("{error}");
                self.seen().ended = true;
                return;
            }
        }
    }

    /// Looks at the network now.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn look(&self) -> Result<()> {
        let now = snapshot(&self.network).await?;
        self.seen().take(now);
        Ok(())
    }

    /// The nodes as they were last seen.
    pub fn nodes(&self) -> Vec<NodeRow> {
        let seen = self.seen();
        seen.now
            .as_ref()
            .map_or(Vec::new(), |now| now.nodes.clone())
    }

    /// What a page is told that has the samples before a number.
    ///
    /// # Errors
    /// Only where we made a mistake.
    pub fn state(&self, since: u64) -> serde_json::Result<Vec<u8>> {
        let seen = self.seen();
        match &seen.now {
            Some(now) if !seen.ended => serde_json::to_vec(&seen.state(now, since)),
            _ => Ok(br#"{"ended":true}"#.to_vec()),
        }
    }

    /// Where nodes are drawn, and who is connected to whom as far as they say so.
    ///
    /// # Errors
    /// When the network has ended.
    pub async fn graph(&self) -> Result<serde_json::Result<Vec<u8>>> {
        let links = match ask(Some(&self.network), Request::Links).await? {
            Reply::Links(links) => links,
            other => return Err(unexpected(&other)),
        };
        Ok(serde_json::to_vec(&Graph::of(&self.nodes(), links)))
    }
}

impl Graph {
    /// Links to nodes that joined since the network was last looked at are in the next.
    fn of(nodes: &[NodeRow], mut links: Vec<(u32, u32)>) -> Graph {
        let is_placed = |node: u32| (node as usize) < nodes.len();
        links.retain(|(from, to)| is_placed(*from) && is_placed(*to));
        let placement = place(nodes.iter().map(|row| row.region.as_str()));
        Graph { placement, links }
    }
}

impl Seen {
    fn take(&mut self, now: Snapshot) {
        self.marks.see(&now);
        let marks = self.marks.nodes().iter();
        self.samples.push_back(Sample {
            n: self.next,
            t: now.status.up_for_ns.as_secs_f64(),
            marks: marks.map(|mark| mark.letter()).collect(),
            faulty: !now.status.faults.is_empty(),
        });
        self.next += 1;
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.now = Some(now);
    }

    fn state<'a>(&'a self, now: &'a Snapshot, since: u64) -> State<'a> {
        let status = &now.status;
        let fault = |it: &peerlab_core::view::FaultRow| {
            format!("{}, {}", words::visible(&it.label), it.times())
        };
        State {
            ended: false,
            status,
            nodes: &now.nodes,
            branches: self.marks.branches(),
            faults: status.faults.iter().rev().map(fault).collect(),
            traffic: traffic_text(status),
            host: fidelity_text(status.fidelity.as_ref()),
            samples: self.samples.iter().filter(|it| it.n >= since).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_link_to_a_node_that_has_no_place_yet_is_left_out() {
        let row = NodeRow::new("peers-0".into(), Ipv4Addr::LOCALHOST, String::new());
        let rows = [row.clone(), row];
        let graph = Graph::of(&rows, vec![(0, 1), (0, 2), (2, 1)]);
        assert_eq!(graph.placement.nodes.len(), 2);
        assert_eq!(graph.links, [(0, 1)]);
    }
}
