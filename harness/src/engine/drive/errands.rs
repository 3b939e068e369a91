//! What is done to nodes over their RPC: the agenda's errands, and questions. Each is a task of
//! its own with a connection of its own, bounded in time, and ends with a report.

use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use peerlab_link::NodeId;
use tokio::time::timeout;

use super::chronicle::{KnownBlocks, Question};
use super::dial::Dialer;
use super::report::Finding;
use crate::probe::ProbeError;
use peerlab_core::conduct::BlockFacts;
use peerlab_core::ledger;

/// How long an errand may take, connecting included.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a question about blocks may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a node may take to tell its counters and its state, when all are asked at once.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(60);
/// How far back one question goes: a chain that nobody was told of is not longer than a run's.
const ANCESTORS_MAX: usize = 10_000;

/// Has a node mine one block.
pub async fn mine(dialer: Dialer, node: NodeId) -> Finding {
    let result = bounded(ERRAND_TIMEOUT, async {
        let mut rpc = dialer.rpc(node).await?;
        rpc.mine(&ledger::payout_address(node)).await
    })
    .await
    .map_err(|e| e.to_string());
    Finding::Mined { node, result }
}

/// Submits a transaction.
pub async fn submit(
    dialer: Dialer,
    node: NodeId,
    transaction: bitcoin::Transaction,
    double_spend: Option<u32>,
) -> Finding {
    let hex = serialize_hex(&transaction);
    let result = bounded(ERRAND_TIMEOUT, async {
        let mut rpc = dialer.rpc(node).await?;
        rpc.submit(&hex).await
    })
    .await;
    Finding::Submitted {
        node,
        txid: transaction.compute_txid().to_string(),
        double_spend,
        refused: result.err().map(|e| e.to_string()),
    }
}

/// Asks for a block and for those of its ancestors that are unknown.
pub async fn ask(dialer: Dialer, question: Question, known: KnownBlocks) -> Finding {
    let Question { node, hash } = question;
    let blocks = bounded(QUESTION_TIMEOUT, async {
        let mut rpc = dialer.rpc(node).await?;
        let mut blocks: Vec<BlockFacts> = Vec::new();
        let mut next = hash.clone();
        while blocks.len() < ANCESTORS_MAX && !next.is_empty() && !known.contains(&next) {
            let block = rpc.block(&next).await?;
            next.clone_from(&block.prev);
            blocks.push(block);
        }
        Ok(blocks)
    })
    .await;
    if let Err(error) = &blocks {
        tracing::debug!("node {node} on block {hash}: {error}");
    }
    Finding::Blocks {
        wanted: hash,
        blocks: blocks.unwrap_or_default(),
    }
}

/// Asks a node for its counters and, when `ledger` is set, for its state. What it cannot tell
/// is left out.
pub async fn account(dialer: Dialer, node: NodeId, ledger: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let result = bounded(ACCOUNT_TIMEOUT, async {
        let mut rpc = dialer.rpc(node).await?;
        let sums = rpc.peers().await?;
        findings.push(Finding::Peers { node, sums });
        if ledger {
            let state = rpc.ledger().await?;
            findings.push(Finding::Ledger { node, state });
        }
        Ok(())
    })
    .await;
    if let Err(error) = result {
        tracing::debug!("node {node}: {error}");
    }
    findings.push(Finding::Asked);
    findings
}

async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    timeout(limit, work)
        .await
        .unwrap_or(Err(ProbeError::TimedOut(limit)))
}
