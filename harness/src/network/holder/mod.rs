//! What the process that holds a network answers with: the network as it is now, and the way to the task
//! that owns its run. What is asked of single nodes is in `reach`, their logs in `logs`, their packets in
//! `capture`, faults in `faults`, blocks and payments in `work`, who joins and leaves in `members`, who is
//! connected to whom in `links`, waiting for something to hold in `wait`, and what is kept of it in `save`.

mod capture;
mod captures;
mod faults;
mod links;
mod links_then;
mod logs;
mod members;
mod reach;
mod save;
mod wait;
mod work;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerlab_core::conduct::{Command, Done};
use peerlab_core::error::{Error, Result};
use peerlab_core::plan::{Plan, Roster, label_nodes};
use peerlab_core::topology::Topology;
use peerlab_core::topology::written::BadValue;
use peerlab_core::view::NetworkView;
use peerlab_link::NodeId;
use tokio::sync::mpsc::Permit;
use tokio::sync::{mpsc, oneshot, watch};

use super::request::{Description, Did, NodeFailure, Reply, Request};
use crate::engine::drive::{HandRequest, Live};
use captures::Captures;
use links_then::LinksThen;
pub use save::Origin;

/// What to do about a node that cannot be asked.
const NODE_HINT: &str = "`peerlab ps` shows which nodes are up";

/// What a network is made of.
pub struct Parts<'a> {
    /// Its name.
    pub name: String,
    /// Where its record is.
    pub dir: &'a Path,
    /// Where its nodes run.
    pub engine: String,
    /// What its nodes are called by hand.
    pub topology: &'a Topology,
    /// Its start.
    pub plan: &'a Plan,
    /// The outputs that are left for payments by hand.
    pub outputs: Range<u32>,
    /// As its events tell it.
    pub view: Arc<Mutex<NetworkView>>,
    /// Its nodes.
    pub live: Live,
    /// The way to its run.
    pub requests: mpsc::Sender<HandRequest>,
    /// Where its metrics are.
    pub metrics: Option<String>,
    /// What it could be brought up from again, if it can be.
    pub origin: Option<Origin>,
}

/// A network that is up.
pub struct Network {
    name: String,
    dir: PathBuf,
    engine: String,
    /// Its nodes as they are named by hand.
    roster: Mutex<Roster>,
    /// Held by whoever adds or removes nodes.
    members: tokio::sync::Mutex<()>,
    view: Arc<Mutex<NetworkView>>,
    live: Live,
    requests: mpsc::Sender<HandRequest>,
    metrics: Option<String>,
    outputs: Mutex<Range<u32>>,
    /// Who was connected to whom when that was asked last.
    links: tokio::sync::Mutex<Option<LinksThen>>,
    captures: Captures,
    origin: Option<Origin>,
    /// What it came to, once it has ended.
    ended: watch::Sender<Option<Result<()>>>,
}

impl Network {
    /// A network whose nodes have been started.
    pub fn new(parts: Parts<'_>) -> Network {
        Network {
            name: parts.name,
            dir: std::path::absolute(parts.dir).unwrap_or_else(|_| parts.dir.to_owned()),
            engine: parts.engine,
            roster: Mutex::new(Roster::new(parts.topology, parts.plan)),
            members: tokio::sync::Mutex::default(),
            view: parts.view,
            live: parts.live,
            requests: parts.requests,
            metrics: parts.metrics,
            outputs: Mutex::new(parts.outputs),
            links: tokio::sync::Mutex::default(),
            captures: Captures::default(),
            origin: parts.origin,
            ended: watch::Sender::default(),
        }
    }

    /// Where its record is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tells all who wait for its end what it came to.
    pub fn tell_end(&self, result: Result<()>) {
        self.ended.send_replace(Some(result));
    }

    /// Carries a request out. What goes before its last answer is sent to `progress`.
    ///
    /// # Errors
    /// Whatever goes wrong with it.
    pub async fn answer(
        self: &Arc<Self>,
        request: Request,
        progress: mpsc::Sender<Reply>,
    ) -> Result<Reply> {
        match request {
            Request::Describe => Ok(Reply::Description(self.description())),
            Request::Nodes => {
                self.count_peers().await;
                Ok(Reply::Nodes(self.view().shown()))
            }
            Request::Status => Ok(self.status()),
            Request::Snapshot => Ok(self.snapshot()),
            Request::Links => Ok(Reply::Links(self.links().await)),
            Request::Rpc {
                node,
                method,
                params,
            } => self.rpc(&node, &method, params).await.map(Reply::Value),
            Request::Logs { nodes, bytes_max } => self.logs(&nodes, bytes_max, &progress).await,
            Request::Exec { node, command } => self.exec(&node, &command).await.map(Reply::Ran),
            Request::Dial { .. } | Request::Shell { .. } => Ok(Reply::Open),
            Request::Fault { fault, lasts } => self.fault(&fault, lasts).await.map(Reply::Did),
            Request::Heal { all } => self.heal(all).await.map(Reply::Did),
            Request::Start { nodes } => self.start(&nodes).await.map(Reply::Did),
            Request::Connect => self.connect().await.map(|it| Reply::Invited(Box::new(it))),
            Request::Add { group, count } => self.add(&group, count).await.map(Reply::Did),
            Request::Remove { nodes } => self.remove(&nodes).await.map(Reply::Did),
            Request::Mine { count, by } => self.mine(count, by.as_deref()).await.map(Reply::Did),
            Request::Pay { count } => self.pay(count).await.map(Reply::Did),
            Request::PayAt { rate, lasts } => self.pay_at(&rate, lasts).await.map(Reply::Did),
            Request::Wait { until, timeout } => self.wait(&until, timeout).await,
            Request::Capture { nodes, lasts } => {
                self.capture(&nodes, lasts, &progress).await.map(Reply::Did)
            }
            Request::Save { folder } => self.save(folder, progress).await.map(Reply::Saved),
            Request::Down => self.down(&progress).await,
        }
    }

