//! What the process that holds a network answers with: the network as it is now, its nodes, and the way
//! to the task that owns its run.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use peerlab_core::conduct::{Command, Done};
use peerlab_core::error::{Error, Result};
use peerlab_core::experiment::FaultKind;
use peerlab_core::plan::spec::Work;
use peerlab_core::plan::{Plan, Roster, Weighted, label_nodes};
use peerlab_core::topology::by_hand::AskedFault;
use peerlab_core::topology::units::Frequency;
use peerlab_core::topology::written::{BadValue, Value as _};
use peerlab_core::view::{NetworkView, PeerCount, Until, status_text};
use peerlab_core::words;
use peerlab_link::proto::{RAN_BYTES_MAX, Terminal};
use peerlab_link::{Nanos, NodeId};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval, sleep_until};

use super::request::{Description, Did, Guest, NodeFailure, NodeLog, RanText, Reply, Request};
use crate::disk::{CaptureFolder, next_capture};
use crate::engine::drive::{HandRequest, Live, MuxStream, PEERS_TIMEOUT, count_peers};
use crate::probe::{ProbeError, bounded};

/// Nodes that are asked for their logs at once.
const ASKED_AT_ONCE: usize = 16;
/// Bytes of a node's log that are given at once.
const LOG_BYTES_MAX: u32 = 1 << 20;
/// How long a method of a node may take.
const RPC_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks while somebody waits; where connections must be counted, between two counts.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const COUNT_INTERVAL: Duration = Duration::from_millis(500);
/// Least pause between two rounds of asking all nodes for their connections, and what it is for each
/// node: a screen that shows them is to cost the network next to nothing.
const LINKS_INTERVAL: Duration = Duration::from_secs(2);
const LINKS_INTERVAL_OF_NODE: Duration = Duration::from_millis(60);
/// Blocks or payments of one request: more would not be answered in time.
const WORK_MAX: u32 = 500;
/// Between two payments, whatever the rate: longer than a network stays.
const GAP_SECONDS_MAX: f64 = 1e9;
/// Shells that images have, the best first.
const SHELLS: [&str; 2] = ["bash", "sh"];
/// Payments of one request that nodes have not answered yet; further ones wait.
const PAYMENTS_AT_ONCE: usize = 64;
/// What to do about a program that does not run in a node, and a port that takes no connection.
const EXEC_HINT: &str = "a program may take 10 s, and is one of the node's image: our own has no other than \
                         `peerlab-node` (`peerlab rpc` asks that)";
const DIAL_HINT: &str = "which ports does its program listen on, at 127.0.0.1? RPC's is 18443";
/// What to do about a node that cannot be asked.
const NODE_HINT: &str = "`peerlab ps` shows which nodes are up";

/// A connection as `getpeerinfo` tells it.
#[derive(serde::Deserialize)]
struct PeerLink {
    addr: String,
    inbound: bool,
}

/// The connections of all nodes as they were when they were asked for.
#[derive(Debug)]
pub struct LinksThen {
    asked: Instant,
    pairs: Vec<(u32, u32)>,
}

