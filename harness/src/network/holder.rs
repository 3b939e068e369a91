//! What the process that holds a network answers with: the network as it is now, its nodes, and the way
//! to the task that owns its run.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use peerlab_core::conduct::{Command, Done};
use peerlab_core::error::{Error, Result};
use peerlab_core::event::PeerSums;
use peerlab_core::experiment::FaultKind;
use peerlab_core::plan::spec::Work;
use peerlab_core::plan::{Chance, Plan, Weighted, draw_by_hand, label_nodes, nodes_by_hand};
use peerlab_core::topology::Topology;
use peerlab_core::topology::by_hand::{AskedFault, choose};
use peerlab_core::topology::written::Value as _;
use peerlab_core::view::{NetworkView, NodeRow, PeerCount, Until, status_text};
use peerlab_core::words;
use peerlab_link::proto::RAN_BYTES_MAX;
use peerlab_link::{Nanos, NodeId};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval};

use super::request::{Description, Did, NodeFailure, NodeLog, RanText, Reply, Request};
use crate::engine::drive::{HandRequest, Live, MuxStream};
use crate::probe::{ProbeError, bounded};

/// How long a node may take to count its connections.
const PEERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Nodes that are asked at once.
const ASKED_AT_ONCE: usize = 16;
/// Bytes of a node's log that are given at once.
const LOG_BYTES_MAX: u32 = 1 << 20;
/// How long a method of a node may take.
const RPC_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks while somebody waits; where connections must be counted, between two counts.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const COUNT_INTERVAL: Duration = Duration::from_millis(500);
/// Blocks or payments of one request: more would not be answered in time.
const WORK_MAX: u32 = 500;
/// What to do about a program that does not run in a node, and a port that takes no connection.
const EXEC_HINT: &str = "a program may take 10 s, and is one of the node's image: our own has no other than \
                         `peerlab-node` (`peerlab rpc` asks that)";