    /// Who it is.
    pub fn description(&self) -> Description {
        Description {
            name: self.name.clone(),
            engine: self.engine.clone(),
            nodes: self.view().node_count(),
            pid: std::process::id(),
            dir: self.dir.clone(),
            up_for_ns: self.live.clock.now(),
            metrics: self.metrics.clone(),
        }
    }

    fn view(&self) -> MutexGuard<'_, NetworkView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events tell who could not join after all, whether or not somebody waited for it.
    fn roster(&self) -> MutexGuard<'_, Roster> {
        let removed = self.view().removed();
        let mut roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        roster.remove(&removed);
        roster
    }

    fn name_of(&self, node: NodeId) -> String {
        self.roster().name(node)
    }

    fn names_of(&self, nodes: &[NodeId]) -> String {
        label_nodes(nodes, |node| self.name_of(node))
    }

    fn status(&self) -> Reply {
        let status = self.view().status(&self.name, self.live.clock.now());
        Reply::Status(Box::new(status))
    }

    fn snapshot(&self) -> Reply {
        let now = self.live.clock.now();
        Reply::Snapshot(Box::new(self.view().snapshot(&self.name, now)))
    }

    /// The nodes of choices.
    fn nodes(&self, choices: &[String]) -> Result<Vec<NodeId>> {
        self.roster().choose(choices)
    }

    /// A node by its name.
    fn node(&self, name: &str) -> Result<NodeId> {
        let nodes = self.nodes(&[name.to_owned()])?;
        match nodes.as_slice() {
            [node] => Ok(*node),
            several => Err(Error::input(format!("`{name}` is not one node"))
                .because(format!("it means {} of them", several.len()))
                .hint("name one, as `peers-3`")),
        }
    }

    /// Ends the network, and answers once everything is removed.
    async fn down(&self, progress: &mpsc::Sender<Reply>) -> Result<Reply> {
        let description = self.description();
        self.captures.end().await;
        // It may have been asked to end before; and what came of it is told by its end.
        let (answer, _) = oneshot::channel();
        let command = Command::Finish;
        let _ = self
            .requests
            .send(HandRequest::Do { command, answer })
            .await;
        let what = "asking the nodes for their state, and removing everything";
        let _ = progress.send(Reply::Progress(what.into())).await;
        self.end().await.map(|()| Reply::Ended(description))
    }

    /// What it came to, once it has ended.
    async fn end(&self) -> Result<()> {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(has_ended()),
        }
    }

    /// Hands a command to the run, and waits until it is done.
    async fn command(&self, command: Command) -> Result<Done> {
        self.asked(|answer| HandRequest::Do { command, answer })
            .await
    }

    /// Asks something of the run, and waits for the answer.
    async fn asked<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> HandRequest) -> Result<T> {
        let permit = self.permit().await?;
        asked_with(permit, request).await
    }

    /// That the run can be asked something at once.
    async fn permit(&self) -> Result<Permit<'_, HandRequest>> {
        self.requests.reserve().await.map_err(|_| has_ended())
    }

    fn did(&self, what: String, done: Done) -> Did {
        let failures = done.failures.into_iter().map(|failure| NodeFailure {
            node: failure.node.map(|node| self.name_of(node)),
            reason: failure.reason,
        });
        Did {
            what,
            faults: done.faults,
            blocks: done.blocks,
            transactions: done.transactions,
            failures: failures.collect(),
        }
    }
}

/// Asks something of the run, which is handed over before anything is waited for.
fn asked_with<T>(
    permit: Permit<'_, HandRequest>,
    request: impl FnOnce(oneshot::Sender<T>) -> HandRequest,
) -> impl Future<Output = Result<T>> {
    let (answer, answered) = oneshot::channel();
    permit.send(request(answer));
    async { answered.await.map_err(|_| has_ended()) }
}

/// That a text is not what was asked for.
fn not_read(text: &str, what: &str, form: &str, bad: BadValue) -> Error {
    Error::input(format!("`{text}` is not {what}"))
        .because(bad.cause)
        .hint(bad.hint.unwrap_or_else(|| format!("write {form}")))
}

/// That somebody asks who found the network up, and its run is over.
pub fn has_ended() -> Error {
    Error::environment(
        "the network has ended",
        "it was taken down, or something failed",
        "once everything is removed `peerlab ps` tells what; the log of the process that held it, `network.log`, is \
         in its folder",
    )
}
