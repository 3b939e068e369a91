//! The logs of nodes, asked of the run, which has them from the engine.

use futures::{FutureExt as _, StreamExt as _};
use peerlab_core::error::Result;
use peerlab_core::words;
use peerlab_link::NodeId;
use tokio::sync::mpsc;

use super::Network;
use crate::engine::drive::HandRequest;
use crate::network::request::{Did, NodeLog, Reply};

/// Nodes that are asked for their logs at once.
const ASKED_AT_ONCE: usize = 16;
/// Bytes of a node's log that are given at once.
const LOG_BYTES_MAX: u32 = 1 << 20;

impl Network {
    /// Sends the log of each node that is chosen; of all, where none is named.
    pub(super) async fn logs(
        &self,
        nodes: &[String],
        bytes_max: u32,
        progress: &mpsc::Sender<Reply>,
    ) -> Result<Reply> {
        let all = ["all".to_owned()];
        let nodes = if nodes.is_empty() { &all[..] } else { nodes };
        let nodes = self.nodes(nodes)?;
        let bytes_max = bytes_max.min(LOG_BYTES_MAX) as usize;
        let count = nodes.len() as u64;
        let asked = nodes
            .into_iter()
            .map(|node| self.log_of(node, bytes_max).boxed());
        let mut logs = futures::stream::iter(asked).buffered(ASKED_AT_ONCE);
        while let Some(log) = logs.next().await {
            let _ = progress.send(Reply::Log(log?)).await;
        }
        Ok(Reply::Did(Did {
            what: words::count(count, "log"),
            ..Did::default()
        }))
    }

    async fn log_of(&self, node: NodeId, bytes_max: usize) -> Result<NodeLog> {
        let asked = self.asked(|answer| HandRequest::Log {
            node,
            bytes_max,
            answer,
        });
        let log = asked.await??;
        Ok(NodeLog {
            node: self.name_of(node),
            times: log.line_times(),
            text: String::from_utf8_lossy(&log.into_bytes()).into_owned(),
        })
    }
}
