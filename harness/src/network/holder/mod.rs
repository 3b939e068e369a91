//! What the process that holds a network answers with: the network as it is now, and the way to the task
//! that owns its run. What is asked of single nodes is in `reach`, blocks and payments in `work`, who joins
//! and leaves in `members`, who is connected to whom in `links`.

mod links;
mod members;
mod reach;
mod work;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerlab_core::conduct::{Command, Done};
use peerlab_core::error::{Error, Result};
use peerlab_core::experiment::FaultKind;
use peerlab_core::plan::{Plan, Roster, label_nodes};
use peerlab_core::topology::by_hand::AskedFault;
use peerlab_core::topology::written::{BadValue, Value as _};
use peerlab_core::view::{NetworkView, Until, status_text};
use peerlab_core::words;
use peerlab_link::{Nanos, NodeId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval};

pub use links::LinksThen;

use super::request::{Description, Did, NodeFailure, Reply, Request};
use crate::engine::drive::{HandRequest, Live};

/// Pause between two looks while somebody waits; where connections must be counted, between two counts.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const COUNT_INTERVAL: Duration = Duration::from_millis(500);
/// What to do about a node that cannot be asked.
const NODE_HINT: &str = "`peerlab ps` shows which nodes are up";

/// A network that is up.
pub struct Network {
    /// Its name.
    pub name: String,
    /// Where its record is.
    pub dir: PathBuf,
    /// Where its nodes run.
    pub engine: String,
    /// Its start.
    pub plan: Arc<Plan>,
    /// Its nodes as they are named by hand.
    pub roster: Mutex<Roster>,
    /// Held by whoever adds or removes nodes.
    pub members: tokio::sync::Mutex<()>,
    /// As its events tell it.
    pub view: Arc<Mutex<NetworkView>>,
    /// Its nodes.
    pub live: Live,
    /// The way to its run.
    pub requests: mpsc::Sender<HandRequest>,
    /// Where its metrics are.
    pub metrics: Option<String>,
    /// The outputs that are left for payments by hand.
    pub outputs: Mutex<Range<u32>>,
    /// Who was connected to whom when that was asked last.
    pub links: tokio::sync::Mutex<Option<LinksThen>>,
    /// What it came to, once it has ended.
    pub ended: watch::Receiver<Option<Result<()>>>,
}

impl Network {
    /// Carries a request out. What goes before its last answer is sent to `progress`.
    ///
    /// # Errors
    /// Whatever goes wrong with it.
    pub async fn answer(&self, request: Request, progress: mpsc::Sender<Reply>) -> Result<Reply> {
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

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name_of(&self, node: NodeId) -> String {
        self.roster().name(node)
    }

    /// The plan with the nodes that joined.
    fn plan_now(&self) -> Plan {
        Plan {
            nodes: self.roster().all().to_vec(),
            ..(*self.plan).clone()
        }
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

    async fn fault(&self, fault: &AskedFault, lasts: Option<Nanos>) -> Result<Did> {
        let kind = self.roster().fault(fault)?;
        let what = self.label(&kind);
        let done = self.command(Command::Fault { kind, lasts }).await?;
        if let Some(lasts) = lasts {
            let mut view = self.view();
            done.faults.iter().for_each(|it| view.lasts(*it, lasts));
        }
        let for_long = lasts.map(|lasts| format!(" for {}", words::duration(lasts)));
        Ok(self.did(format!("{what}{}", for_long.unwrap_or_default()), done))
    }

    fn label(&self, kind: &FaultKind<Vec<NodeId>>) -> String {
        kind.label(|nodes| self.names_of(nodes))
    }

    async fn heal(&self, all: bool) -> Result<Did> {
        let done = self.command(Command::Heal { all }).await?;
        let what = match done.faults.len() as u64 {
            0 => "nothing was in force".into(),
            count => format!("{} ended", words::count(count, "fault")),
        };
        Ok(self.did(what, done))
    }

    async fn start(&self, nodes: &[String]) -> Result<Did> {
        let nodes = self.nodes(nodes)?;
        let what = self.names_of(&nodes);
        let done = self.command(Command::Start(nodes)).await?;
        Ok(self.did(format!("start of {what}"), done))
    }

    fn up(&self) -> Result<Vec<NodeId>> {
        let up = self.view().up();
        if up.is_empty() {
            return Err(nobody_is_up());
        }
        Ok(up)
    }

    async fn wait(&self, until: &str, timeout: Nanos) -> Result<Reply> {
        let condition = Until::parse(until.trim())
            .map_err(|bad| not_read(until, Until::WHAT, Until::FORM, bad))?;
        let deadline = Instant::now() + Duration::from(timeout);
        let mut look = interval(match condition {
            Until::Peers(_) => COUNT_INTERVAL,
            Until::Agreed | Until::Height(_) | Until::Up(_) => LOOK_INTERVAL,
        });
        let mut ended = self.ended.clone();
        loop {
            tokio::select! {
                _ = look.tick() => {}
                _ = ended.wait_for(Option::is_some) => return Err(has_ended()),
            }
            if matches!(condition, Until::Peers(_)) {
                self.count_peers().await;
            }
            if condition.holds(&self.view()) {
                return Ok(self.status());
            }
            if Instant::now() >= deadline {
                let status = self.view().status(&self.name, self.live.clock.now());
                let waited = words::duration(timeout);
                return Err(
                    Error::failed(format!("`{until}` did not hold within {waited}"))
                        .because(format!(
                            "the network now:\n{}",
                            status_text(&status).trim_end()
                        ))
                        .hint("`--timeout` says how long to wait"),
                );
            }
        }
    }

    /// Ends the network, and answers once everything is removed.
    async fn down(&self, progress: &mpsc::Sender<Reply>) -> Result<Reply> {
        let description = self.description();
        let mut ended = self.ended.clone();
        // It may have been asked to end before.
        let (answer, _) = oneshot::channel();
        let command = Command::Finish;
        let _ = self
            .requests
            .send(HandRequest::Do { command, answer })
            .await;
        let what = "asking the nodes for their state, and removing everything";
        let _ = progress.send(Reply::Progress(what.into())).await;
        let result = match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(has_ended()),
        };
        result.map(|()| Reply::Ended(description))
    }

    /// Hands something to the run, and waits until it is done.
    async fn command(&self, command: Command) -> Result<Done> {
        let (answer, done) = oneshot::channel();
        let asked = HandRequest::Do { command, answer };
        let sent = self.requests.send(asked).await;
        sent.map_err(|_| has_ended())?;
        done.await.map_err(|_| has_ended())
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

/// That a text is not what was asked for.
fn not_read(text: &str, what: &str, form: &str, bad: BadValue) -> Error {
    Error::input(format!("`{text}` is not {what}"))
        .because(bad.cause)
        .hint(bad.hint.unwrap_or_else(|| format!("write {form}")))
}

fn nobody_is_up() -> Error {
    Error::environment("no node is up", "none answers", NODE_HINT)
}

/// That somebody asks who found the network up, and its run is over.
pub fn has_ended() -> Error {
    Error::environment(
        "the network has ended",
        "it was taken down, or its engine failed",
        "its folder has the log of the process that held it, `network.log`",
    )
}
