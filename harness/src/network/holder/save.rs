//! A network is saved: its nodes stop, what each has written is archived, and they go on. Those that were down
//! stay so. What is in the snapshot is the disk's affair.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use peerlab_core::conduct::Command;
use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Error, Explain as _, Result};
use peerlab_core::event::{Joined, Tip};
use peerlab_core::experiment::{Down, FaultKind};
use peerlab_core::plan::spec::Node;
use peerlab_core::plan::{OutputsTaken, Past};
use peerlab_core::view::{NodeRow, NodeState};
use peerlab_core::words;
use peerlab_link::{Nanos, NodeId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{NODE_HINT, Network};
use crate::disk::{SavedGroup, SavedNetwork, SavedNode, SnapshotWriter};
use crate::network::request::{Did, NodeFailure, Reply, Saved};

/// Nodes that are archived at once: each takes a core.
const ARCHIVED_AT_ONCE: usize = 4;
/// What to do about a node that cannot be archived.
const SAVE_HINT: &str = "is the disk full, or the node lost? `peerlab ps` shows which nodes are";
/// What became of a network that could not be saved.
const NOT_SAVED: &str = "its nodes were started again, and nothing was left of the snapshot";

/// What a network was brought up from.
pub struct Origin {
    /// The experiment, and the file that it is from.
    pub text: String,
    pub experiment: PathBuf,
    pub seed: u64,
    pub groups: Vec<SavedGroup>,
    /// Outputs that the chain of its start has.
    pub outputs: u32,
    /// How far its own payments have come.
    pub taken: OutputsTaken,
    /// How long it had been up before it was brought up from a snapshot.
    pub up_before: Nanos,
}

/// A node that is to be saved.
struct Wanted {
    node: NodeId,
    name: String,
    tip: Option<Tip>,
    /// Whether it has to stop for that.
    runs: bool,
}

impl Network {
    /// Saves it. Where whoever asked goes meanwhile nothing of the snapshot is left, and the nodes go on.
    pub(super) async fn save(
        self: &Arc<Self>,
        folder: PathBuf,
        progress: mpsc::Sender<Reply>,
    ) -> Result<Saved> {
        let gone = CancellationToken::new();
        let _asking = gone.clone().drop_guard();
        let network = Arc::clone(self);
        // The nodes are started again whatever becomes of the answer.
        let saving = tokio::spawn(async move { network.saved(folder, gone, &progress).await });
        let cannot = || "the network could not be saved".to_owned();
        saving.await.or_environment(cannot, BUG)?
    }

    async fn saved(
        &self,
        folder: PathBuf,
        gone: CancellationToken,
        progress: &mpsc::Sender<Reply>,
    ) -> Result<Saved> {
        let _under_way = self.captures.one_more();
        let _turn = self.members.lock().await;
        let origin = self.origin.as_ref().ok_or_else(of_run)?;
        let (wanted, joined) = self.wanted()?;
        let writer = SnapshotWriter::begin(&folder)?;
        let running: Vec<NodeId> = wanted
            .iter()
            .filter(|it| it.runs)
            .map(|it| it.node)
            .collect();
        let count = words::count(running.len() as u64, "node");
        tell(
            progress,
            format!("stopping {count}, which are down until all are saved"),
        )
        .await;
        let begun = self.live.clock.now();
        let stopped = self.stop_all(&running).await?;
        let archived = async {
            if let Some(failure) = stopped.failures.first() {
                return Err(not_stopped(failure));
            }
            let nodes = self.archive_all(&writer, &wanted, progress).await?;
            let bytes = nodes.iter().map(|node| node.bytes).sum();
            let told = self.described(origin, &wanted, joined);
            writer.finish(told, nodes, &origin.text)?;
            Ok(bytes)
        };
        let archived: Result<u64> = tokio::select! {
            archived = archived => archived,
            () = gone.cancelled() => Err(given_up("whoever asked for it has gone")),
            () = self.captures.are_to_end() => Err(given_up("the network is taken down")),
        };
        let started = self.command(Command::End(stopped.faults)).await;
        let down_for_ns = self.live.clock.now().saturating_sub(begun);
        let bytes = archived?;
        let started = self.did(String::new(), started?);
        Ok(Saved {
            folder,
            nodes: wanted.len(),
            bytes,
            height: wanted
                .iter()
                .filter_map(|it| Some(it.tip.as_ref()?.height))
                .max(),
            down_for_ns,
            failures: started.failures,
        })
    }

    /// All its nodes, if they can be saved as they are; and those among them that joined.
    fn wanted(&self) -> Result<(Vec<Wanted>, Vec<Joined>)> {
        let rows = self.view().rows().to_vec();
        let roster = self.roster();
        let joined = roster.joined_without_gaps().ok_or_else(with_gaps)?;
        let wanted = roster.present().zip(&rows);
        let wanted: Result<Vec<Wanted>> = wanted.map(|(node, row)| of(node, row)).collect();
        Ok((wanted?, joined))
    }

    /// Has nodes stop as by hand.
    async fn stop_all(&self, nodes: &[NodeId]) -> Result<Did> {
        let kind = FaultKind::Down {
            nodes: nodes.to_vec(),
            how: Down::Stop,
        };
        let lasts = None;
        let done = self.command(Command::Fault { kind, lasts }).await?;
        Ok(self.did(String::new(), done))
    }

    async fn archive_all(
        &self,
        writer: &SnapshotWriter,
        wanted: &[Wanted],
        progress: &mpsc::Sender<Reply>,
    ) -> Result<Vec<SavedNode>> {
        let archiving: Vec<BoxFuture<'_, Result<SavedNode>>> = wanted
            .iter()
            .map(|it| self.archive(writer, it).boxed())
            .collect();
        // In the order of the nodes.
        let mut archiving = stream::iter(archiving).buffered(ARCHIVED_AT_ONCE);
        let mut nodes = Vec::new();
        while let Some(saved) = archiving.next().await {
            nodes.push(saved?);
            let what = format!(
                "saved {} of {}",
                nodes.len(),
                words::count(wanted.len() as u64, "node")
            );
            tell(progress, what).await;
        }
        Ok(nodes)
    }

    async fn archive(&self, writer: &SnapshotWriter, it: &Wanted) -> Result<SavedNode> {
        let archive = async {
            let mut archive = writer.node(&it.name)?;
            let archived = self.live.dialer.archive(it.node, &mut archive).await?;
            archive.finish(it.name.clone(), it.tip.clone(), archived)
        };
        let what = || format!("{} could not be saved", it.name);
        let saved: Result<SavedNode> = archive.await.or_environment(what, SAVE_HINT);
        saved.map_err(|error| error.because(NOT_SAVED))
    }

    fn described(&self, origin: &Origin, wanted: &[Wanted], joined: Vec<Joined>) -> SavedNetwork {
        let images = self.view().images().clone();
        let outputs = self
            .outputs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        SavedNetwork {
            name: self.name.clone(),
            engine: self.engine.clone(),
            seed: origin.seed,
            experiment: origin.experiment.display().to_string(),
            outputs: origin.outputs,
            past: Past {
                next_output: origin.taken.next(),
                next_output_by_hand: outputs.start,
                up_for_ns: origin.up_before.saturating_add(self.live.clock.now()),
            },
            tip: common(wanted),
            groups: with_digests(&origin.groups, &images),
            joined,
        }
    }
}

async fn tell(progress: &mpsc::Sender<Reply>, what: String) {
    // Whoever asked may have gone, which is seen elsewhere.
    let _ = progress.send(Reply::Progress(what)).await;
}

/// How a node is to be saved.
fn of(node: &Node, row: &NodeRow) -> Result<Wanted> {
    let runs = match &row.state {
        NodeState::Starting | NodeState::Up => true,
        NodeState::Down { how, .. } => match how {
            None | Some(Down::Kill | Down::Vanish | Down::Stop) => false,
            Some(how @ (Down::Freeze | Down::Replace)) => return Err(in_between(&node.name, *how)),
        },
        NodeState::Removed | NodeState::Guest => false,
    };
    Ok(Wanted {
        node: node.id,
        name: node.name.clone(),
        tip: row.tip.clone(),
        runs,
    })
}

/// The best block of all nodes, if they are known to have one.
fn common(wanted: &[Wanted]) -> Option<Tip> {
    let first = wanted.first()?.tip.as_ref()?;
    let all = wanted.iter().all(|it| it.tip.as_ref() == Some(first));
    all.then(|| first.clone())
}

fn with_digests(groups: &[SavedGroup], images: &BTreeMap<String, String>) -> Vec<SavedGroup> {
    let with = |group: &SavedGroup| SavedGroup {
        digest: group
            .image
            .as_ref()
            .and_then(|image| images.get(image))
            .cloned(),
        ..group.clone()
    };
    groups.iter().map(with).collect()
}

fn of_run() -> Error {
    Error::input("the network of a run cannot be saved")
        .because("it goes on without its plan, from which it would have to be brought up again")
        .hint("bring one up to work with: `peerlab up FILE -d`")
}

fn with_gaps() -> Error {
    Error::input("the network cannot be saved, since nodes were removed from it")
        .because("those behind them would get other addresses when it is brought up again")
        .hint("nodes that are down, as by `stop`, are saved as any other; so are those that joined")
}

/// That a node is in a state that no other could begin with.
fn in_between(node: &str, how: Down) -> Error {
    let cause = match how {
        Down::Freeze => "it stands still: what it has not written yet would be lost",
        _ => "it is to come back with an empty disk, which it has not yet",
    };
    Error::input(format!("{node} cannot be saved as it is"))
        .because(cause)
        .hint(format!("have it come back before: `peerlab start {node}`"))
}

fn not_stopped(failure: &NodeFailure) -> Error {
    let node = failure.node.as_deref().unwrap_or("a node");
    let cause = failure.reason.to_string();
    Error::environment(
        format!("the network could not be saved: {node} did not stop"),
        cause,
        NODE_HINT,
    )
    .because(NOT_SAVED)
}

fn given_up(cause: &str) -> Error {
    let hint = "once it is saved it can be taken down";
    Error::environment("the network was not saved", cause, hint).because(NOT_SAVED)
}
