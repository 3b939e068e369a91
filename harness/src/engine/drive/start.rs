//! Brings a network up: fabric, files, gates, and the one instant at which all nodes start.

use crate::engine::hint;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use peerlab_link::proto::{
    FILE_PIECE_BYTES_MAX, FromFabric, HOSTS_NAME, SECRET_BYTES, Secret, ToFabric,
};
use peerlab_link::{Nanos, NodeId};
use tokio::time::{Instant, sleep_until, timeout};

use super::capture::CaptureStream;
use super::clock::RunClock;
use super::control::Control;
use super::dial::Dialer;
use super::mux::Mux;
use crate::disk::Snapshot;
use crate::engine::Engine;
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::event::Reason;
use peerlab_core::ledger::Premined;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Node;
use peerlab_core::words;

/// The pre-mined chain's file name in the folder that nodes share with the fabric.
pub const PREMINED_NAME: &str = "premined.dat";
/// The first line of the file of hosts.
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n";
/// How long the fabric may take to answer an order.
const FABRIC_TIMEOUT: Duration = Duration::from_secs(60);
/// How long bring-up may go without a gate opening or a node being started.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Nodes that are restored at once: unpacking takes a core each.
const RESTORED_AT_ONCE: usize = 8;
/// What to do about a node that does not take what it had.
const RESTORE_HINT: &str = "what nodes may write on another engine or by another image may differ; and `memory:` of \
                            its group bounds how much there is";
/// Bytes of a node's log that an error message quotes.
const LOG_TAIL_BYTES: usize = 2_000;

/// A network in which all nodes have just started.
#[derive(Debug)]
pub struct Network {
    /// The connection to the fabric.
    pub mux: Mux,
    /// Its control stream.
    pub control: Control,
    /// The run's clock.
    pub clock: RunClock,
    /// Wall clock at time zero.
    pub unix_nanos: u64,
    /// From the first create to all gates open.
    pub bring_up: Nanos,
    /// The packets of those nodes that were to be captured.
    pub capture: Option<CaptureStream>,
}

/// What a network has from its start, beside its plan.
pub struct Beginning<'a> {
    pub premined: &'a Premined,
    /// What nodes had written before.
    pub snapshot: Option<&'a Snapshot>,
    /// Whose packets are captured.
    pub captured: Option<Vec<NodeId>>,
}

/// Brings the network of a plan up, and has nodes captured. It can be given up at any time.
pub async fn start<E: Engine>(
    engine: &E,
    plan: &Plan,
    beginning: Beginning<'_>,
    observer: &dyn Observer,
) -> Result<Network> {
    let Beginning {
        premined,
        snapshot,
        captured,
    } = beginning;
    let began = Instant::now();
    let total = plan.nodes.len();
    observer.stage(Stage::BringUp {
        started: 0,
        open: 0,
        total,
    });
    let secrets: Vec<Secret> = (0..total).map(|_| new_secret()).collect::<Result<_>>()?;
    let (mux, mut control) = open_fabric(engine, plan, premined, &secrets).await?;
    open_gates(engine, plan, &secrets, &mut control, observer).await?;
    let bring_up = Nanos(began.elapsed().as_nanos() as u64);
    if let Some(snapshot) = snapshot {
        restore(
            snapshot,
            plan,
            &Dialer::new(mux.clone(), None, plan),
            observer,
        )
        .await?;
    }
    // Before the first packet.
    let capture = match captured {
        Some(nodes) => Some(CaptureStream::open(&mux, nodes).await?),
        None => None,
    };
    let sent = Instant::now();
    control
        .order(ToFabric::Go {
            start: starting(plan),
            schedule: plan.fault_schedule.clone(),
        })
        .await;
    let gone = async {
        loop {
            match told(engine, &mut control).await? {
                FromFabric::Gone { unix_nanos } => return Ok(unix_nanos),
                FromFabric::GateLost { node, reason, .. } => {
                    return Err(gate_lost(engine, plan, node, &reason).await);
                }
                other => tracing::debug!("before go: {other:?}"),
            }
        }
    };
    let unix_nanos = in_time("start the nodes", gone).await?;
    Ok(Network {
        mux,
        control,
        clock: RunClock::new(unix_nanos, sent),
        unix_nanos,
        bring_up,
        capture,
    })
}

