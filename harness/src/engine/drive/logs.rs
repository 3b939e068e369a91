//! The nodes' logs that are kept once the run is over.

use peerlab_core::error::hint::DISK;
use peerlab_link::NodeId;

use super::run::Drive;
use crate::disk;
use crate::engine::Engine;
use peerlab_core::error::{Explain, Result};

/// Bytes of a node's log that are kept.
const LOG_BYTES_MAX: usize = 1 << 20;
/// Logs fetched at once.
const LOGS_AT_ONCE: usize = 8;
/// Nodes whose logs are kept where not all are: enough to see what is wrong.
const LOGS_MAX: usize = 100;

impl<E: Engine> Drive<'_, E> {
    /// Saves the logs that are to be kept: all, or those of nodes whose logs are `telling`, by their names.
    pub(super) async fn save_logs(&self, telling: Vec<(NodeId, String)>) -> Result<()> {
        let wanted: Vec<(NodeId, String)> = if self.logs.all {
            let all = self.plan.nodes.iter();
            all.map(|node| (node.id, node.name.clone())).collect()
        } else {
            telling.into_iter().take(LOGS_MAX).collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let folder = &self.logs.folder;
        std::fs::create_dir_all(folder)
            .or_environment(|| format!("cannot create {}", folder.display()), DISK)?;
        for group in wanted.chunks(LOGS_AT_ONCE) {
            let fetched = group.iter().map(|(node, name)| async move {
                let log = self.engine.node_log(*node, LOG_BYTES_MAX).await;
                (name, log)
            });
            for (name, log) in futures::future::join_all(fetched).await {
                let path = folder.join(format!("{name}.log"));
                match log {
                    Ok(log) => disk::write(&path, log.into_bytes())?,
                    Err(error) => tracing::warn!("no log of {name}: {error}"),
                }
            }
        }
        Ok(())
    }
}
