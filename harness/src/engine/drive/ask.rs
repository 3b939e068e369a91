//! What is asked of nodes over their probes: workload actions, and questions. Each is a task of its
//! own with a connection of its own, bounded in time, and ends with an observation.

use std::sync::Arc;
use std::time::Duration;

use peerlab_link::NodeId;
use tokio::sync::Semaphore;

use super::dial::Dialer;
use crate::probe::{Ledger, Probe, ProbeError, bounded};
use peerlab_core::conduct::{BlockFacts, KnownBlocks, Observation};
use peerlab_core::event::What;
use peerlab_core::ledger::Payment;

/// How long a workload action may take, waiting for its turn and connecting included.
const ACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a question about blocks may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a node may take to tell its counters and its state, when all are asked at once.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(60);
/// How far back one question goes: a chain that nobody was told of is not longer than a run's.
const ANCESTORS_MAX: usize = 10_000;

/// Has a node mine one block, as soon as it is its turn among the node's actions.
pub async fn mine(dialer: Dialer, turns: Arc<Semaphore>, node: NodeId) -> Observation {
    let result = bounded(ACTION_TIMEOUT, async {
        let _turn = turns.acquire().await;
        let mut probe = dialer.probe(node).await?;
        ledger_of(&mut *probe)?.mine(node).await
    })
    .await
    .map_err(|e| e.to_string());
    Observation::Mined { node, result }
}

/// Submits a transaction, likewise.
pub async fn submit(
    dialer: Dialer,
    turns: Arc<Semaphore>,
    node: NodeId,
    payment: Arc<Payment>,
    double_spend: Option<u32>,
) -> Observation {
    let result = bounded(ACTION_TIMEOUT, async {
        let _turn = turns.acquire().await;
        let mut probe = dialer.probe(node).await?;
        ledger_of(&mut *probe)?.submit(&payment).await
    })
    .await;
    Observation::Submitted {
        node,
        txid: payment.id.clone(),
        double_spend,
        result: result.map_err(|e| e.to_string()),
    }
}

/// Asks for a block and for those of its ancestors that are unknown.
pub async fn blocks(dialer: Dialer, node: NodeId, hash: String, known: KnownBlocks) -> Observation {
    let blocks = bounded(QUESTION_TIMEOUT, async {
        let mut probe = dialer.probe(node).await?;
        let chain = probe.chain().ok_or(ProbeError::Unable("a block"))?;
        let mut blocks: Vec<BlockFacts> = Vec::new();
        let mut next = hash.clone();
        while blocks.len() < ANCESTORS_MAX && !next.is_empty() && !known.contains(&next) {
            let block = chain.block(&next).await?;
            next.clone_from(&block.prev);
            blocks.push(block);
        }
        Ok(blocks)
    })
    .await;
    if let Err(error) = &blocks {
        tracing::debug!("node {node} on block {hash}: {error}");
    }
    Observation::Blocks {
        node,
        wanted: hash,
        blocks: blocks.unwrap_or_default(),
    }
}

/// Asks a node for its counters and, when `ledger` is set, for its state. Why it does not tell the
/// latter is told.
pub async fn account(dialer: Dialer, node: NodeId, ledger: bool) -> Vec<Observation> {
    let mut seen = Vec::new();
    let result = bounded(ACCOUNT_TIMEOUT, async {
        let mut probe = dialer.probe(node).await?;
        if let Some(chain) = probe.chain() {
            // Who cannot answer that may still answer what follows.
            match chain.peers().await {
                Ok(sums) => seen.push(Observation::Recorded(What::Peers { node, sums })),
                Err(error) => tracing::debug!("node {node} on its peers: {error}"),
            }
        }
        if ledger && let Some(ledger) = probe.ledger() {
            let state = ledger.state().await?;
            seen.push(Observation::Recorded(What::Ledger { node, state }));
        }
        Ok(())
    })
    .await;
    if let Err(error) = result.as_ref()
        && ledger
    {
        let reason = error.to_string().into();
        seen.push(Observation::Recorded(What::Unanswered { node, reason }));
    }
    seen.push(Observation::Accounted);
    seen
}

fn ledger_of(probe: &mut dyn Probe) -> Result<&mut dyn Ledger, ProbeError> {
    probe.ledger().ok_or(ProbeError::Unable("work on a ledger"))
}
