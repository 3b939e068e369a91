//! The end of a run: last counters, every live node's account, the last lines of the record, and
//! the logs that are kept.

use std::time::Duration;

use peerlab_link::NodeId;
use peerlab_link::proto::ToFabric;
use tokio::time::Instant;

use super::run::Run;
use crate::engine::Engine;
use peerlab_core::conduct::Stage;
use peerlab_core::error::{Explain, Kind, Result};
use peerlab_core::event::What;

/// How long the accounts of all nodes may take, and what each node adds to it.
const ACCOUNTS_TIMEOUT: Duration = Duration::from_secs(60);
const ACCOUNT_SHARE: Duration = Duration::from_millis(200);
/// How long the gates may take to measure their nodes.
const USAGES_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a node's log that are kept.
const LOG_BYTES_MAX: usize = 1 << 20;
/// Logs fetched at once.
const LOGS_AT_ONCE: usize = 8;
/// Abnormal nodes whose logs are kept: enough to see what is wrong.
const LOGS_MAX: usize = 100;

impl<E: Engine> Run<'_, E> {
    /// The plan is over: last counters, then every live node's account.
    pub(super) async fn collect(&mut self) -> Result<()> {
        let counts = self.counts;
        for node in self.nodes.up() {
            self.usages_open += 1;
            self.control.order(ToFabric::Usage { node }).await;
        }
        self.control.order(ToFabric::Count).await;
        self.ask_accounts(true);
        let total = self.accounts_open;
        let began = Instant::now();
        let deadline = began + ACCOUNTS_TIMEOUT + ACCOUNT_SHARE * total as u32;
        loop {
            self.drive.observer.stage(Stage::Collecting {
                done: total.saturating_sub(self.accounts_open),
                total,
            });
            let told = self.accounts_open == 0 && self.counts > counts;
            let measured = self.usages_open == 0 || began.elapsed() >= USAGES_TIMEOUT;
            if told && measured {
                return Ok(());
            }
            if Instant::now() >= deadline {
                tracing::warn!("{} nodes did not tell their state", self.accounts_open);
                return Ok(());
            }
            let wake = if measured {
                deadline
            } else {
                deadline.min(began + USAGES_TIMEOUT)
            };
            self.step(wake).await?;
        }
    }

    /// Writes the last lines.
    pub(super) fn finish(&mut self, result: &Result<()>) -> Result<()> {
        self.chronicle.finish();
        let interrupted = matches!(result, Err(e) if e.kind == Kind::Interrupted);
        self.chronicle
            .event(self.clock.now(), What::Ended { interrupted });
        self.write()
    }

    /// Saves the logs that are to be kept.
    pub(super) async fn save_logs(&self) -> Result<()> {
        let wanted: Vec<NodeId> = if self.drive.logs.all {
            self.plan.nodes.iter().map(|node| node.id).collect()
        } else {
            let abnormal = self.nodes.abnormal();
            abnormal.into_iter().take(LOGS_MAX).collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let folder = &self.drive.logs.folder;
        std::fs::create_dir_all(folder)
            .or_environment(|| format!("cannot create {}", folder.display()))?;
        for group in wanted.chunks(LOGS_AT_ONCE) {
            let fetched = group.iter().map(|node| async move {
                let log = self.drive.engine.node_log(*node, LOG_BYTES_MAX).await;
                (*node, log)
            });
            for (node, log) in futures::future::join_all(fetched).await {
                let path = folder.join(format!("{}.log", self.plan.nodes[node.index()].name));
                match log {
                    Ok(log) => std::fs::write(&path, log)
                        .or_environment(|| format!("cannot write {}", path.display()))?,
                    Err(error) => tracing::warn!("no log of node {node}: {error}"),
                }
            }
        }
        Ok(())
    }
}