/// A secret for a node's gate.
pub fn new_secret() -> Result<Secret> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| error.to_string())
        .or_environment(|| "cannot make the gates' secrets".into(), hint::MACHINE)?;
    Ok(Secret(bytes))
}

/// Nodes that run from the start.
pub fn starting(plan: &Plan) -> Vec<NodeId> {
    let up = plan.nodes.iter().filter(|node| node.starts_up);
    up.map(|node| node.id).collect()
}

/// Starts the fabric, tells it the network, and uploads the pre-mined chain.
async fn open_fabric<E: Engine>(
    engine: &E,
    plan: &Plan,
    premined: &Premined,
    secrets: &[Secret],
) -> Result<(Mux, Control)> {
    let mux = Mux::start(engine.start_fabric().await?);
    let mut control = Control::open(&mux)
        .await
        .or_environment(|| "cannot talk to the fabric".into(), hint::FABRIC)?;
    for node in &plan.nodes {
        provide(&mut control, node).await;
    }
    control
        .order(ToFabric::Setup {
            network: Box::new(plan.network.clone()),
            secrets: secrets.to_vec(),
        })
        .await;
    let listening = async {
        loop {
            match told(engine, &mut control).await? {
                FromFabric::Listening => return Ok(()),
                other => tracing::debug!("before the gates: {other:?}"),
            }
        }
    };
    in_time("set the network up", listening).await?;
    share(&mut control, HOSTS_NAME, LOOPBACK.as_bytes()).await;
    introduce(&mut control, &plan.nodes).await;
    // The first, empty piece makes the file where there is nothing in it: nodes read it anyway.
    let made = std::iter::once(&[][..]);
    for piece in made.chain(premined.file.chunks(FILE_PIECE_BYTES_MAX)) {
        share(&mut control, PREMINED_NAME, piece).await;
    }
    Ok((mux, control))
}

/// A piece of a file that all nodes may read.
async fn share(control: &mut Control, name: &str, piece: &[u8]) {
    control
        .order(ToFabric::File {
            name: name.into(),
            bytes: piece.to_vec(),
        })
        .await;
}

/// Tells the fabric what a node is to have before its program; before it is told of the node.
pub async fn provide(control: &mut Control, node: &Node) {
    if !node.launch.files.is_empty() {
        control
            .order(ToFabric::NodeFiles {
                node: node.id,
                files: node.launch.files.clone(),
            })
            .await;
    }
}

/// Has all nodes know nodes by their names.
pub async fn introduce(control: &mut Control, nodes: &[Node]) {
    for piece in names_of(nodes).as_bytes().chunks(FILE_PIECE_BYTES_MAX) {
        share(control, HOSTS_NAME, piece).await;
    }
}

/// Their lines in the file of hosts.
fn names_of(nodes: &[Node]) -> String {
    let line = |node: &Node| format!("{}\t{}\n", node.ip, node.name);
    nodes.iter().map(line).collect()
}

/// Starts all gates and waits until they are open.
async fn open_gates<E: Engine>(
    engine: &E,
    plan: &Plan,
    secrets: &[Secret],
    control: &mut Control,
    observer: &dyn Observer,
) -> Result<()> {
    let total = plan.nodes.len();
    let started = AtomicUsize::new(0);
    let open_count = AtomicUsize::new(0);
    let show = || {
        observer.stage(Stage::BringUp {
            started: started.load(Ordering::Relaxed),
            open: open_count.load(Ordering::Relaxed),
            total,
        });
    };
    let on_started = |_node: NodeId| {
        started.fetch_add(1, Ordering::Relaxed);
        show();
    };
    let starting = engine.start_gates(secrets, &on_started);
    tokio::pin!(starting);
    let mut all_started = false;
    let mut open = BTreeSet::new();
    let mut progress = (Instant::now(), 0);
    while !all_started || open.len() < total {
        let come_so_far = started.load(Ordering::Relaxed) + open.len();
        if come_so_far > progress.1 {
            progress = (Instant::now(), come_so_far);
        }
        tokio::select! {
            result = &mut starting, if !all_started => {
                result?;
                all_started = true;
            }
            message = told(engine, control) => match message? {
                FromFabric::GateOpen { node } => {
                    open.insert(node);
                    open_count.store(open.len(), Ordering::Relaxed);
                    show();
                }
                FromFabric::GateLost { node, reason, .. } => {
                    return Err(gate_lost(engine, plan, node, &reason).await);
                }
                other => tracing::debug!("while gates open: {other:?}"),
            },
            (node, reason) = engine.gate_ended() => {
                return Err(gate_lost(engine, plan, node, &reason).await);
            }
            () = sleep_until(progress.0 + STALL_TIMEOUT) => {
                if started.load(Ordering::Relaxed) + open.len() == progress.1 {
                    return Err(stalled(plan, &open));
                }
            }
        }
    }
    Ok(())
}