fn count(peers: &[PeerLink]) -> PeerCount {
    let inbound = peers.iter().filter(|peer| peer.inbound).count() as u32;
    let outbound = peers.len() as u32 - inbound;
    PeerCount { outbound, inbound }
}

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

    /// Who is connected to whom. Whoever asks meanwhile waits, and is given the same.
    async fn links(&self) -> Vec<(u32, u32)> {
        let mut links = self.links.lock().await;
        let pause = LINKS_INTERVAL.max(LINKS_INTERVAL_OF_NODE * self.view().node_count() as u32);
        if let Some(then) = &*links
            && then.asked.elapsed() < pause
        {
            return then.pairs.clone();
        }
        let pairs = self.ask_for_links().await;
        *links = Some(LinksThen {
            asked: Instant::now(),
            pairs: pairs.clone(),
        });
        pairs
    }

    async fn ask_for_links(&self) -> Vec<(u32, u32)> {
        let numbers: BTreeMap<IpAddr, u32> = {
            let roster = self.roster();
            let nodes = roster.present();
            nodes.map(|it| (it.ip.into(), it.id.0)).collect()
        };
        let up = self.view().up();
        let asked = up.into_iter().map(|node| self.connections_of(node).boxed());
        let mut answers = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
        let mut links = Vec::new();
        while let Some((node, answer)) = answers.next().await {
            match answer {
                Ok(peers) => {
                    self.view().counted_peers(node, count(&peers));
                    let opened = peers.iter().filter(|peer| !peer.inbound);
                    let addresses = opened.filter_map(|peer| peer.addr.parse().ok());
                    let others = addresses.filter_map(|it: SocketAddr| numbers.get(&it.ip()));
                    links.extend(others.map(|other| (node.0, *other)));
                }
                Err(error) => tracing::debug!("links of {}: {error}", self.name_of(node)),
            }
        }
        links.sort_unstable();
        links
    }

    /// A node's connections, each by itself.
    async fn connections_of(&self, node: NodeId) -> (NodeId, Result<Vec<PeerLink>, ProbeError>) {
        let ask = async {
            let mut probe = self.live.dialer.probe(node).await?;
            let methods = probe.methods().ok_or(ProbeError::Unable("its peers"))?;
            let peers = methods.ask("getpeerinfo", Value::Array(Vec::new())).await?;
            serde_json::from_value(peers).map_err(|error| ProbeError::Malformed(error.to_string()))
        };
        (node, bounded(PEERS_TIMEOUT, ask).await)
    }

    /// Asks every node that is up for its connections.
    async fn count_peers(&self) {
        count_peers(&self.live.dialer, &self.view).await;
    }

    async fn log_of(&self, node: NodeId, bytes_max: usize) -> Result<NodeLog> {
        let (answer, log) = oneshot::channel();
        let asked = HandRequest::Log {
            node,
            bytes_max,
            answer,
        };
        self.requests.send(asked).await.map_err(|_| has_ended())?;
        let log = log.await.map_err(|_| has_ended())??;
        Ok(NodeLog {
            node: self.name_of(node),
            times: log.line_times(),
            text: String::from_utf8_lossy(&log.into_bytes()).into_owned(),
        })
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
            let _ = progress.send(Reply::Log(log?)).await;
        }
        Ok(Reply::Did(Did {
            what: words::count(count, "log"),
            ..Did::default()
        }))
    }

    /// The nodes of choices.
    fn nodes(&self, choices: &[String]) -> Result<Vec<NodeId>> {
        self.roster().choose(choices)
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

    /// A shell in a node.
    ///
    /// # Errors
    /// When the node is down, or its image has none.
    pub async fn shell(&self, node: &str, terminal: Option<Terminal>) -> Result<MuxStream> {
        let id = self.node(node)?;
        if !self.view().up().contains(&id) {
            let what = format!("there is no shell in {node} now");
            return Err(Error::environment(what, "it is not up", NODE_HINT));
        }
        let mut refused = String::new();
        for shell in SHELLS {
            match self.live.dialer.talk(id, &[shell], terminal.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = error.to_string(),
            }
        }
        let looked_for = words::names(&SHELLS.map(str::to_owned));
        Err(Error::input(format!("{node} has no shell"))
            .because(format!(
                "its image was looked through for {looked_for}: {refused}"
            ))
            .hint(format!(
                "`peerlab rpc {node} METHOD` asks its program; our own image holds nothing but that"
            )))
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

    /// Some nodes more of a group; they have been started once this is answered.
    async fn add(&self, group: &str, count: u32) -> Result<Did> {
        let _turn = self.members.lock().await;
        let permit = self.requests.reserve().await.map_err(|_| has_ended())?;
        // From here to the order nothing is waited for: whoever asks may be gone at any time, and the run
        // must hear of every number that was given.
        let up = self.view().up();
        let joined = {
            let mut roster = self.roster();
            let present: Vec<NodeId> = roster.present().map(|node| node.id).collect();
            roster.grow(group, count, if up.is_empty() { &present } else { &up })?
        };
        let nodes: Vec<NodeId> = joined.iter().map(|it| it.node).collect();
        let (answer, done) = oneshot::channel();
        let command = Command::Join(joined);
        permit.send(HandRequest::Do { command, answer });
        let done = done.await.map_err(|_| has_ended())?;
        let failed: Vec<NodeId> = done.failures.iter().filter_map(|it| it.node).collect();
        self.roster().remove(&failed);
        let what = format!("join of {}", self.names_of(&nodes));
        Ok(self.did(what, done))
    }

    /// A program of this machine is to come in.
    async fn connect(&self) -> Result<Guest> {
        let _turn = self.members.lock().await;
        let (answer, way) = oneshot::channel();
        let asked = HandRequest::WayIn { answer };
        self.requests.send(asked).await.map_err(|_| has_ended())?;
        let way = way.await.map_err(|_| has_ended())??;
        let permit = self.requests.reserve().await.map_err(|_| has_ended())?;
        // As in `add`: nothing is waited for until the order is given.
        let joined = self.roster().invite()?;
        let (node, name, ip) = (joined.node, joined.name.clone(), joined.link.ip);
        let (answer, invited) = oneshot::channel();
        permit.send(HandRequest::Invite { joined, answer });
        let secret = invited.await.map_err(|_| has_ended())??;
        Ok(Guest {
            node,
            name,
            ip,
            gate: way.gate,
            socket: way.socket,
            secret,
        })
    }

    /// Nodes stop and are removed.
    async fn remove(&self, nodes: &[String]) -> Result<Did> {
        let _turn = self.members.lock().await;
        let permit = self.requests.reserve().await.map_err(|_| has_ended())?;
        let nodes = self.nodes(nodes)?;
        {
            let mut roster = self.roster();
            if roster.present().count() == nodes.len() {
                return Err(Error::input("a network cannot be left without a node")
                    .because("these are all that it has")
                    .hint("`peerlab down` ends it"));
            }
            roster.remove(&nodes);
        }
        let what = format!("removal of {}", self.names_of(&nodes));
        let (answer, done) = oneshot::channel();
        let command = Command::Remove(nodes);
        permit.send(HandRequest::Do { command, answer });
        let done = done.await.map_err(|_| has_ended())?;
        Ok(self.did(what, done))
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
        let what = format!("{blocks} by {}", self.name_of(node));
        Ok(self.did(what, done))
    }

    /// A node that is up, drawn by hash power; where nobody has any, any.
    fn miner(&self) -> Result<NodeId> {
        let up = self.up()?;
        let mut roster = self.roster();
        let mut chance = roster.chance();
        let nodes = roster.present().filter(|node| up.contains(&node.id));
        let drawn = Weighted::by_hash_power(nodes).draw(&mut chance);
        let drawn = drawn.or_else(|| Weighted::evenly(up.into_iter()).draw(&mut chance));
        drawn.ok_or_else(nobody_is_up)
    }

    async fn pay(&self, count: u32) -> Result<Did> {
        check_count(count, "payments")?;
        let outputs = self.take_outputs(count)?;
        let among = Weighted::evenly(self.up()?.into_iter());
        let mut chance = self.roster().chance();
        let work = |output| Some(payment(among.draw(&mut chance)?, output));
        let works: Vec<Work> = outputs.filter_map(work).collect();
        let done = self.command(Command::Act(works)).await?;
        let what = words::count(done.transactions.len() as u64, "payment");
        Ok(self.did(what, done))
    }

    /// Payments at instants that chance gives, so many a second on average, as those of an experiment; until a
    /// time is over, whoever asked has gone, or nothing is left to be spent.
    async fn pay_at(&self, rate: &str, lasts: Option<Nanos>) -> Result<Did> {
        let Frequency { per_second } = Frequency::parse(rate.trim())
            .map_err(|bad| not_read(rate, Frequency::WHAT, Frequency::FORM, bad))?;
        if !per_second.is_finite() || per_second <= 0.0 {
            return Err(Error::input(format!("`{rate}` pays nothing"))
                .because("a payment would never come")
                .hint(format!("write {}", Frequency::FORM)));
        }
        let mut chance = self.roster().chance();
        let begun = Instant::now();
        let end = lasts.map(|lasts| begun + Duration::from(lasts));
        let mut next = begun;
        let mut under_way = FuturesUnordered::new();
        let mut all = Done::default();
        let paid = loop {
            let gap = -chance.open_unit().ln() / per_second;
            next += Duration::from_secs_f64(gap.min(GAP_SECONDS_MAX));
            if end.is_some_and(|end| next >= end) {
                break Ok(());
            }
            loop {
                tokio::select! {
                    () = sleep_until(next), if under_way.len() < PAYMENTS_AT_ONCE => break,
                    Some(done) = under_way.next() => add_up(&mut all, done?),
                }
            }
            let output = match self.take_outputs(1) {
                Ok(outputs) => outputs.start,
                Err(error) => break Err(error),
            };
            let up = self.up()?;
            let node = up[chance.below(up.len())];
            let works = vec![payment(node, output)];
            under_way.push(self.command(Command::Act(works)));
        };
        while let Some(done) = under_way.next().await {
            add_up(&mut all, done?);
        }
        if let Some(end) = end.filter(|_| paid.is_ok()) {
            sleep_until(end).await;
        }
        let mut did = self.did(words::count(all.transactions.len() as u64, "payment"), all);
        if let Err(error) = paid {
            let reason = error.to_string().into();
            did.failures.push(NodeFailure { node: None, reason });
        }
        Ok(did)
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

    /// Writes packets into the record. What came until then stays where whoever asked goes.
    async fn capture(
        &self,
        nodes: &[String],
        lasts: Nanos,
        progress: &mpsc::Sender<Reply>,
    ) -> Result<Did> {
        let nodes = self.nodes(nodes)?;
        let folder = CaptureFolder::new(next_capture(&self.dir)?, &self.plan_now(), &nodes)?;
        let stream = self.live.dialer.capture(folder.nodes()).await?;
        let files = folder.begin(self.live.unix_nanos)?;
        let what = format!("capturing for {}", words::duration(lasts));
        let _ = progress.send(Reply::Progress(what)).await;
        let mut ended = self.ended.clone();
        let enough = async {
            tokio::select! {
                () = tokio::time::sleep(lasts.into()) => {}
                _ = ended.wait_for(Option::is_some) => {}
            }
        };
        let sums = stream.write(files, enough).await?;
        Ok(Did {
            what: sums.text(),
            ..Did::default()
        })
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

fn payment(node: NodeId, output: u32) -> Work {
    Work::Transaction {
        node,
        output,
        variant: 0,
    }
}

/// Adds what came of one payment to what came of others.
fn add_up(all: &mut Done, done: Done) {
    all.transactions.extend(done.transactions);
    all.failures.extend(done.failures);
}

/// That a text is not what was asked for.
fn not_read(text: &str, what: &str, form: &str, bad: BadValue) -> Error {
    Error::input(format!("`{text}` is not {what}"))
        .because(bad.cause)
        .hint(bad.hint.unwrap_or_else(|| format!("write {form}")))
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
