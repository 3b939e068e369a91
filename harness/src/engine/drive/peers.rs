//! How many connections each node has, for those who look at a network while it is up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use peerlab_link::NodeId;

use super::dial::Dialer;
use crate::probe::{ProbeError, bounded};
use peerlab_core::event::PeerSums;
use peerlab_core::view::{NetworkView, PeerCount};

/// How long a node may take to count its connections.
pub const PEERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Nodes that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Asks every node that is up for its connections, and writes them into the view.
pub async fn count_peers(dialer: &Dialer, view: &Mutex<NetworkView>) {
    let view = || view.lock().unwrap_or_else(PoisonError::into_inner);
    let up = view().up();
    let asked = up.into_iter().map(|node| peers_of(dialer, node).boxed());
    let mut counted = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    while let Some((node, sums)) = counted.next().await {
        match sums {
            Ok(sums) => {
                let (outbound, inbound) = (sums.outbound, sums.inbound);
                view().counted_peers(node, PeerCount { outbound, inbound });
            }
            Err(error) => tracing::debug!("peers of node {node}: {error}"),
        }
    }
}

async fn peers_of(dialer: &Dialer, node: NodeId) -> (NodeId, Result<PeerSums, ProbeError>) {
    let count = async {
        let mut probe = dialer.probe(node).await?;
        let chain = probe.chain().ok_or(ProbeError::Unable("its peers"))?;
        chain.peers().await
    };
    (node, bounded(PEERS_TIMEOUT, count).await)
}
