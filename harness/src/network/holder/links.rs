//! Who is connected to whom, for those who look at it: asked of the nodes, and not more often than is cheap.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Network;
use super::links_then::LinksThen;
use crate::engine::drive::ask_for_connections;

/// Least pause between two rounds of asking all nodes for their connections, and what it is for each
/// node: a screen that shows them is to cost the network next to nothing.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_OF_NODE: Duration = Duration::from_millis(60);

impl Network {
    /// Who is connected to whom: who opened it, and to whom. Whoever asks meanwhile waits, and is given
    /// the same.
    pub(super) async fn links(&self) -> Vec<(u32, u32)> {
        let mut links = self.links.lock().await;
        let pause = PAUSE.max(PAUSE_OF_NODE * self.view().node_count() as u32);
        if let Some(then) = &*links
            && then.asked.elapsed() < pause
        {
            return then.pairs.clone();
        }
        let pairs = self.ask_for_links().await;
        *links = Some(LinksThen {
            asked: Instant::now(),
            pairs: pairs.clone(),
        });
        pairs
    }

    async fn ask_for_links(&self) -> Vec<(u32, u32)> {
        let numbers: BTreeMap<IpAddr, u32> = {
            let roster = self.roster();
            let nodes = roster.present();
            nodes.map(|it| (it.ip.into(), it.id.0)).collect()
        };
        let mut links = Vec::new();
        for (node, connections) in ask_for_connections(&self.live.dialer, &self.view).await {
            let opened = connections.into_iter().filter(|it| !it.inbound);
            let others = opened.filter_map(|it| numbers.get(&it.other?));
            links.extend(others.map(|other| (node.0, *other)));
        }
        links.sort_unstable();
        // Two nodes may have several.
        links.dedup();
        links
    }

    /// Asks every node that is up how many connections it has.
    pub(super) async fn count_peers(&self) {
        ask_for_connections(&self.live.dialer, &self.view).await;
    }
}
