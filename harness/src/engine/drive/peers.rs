//! Whom each node is connected to, for those who look at a network while it is up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use peerlab_link::NodeId;

use super::dial::Dialer;
use crate::probe::{Connection, ProbeError, bounded};
use peerlab_core::view::{NetworkView, PeerCount};

/// How long a node may take to tell its connections.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Nodes that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Asks every node that is up for its connections, and writes into the view how many each has. A node
/// that does not answer is left out.
pub async fn ask_for_connections(
    dialer: &Dialer,
    view: &Mutex<NetworkView>,
) -> Vec<(NodeId, Vec<Connection>)> {
    let view = || view.lock().unwrap_or_else(PoisonError::into_inner);
    let up = view().up();
    let asked = up
        .into_iter()
        .map(|node| connections_of(dialer, node).boxed());
    let mut answers = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    let mut all = Vec::new();
    while let Some((node, answer)) = answers.next().await {
        match answer {
            Ok(connections) => {
                view().counted_peers(node, count(&connections));
                all.push((node, connections));
            }
            Err(error) => tracing::debug!("connections of node {node}: {error}"),
        }
    }
    all
}

fn count(connections: &[Connection]) -> PeerCount {
    let inbound = connections.iter().filter(|it| it.inbound).count() as u32;
    let outbound = connections.len() as u32 - inbound;
    PeerCount { outbound, inbound }
}

async fn connections_of(
    dialer: &Dialer,
    node: NodeId,
) -> (NodeId, Result<Vec<Connection>, ProbeError>) {
    let ask = async {
        let mut probe = dialer.probe(node).await?;
        let chain = probe.chain().ok_or(ProbeError::Unable("its peers"))?;
        chain.connections().await
    };
    (node, bounded(ANSWER_TIMEOUT, ask).await)
}