const DIAL_HINT: &str = "which ports does its program listen on, at 127.0.0.1? RPC's is 18443";
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
    /// What it was brought up from.
    pub topology: Topology,
    /// Its start.
    pub plan: Arc<Plan>,
    /// As its events tell it.
    pub view: Arc<Mutex<NetworkView>>,
    /// Its nodes.
    pub live: Live,
    /// The way to its run.
    pub requests: mpsc::Sender<HandRequest>,
    /// The outputs that are left for payments by hand.
    pub outputs: Mutex<Range<u32>>,
    /// How many requests drew from chance.
    pub draws: Mutex<u64>,
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
                let rows: Vec<NodeRow> = self.view().rows().to_vec();
                Ok(Reply::Nodes(rows))
            }
            Request::Status => Ok(self.status()),
            Request::Rpc {
                node,
                method,
                params,
            } => self.rpc(&node, &method, params).await.map(Reply::Value),
            Request::Logs { nodes, bytes_max } => self.logs(&nodes, bytes_max, &progress).await,
            Request::Exec { node, command } => self.exec(&node, &command).await.map(Reply::Ran),
            Request::Dial { .. } => Ok(Reply::Open),
            Request::Fault { fault, lasts } => self.fault(&fault, lasts).await.map(Reply::Did),
            Request::Heal { all } => self.heal(all).await.map(Reply::Did),
            Request::Start { nodes } => self.start(&nodes).await.map(Reply::Did),
            Request::Mine { count, by } => self.mine(count, by.as_deref()).await.map(Reply::Did),
            Request::Pay { count } => self.pay(count).await.map(Reply::Did),
            Request::Wait { until, timeout } => self.wait(&until, timeout).await,
            Request::Down => self.down(&progress).await,
        }
    }

    /// Who it is.
    pub fn description(&self) -> Description {
        Description {
            name: self.name.clone(),
            engine: self.engine.clone(),
            nodes: self.plan.nodes.len(),
            pid: std::process::id(),
            dir: self.dir.clone(),
            up_for_ns: self.live.clock.now(),
        }
    }

    fn view(&self) -> MutexGuard<'_, NetworkView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> Reply {
        let status = self.view().status(&self.name, self.live.clock.now());
        Reply::Status(Box::new(status))
    }

    /// Asks every node that is up for its connections.
    async fn count_peers(&self) {
        let up = self.view().up();
        let asked = up.into_iter().map(|node| self.peers_of(node).boxed());
        let mut counted = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
        while let Some((node, sums)) = counted.next().await {
            match sums {
                Ok(sums) => {
                    let (outbound, inbound) = (sums.outbound, sums.inbound);
                    let peers = PeerCount { outbound, inbound };
                    self.view().counted_peers(node, peers);
                }
                Err(error) => tracing::debug!("peers of {}: {error}", self.plan.node_name(node)),
            }
        }
    }

    async fn peers_of(&self, node: NodeId) -> (NodeId, Result<PeerSums, ProbeError>) {
        let count = async {
            let mut probe = self.live.dialer.probe(node).await?;
            let chain = probe.chain().ok_or(ProbeError::Unable("its peers"))?;
            chain.peers().await
        };
        (node, bounded(PEERS_TIMEOUT, count).await)
    }

    async fn log_of(&self, node: NodeId, bytes_max: usize) -> Result<(NodeId, Vec<u8>)> {
        let (answer, log) = oneshot::channel();
        let asked = HandRequest::Log {
            node,
            bytes_max,
            answer,
        };
        self.requests.send(asked).await.map_err(|_| has_ended())?;
        let log = log.await.map_err(|_| has_ended())??;
        Ok((node, log))
    }

    async fn rpc(&self, node: &str, method: &str, params: Vec<Value>) -> Result<Value> {
        let id = self.node(node)?;
        let asked = async {
            let mut probe = self.live.dialer.probe(id).await?;
            let methods = probe.methods().ok_or(ProbeError::Unable("a method"))?;
            methods.ask(method, Value::Array(params)).await
        };
        let what = || format!("{node} does not answer `{method}`");
        bounded(RPC_TIMEOUT, asked).await.map_err(|error| {
            let cause = error.to_string();
            match error {
                ProbeError::Refused { .. } => {
                    Error::failed(format!("{node} refuses `{method}`")).because(cause)
                }
                ProbeError::Unable(_) => Error::input(what())
                    .because("its group's probe is no RPC")
                    .hint("give the group `probe: bitcoin-rpc` where its program answers that"),
                ProbeError::Transport(_)
                | ProbeError::Http(_)
                | ProbeError::Failed { .. }
                | ProbeError::Malformed(_)
                | ProbeError::TimedOut(_) => Error::environment(what(), cause, NODE_HINT),
            }
        })
    }

    /// Sends the log of each node that is chosen; of all, where none is named.
    async fn logs(
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
            let (node, log) = log?;
            let log = NodeLog {
                node: self.plan.node_name(node),
                text: String::from_utf8_lossy(&log).into_owned(),
            };
            let _ = progress.send(Reply::Log(log)).await;
        }
        Ok(Reply::Did(Did {
            what: words::count(count, "log"),
            ..Did::default()
        }))
    }

    /// The nodes of choices.
    fn nodes(&self, choices: &[String]) -> Result<Vec<NodeId>> {
        let selection = choose(&self.topology, choices)?;
        nodes_by_hand(&self.topology, self.plan.seed, self.draw(), &selection)
    }

    async fn exec(&self, node: &str, command: &[String]) -> Result<RanText> {
        let id = self.node(node)?;
        let ran = self.live.dialer.run(id, command).await.map_err(|error| {
            let what = format!("the program does not run in {node}");
            Error::environment(what, error.to_string(), EXEC_HINT)
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(RanText {
            status: ran.status,
            output: text(&ran.output),
            errors: text(&ran.errors),
            cut: ran.output.len().max(ran.errors.len()) >= RAN_BYTES_MAX,
        })
    }

    /// A connection to a port in a node.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn dial(&self, node: &str, port: u16) -> Result<MuxStream> {
        let id = self.node(node)?;
        self.live.dialer.dial(id, port).await.map_err(|error| {
            let what = format!("{node} takes no connection at port {port}");
            Error::environment(what, error.to_string(), DIAL_HINT)
        })
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
        let kind = fault.resolve(&self.topology)?;
        let kind = draw_by_hand(&self.topology, self.plan.seed, self.draw(), &kind)?;
        let what = self.label(&kind);
        let done = self.command(Command::Fault { kind, lasts }).await?;
        let for_long = lasts.map(|lasts| format!(" for {}", words::duration(lasts)));
        Ok(self.did(format!("{what}{}", for_long.unwrap_or_default()), done))
    }

    fn label(&self, kind: &FaultKind<Vec<NodeId>>) -> String {
        kind.label(|nodes| label_nodes(nodes, |node| self.plan.node_name(node)))
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
        let what = label_nodes(&nodes, |node| self.plan.node_name(node));
        let done = self.command(Command::Start(nodes)).await?;
        Ok(self.did(format!("start of {what}"), done))
    }

    /// All blocks of a request come from one node: those of several, mined at one instant, would be
    /// branches.
    async fn mine(&self, count: u32, by: Option<&str>) -> Result<Did> {
        check_count(count, "blocks")?;
        let node = match by {
            Some(name) => self.node(name)?,
            None => self.miner()?,
        };
        let works = vec![Work::Mine { node }; count as usize];
        let done = self.command(Command::Act(works)).await?;
        let blocks = words::count(done.blocks.len() as u64, "block");
        let what = format!("{blocks} by {}", self.plan.node_name(node));
        Ok(self.did(what, done))
    }

    /// A node that is up, drawn by hash power; where nobody has any, any.
    fn miner(&self) -> Result<NodeId> {
        let up = self.up()?;
        let nodes = up
            .iter()
            .filter_map(|node| self.plan.nodes.get(node.index()));
        let mut chance = self.chance();
        let drawn = Weighted::by_hash_power(nodes).draw(&mut chance);
        let drawn = drawn.or_else(|| Weighted::evenly(up.into_iter()).draw(&mut chance));
        drawn.ok_or_else(nobody_is_up)
    }

    async fn pay(&self, count: u32) -> Result<Did> {
        check_count(count, "payments")?;
        let outputs = self.take_outputs(count)?;
        let among = Weighted::evenly(self.up()?.into_iter());
        let mut chance = self.chance();
        let work = |output| {
            let node = among.draw(&mut chance)?;
            Some(Work::Transaction {
                node,
                output,
                variant: 0,
            })
        };
        let works: Vec<Work> = outputs.filter_map(work).collect();
        let done = self.command(Command::Act(works)).await?;
        let what = words::count(done.transactions.len() as u64, "payment");
        Ok(self.did(what, done))
    }

    fn take_outputs(&self, count: u32) -> Result<Range<u32>> {
        let mut left = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if (left.len() as u32) < count {
            return Err(Error::input(format!("{count} payments cannot be made"))
                .because(format!(
                    "{} are left of the outputs that the chain begins with",
                    left.len()
                ))
                .hint("a network that is brought up anew has all of them"));
        }
        let first = left.start;
        left.start += count;
        Ok(first..left.start)
    }

    fn up(&self) -> Result<Vec<NodeId>> {
        let up = self.view().up();
        if up.is_empty() {
            return Err(nobody_is_up());
        }
        Ok(up)
    }

    async fn wait(&self, until: &str, timeout: Nanos) -> Result<Reply> {
        let condition = Until::parse(until.trim()).map_err(|bad| {
            Error::input(format!("`{until}` is not {}", Until::WHAT))
                .because(bad.cause)
                .hint(bad.hint.unwrap_or_else(|| format!("write {}", Until::FORM)))
        })?;
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
            node: failure.node.map(|node| self.plan.node_name(node)),
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

    /// Another number each time.
    fn draw(&self) -> u64 {
        let mut draws = self.draws.lock().unwrap_or_else(PoisonError::into_inner);
        *draws += 1;
        *draws
    }

    fn chance(&self) -> Chance {
        Chance::new(self.plan.seed, &format!("by-hand/nodes/{}", self.draw()))
    }
}

fn check_count(count: u32, what: &str) -> Result<()> {
    if (1..=WORK_MAX).contains(&count) {
        return Ok(());
    }
    Err(
        Error::input(format!("{count} {what} cannot be asked for at once"))
            .because("each request is answered once all of it is done")
            .hint(format!("ask for 1 to {WORK_MAX}")),
    )
}

fn nobody_is_up() -> Error {
    Error::environment("no node is up", "none answers", NODE_HINT)
}

fn has_ended() -> Error {
    Error::environment(
        "the network has ended",
        "it was taken down, or its engine failed",
        "its folder has the log of the process that held it, `network.log`",
    )
}