/// Gives every node what it had when its network was saved.
async fn restore(
    snapshot: &Snapshot,
    plan: &Plan,
    dialer: &Dialer,
    observer: &dyn Observer,
) -> Result<()> {
    let total = plan.nodes.len();
    observer.stage(Stage::Restoring { done: 0, total });
    let nodes = plan.nodes.iter().zip(&snapshot.manifest.nodes);
    let restoring = nodes.map(async |(node, saved)| {
        let archive = async {
            dialer
                .restore(node.id, snapshot.open(saved)?, saved.archived())
                .await
        };
        let what = || format!("node {} could not be restored", node.name);
        archive.await.or_environment(what, RESTORE_HINT)
    });
    let mut restoring = futures::stream::iter(restoring).buffer_unordered(RESTORED_AT_ONCE);
    let mut done = 0;
    while let Some(restored) = restoring.next().await {
        restored?;
        done += 1;
        observer.stage(Stage::Restoring { done, total });
    }
    Ok(())
}

/// The fabric's next message; an error when it has ended or says that it cannot go on.
pub async fn told<E: Engine>(engine: &E, control: &mut Control) -> Result<FromFabric> {
    match control.told().await {
        Some(FromFabric::Failed { reason }) => Err(Error::environment(
            "the fabric failed",
            reason,
            hint::FABRIC,
        )),
        Some(message) => Ok(message),
        None => {
            let log = engine.fabric_log();
            let cause = if log.is_empty() {
                "its log is empty".into()
            } else {
                format!("the end of its log:\n{}", log.join("\n"))
            };
            Err(Error::environment(
                "the fabric ended by itself",
                cause,
                hint::FABRIC,
            ))
        }
    }
}

/// Says that a node cannot take part, with the end of its log.
pub async fn gate_lost<E: Engine>(engine: &E, plan: &Plan, node: NodeId, reason: &str) -> Error {
    let name = plan.nodes.get(node.index()).map_or("?", |n| &n.name);
    let error = Error::environment(
        format!("node {name} could not be started"),
        reason,
        hint::FABRIC,
    );
    quote_log(engine, node, error).await
}

/// Adds the end of a node's log to an error.
pub async fn quote_log<E: Engine>(engine: &E, node: NodeId, error: Error) -> Error {
    match engine.node_log(node, LOG_TAIL_BYTES).await {
        Ok(log) if !log.bytes.is_empty() => {
            let log = log.into_bytes();
            let text = String::from_utf8_lossy(&log);
            let lines = text.trim_end().lines();
            // Whatever a node writes must not drive the terminal.
            let lines: Vec<String> = lines.map(|line| Reason::from(line).to_string()).collect();
            error.because(format!("the end of its log:\n{}", lines.join("\n")))
        }
        _ => error,
    }
}

fn stalled(plan: &Plan, open: &BTreeSet<NodeId>) -> Error {
    let missing = plan.nodes.iter().filter(|n| !open.contains(&n.id));
    let names: Vec<String> = missing.map(|n| n.name.clone()).collect();
    Error::environment(
        format!(
            "bring-up stands still: {} of {} nodes are ready",
            open.len(),
            plan.nodes.len()
        ),
        format!(
            "nothing came within {} s from {}",
            STALL_TIMEOUT.as_secs(),
            words::names(&names)
        ),
        "the host may be overloaded: try fewer nodes, or look at the engine's own log",
    )
}

async fn in_time<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(FABRIC_TIMEOUT, work).await.unwrap_or_else(|_| {
        Err(Error::environment(
            format!("the fabric did not {what}"),
            format!("nothing came of it within {} s", FABRIC_TIMEOUT.as_secs()),
            hint::FABRIC,
        ))
    })
}
