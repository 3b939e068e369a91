//! The one task that owns a run's state: hands what the fabric and the other tasks tell to the
//! conductor, and has its orders carried out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use peerlab_link::proto::{FromFabric, Secret, ToFabric};
use peerlab_link::{Nanos, NodeId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::capture::Capturing;
use super::clock::RunClock;
use super::control::Control;
use super::dial::{Dialer, LogRequest, LogSource};
use super::log_end::log_end;
use super::mux::Mux;
use super::stay::{AfterRun, FromStart, HandRequest, Live, Requests, Stay};
use super::watch::{Followed, Life, Report};
use super::{ask, sample, start, watch as watcher};
use crate::disk::{CaptureFolder, CaptureSums};
use crate::engine::cpu_time::KernelThreads;
use crate::engine::{Engine, or_stop};
use peerlab_core::conduct::{Command, Conductor, Input, Observation, Order, Setup, Venue};
use peerlab_core::conduct::{Observer, Stage, ended, interrupted};
use peerlab_core::error::{Kind, Result};
use peerlab_core::event::{Joined, What};
use peerlab_core::ledger::Premined;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Node;

/// Pause between two readings of the traffic counters.
const COUNT_INTERVAL: Nanos = Nanos::from_secs(1);
/// The same in a network that stays: its record is to last longer.
const COUNT_INTERVAL_OF_STAYING: Nanos = Nanos::from_secs(5);
/// Workload actions under way at one node; further ones wait their turn there. No node has any
/// part in another's: one that does not answer keeps none from happening but its own.
const ACTIONS_OF_NODE: usize = 32;
/// Nodes that are asked for counters and state at once: enough to keep every core busy, few
/// enough that each is answered in time.
const ACCOUNTS_AT_ONCE: usize = 16;
/// After this long without an answer, the next node is asked for its account as well.
const ACCOUNT_ALONE: Duration = Duration::from_secs(3);
/// Logs that are read at once for probes; others wait their turn.
const LOGS_AT_ONCE: usize = 8;
/// Nodes that ended by themselves or never answered, of which the record tells the end of the log.
const LOG_ENDS_MAX: usize = 10;
/// How long it may take to read these.
const LOG_ENDS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the gate of a node that joins may take to open once its process was made.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Reports that may wait to be read.
const REPORTS_MAX: usize = 4096;

/// A plan and what it is carried out with.
pub struct Drive<'a, E> {
    /// Starts and removes.
    pub engine: &'a E,
    /// What is carried out.
    pub plan: &'a Plan,
    /// Who looks on.
    pub observer: &'a dyn Observer,
    /// Which logs are kept.
    pub logs: Logs,
    /// Ends the run early.
    pub stop: CancellationToken,
    /// Whether and when the network stays.
    pub stay: Option<Stay>,
    /// Told once all nodes have been started.
    pub live: Option<oneshot::Sender<Live>>,
    /// Packets that are captured, from the first to the last.
    pub capture: Option<CaptureFolder>,
}

/// Which logs of nodes are kept, and where.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The folder; made when there is a log to keep.
    pub folder: PathBuf,
    /// All nodes' logs, rather than only those of nodes that ended by themselves.
    pub all: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct CarriedOut {
    /// Why it failed ([`peerlab_core::error::Kind::Interrupted`] when it was stopped).
    pub result: Result<()>,
    /// Whether nothing of it is left.
    pub everything_removed: bool,
    /// What was captured.
    pub captured: Option<CaptureSums>,
}

impl<E: Engine> Drive<'_, E> {
    /// Carries the plan out, and removes everything in any case.
    pub async fn run(mut self) -> CarriedOut {
        let mut open = None;
        let lent = Lent {
            stay: self.stay.take(),
            live: self.live.take(),
            capture: self.capture.take(),
        };
        let mut captured = None;
        let result = self.carry_out(lent, &mut open, &mut captured).await;
        self.observer.stage(Stage::Removing);
        let removed = self.engine.remove_all().await;
        // Only now: with this stream the fabric ends, and with it at once every node that is left.
        // An engine may not bear that: Docker 20.10 was seen to lock itself up for good when 500
        // containers ended at one instant.
        if let Some(mux) = open {
            mux.close();
        }
        CarriedOut {
            everything_removed: removed.is_ok(),
            captured,
            result: and_removed(result, removed),
        }
    }

    /// `open` is given the connection to the fabric as soon as there is one.
    async fn carry_out(
        &self,
        lent: Lent,
        open: &mut Option<Mux>,
        captured: &mut Option<CaptureSums>,
    ) -> Result<()> {
        let Lent {
            stay,
            live,
            capture,
        } = lent;
        let nodes = capture.as_ref().map(CaptureFolder::nodes);
        let premined = Arc::new(Premined::mine(self.plan.ledger.outputs));
        let snapshot = match &stay {
            Some(Stay::FromStart(staying)) => staying.snapshot.clone(),
            Some(Stay::AfterRun(_)) | None => None,
        };
        let beginning = start::Beginning {
            premined: &premined,
            snapshot: snapshot.as_deref(),
            captured: nodes,
        };
        let network = start::start(self.engine, self.plan, beginning, self.observer);
        let mut network = or_stop(&self.stop, network).await?;
        *open = Some(network.mux.clone());
        let capturing = match network.capture.take().zip(capture) {
            Some((stream, folder)) => Some(Capturing::begin(stream, folder, network.unix_nanos)?),
            None => None,
        };
        let (staying, kept) = match stay {
            None => (None, None),
            Some(Stay::FromStart(staying)) => (Some(staying), None),
            Some(Stay::AfterRun(kept)) => (None, Some(kept)),
        };
        let mut run = Run::new(self, network, premined, staying);
        if let Some(live) = live {
            // Whoever waited for it may have gone.
            let _ = live.send(run.live());
        }
        let mut result = run.go().await;
        if result.is_ok() {
            run.tell_log_ends().await;
        }
        run.finish(&result)?;
        let telling = run.conductor.telling().into_iter();
        let named = telling.map(|node| (node, run.conductor.node_name(node)));
        let telling: Vec<(NodeId, String)> = named.collect();
        // Where its network does not stay it ends here: its tasks would ask nodes on.
        let run = kept.map(|kept| (run, kept));
        if let Some(capturing) = capturing {
            let sums = capturing.end().await;
            result = result.and(sums.map(|sums| *captured = Some(sums)));
        }
        if ended(&result) != Some(true) {
            let logs = or_stop(&self.stop, self.save_logs(telling)).await;
            result = result.and(logs);
        }
        match run {
            Some((run, kept)) if result.is_ok() => run.stay(kept).await,
            _ => result,
        }
    }
}

/// What goes from a [`Drive`] to its run.
struct Lent {
    stay: Option<Stay>,
    live: Option<oneshot::Sender<Live>>,
    capture: Option<CaptureFolder>,
}

/// What a run came to, and what its removal did: what may be left is told, whatever else happened.
fn and_removed(result: Result<()>, removed: Result<()>) -> Result<()> {
    match (result, removed) {
        (Err(mut error), Err(left)) if error.kind != Kind::Interrupted => {
            error.reports.extend(left.reports);
            Err(error)
        }
        // An interrupted run says that everything was removed.
        (_, Err(left)) => Err(left),
        (result, Ok(())) => result,
    }
}

/// A run under way.
struct Run<'a, E> {
    drive: &'a Drive<'a, E>,
    control: Control,
    clock: RunClock,
    /// Wall clock at time zero.
    unix_nanos: u64,
    dialer: Dialer,
    conductor: Conductor<'a>,
    /// Tells each node's watcher what to do.
    watchers: Vec<watch::Sender<Followed>>,
    reports: mpsc::Receiver<Report>,
    /// Handed to every task.
    report: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
    /// Turns of each node's workload actions.
    turns: Vec<Arc<Semaphore>>,
    account_slots: Arc<Semaphore>,
    kernel_threads: KernelThreads,
    requests: Requests,
    /// Logs that somebody has asked for.
    logs: FuturesUnordered<BoxFuture<'a, ()>>,
    /// Logs that probes ask for.
    log_requests: mpsc::Receiver<LogRequest>,
    /// Those of them that are being read.
    probed_logs: FuturesUnordered<BoxFuture<'a, ()>>,
    /// What programs of the host prove with that they were invited.
    invited: BTreeMap<NodeId, Secret>,
    /// Nodes that join or leave.
    members: FuturesUnordered<BoxFuture<'a, Input>>,
}

impl<'a, E: Engine> Run<'a, E> {
    fn new(
        drive: &'a Drive<'a, E>,
        network: start::Network,
        premined: Arc<Premined>,
        staying: Option<FromStart>,
    ) -> Self {
        let plan = drive.plan;
        let (report, reports) = mpsc::channel(REPORTS_MAX);
        let (log_request, log_requests) = mpsc::channel(LOGS_AT_ONCE);
        let logs = LogSource {
            requests: log_request,
            unix_nanos: network.unix_nanos,
        };
        let dialer = Dialer::new(network.mux, Some(logs), plan);
        let mut tasks = JoinSet::new();
        let mut watchers = Vec::new();
        for node in &plan.nodes {
            let (sender, followed) = watch::channel(None);
            watchers.push(sender);
            let work = watcher::watch(node.id, dialer.clone(), followed, report.clone());
            tasks.spawn(work);
        }
        let mut setup = Setup {
            measures_usage: true,
            ..Setup::of(plan, premined, COUNT_INTERVAL)
        };
        let requests = match staying {
            None => Requests::none(),
            Some(staying) => {
                setup.end = None;
                setup.count_interval = COUNT_INTERVAL_OF_STAYING;
                setup.workload = Box::new(staying.workload);
                setup.history = staying
                    .snapshot
                    .and_then(|it| it.manifest.network.tip.clone());
                Requests::from(staying.requests)
            }
        };
        let mut conductor = Conductor::new(setup);
        conductor.begin(Venue {
            engine: drive.engine.name(),
            unix_nanos: network.unix_nanos,
            bring_up: network.bring_up,
            host: drive.engine.host(),
        });
        Run {
            drive,
            control: network.control,
            clock: network.clock,
            unix_nanos: network.unix_nanos,
            dialer,
            conductor,
            watchers,
            reports,
            report,
            tasks,
            turns: std::iter::repeat_with(new_turns)
                .take(plan.nodes.len())
                .collect(),
            account_slots: Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE)),
            kernel_threads: KernelThreads::default(),
            requests,
            logs: FuturesUnordered::new(),
            log_requests,
            probed_logs: FuturesUnordered::new(),
            invited: BTreeMap::new(),
            members: FuturesUnordered::new(),
        }
    }

    /// The network, for those who look at it.
    fn live(&self) -> Live {
        Live {
            dialer: self.dialer.clone(),
            clock: self.clock,
            unix_nanos: self.unix_nanos,
        }
    }

    /// Carries the plan out to its end.
    async fn go(&mut self) -> Result<()> {
        self.drive.observer.stage(Stage::Running);
        self.until_over().await
    }

    /// Stays up for what is asked by hand, if that is wanted of a run that is over and recorded.
    async fn stay(mut self, kept: AfterRun) -> Result<()> {
        self.drive.observer.stage(Stage::Recorded);
        // Where nobody waits for it, nobody wants it either.
        let _ = kept.over.send(self.live());
        let wanted = async { Ok(kept.wanted.await.ok()) };
        let Some(requests) = or_stop(&self.drive.stop, wanted).await? else {
            return Ok(());
        };
        self.requests = Requests::from(requests);
        self.conductor.stay(COUNT_INTERVAL_OF_STAYING);
        let result = self.until_over().await;
        self.finish(&result)?;
        result
    }

    /// Has the last lines written.
    fn finish(&mut self, result: &Result<()>) -> Result<()> {
        self.conductor.finish(self.clock.now(), ended(result));
        self.write()?;
        self.answer();
        Ok(())
    }

    async fn until_over(&mut self) -> Result<()> {
        self.settle().await?;
        while !self.conductor.is_over() {
            let wake = self.clock.instant(self.conductor.deadline());
            self.step(wake).await?;
            self.settle().await?;
            if let Some((done, total)) = self.conductor.accounted() {
                self.drive.observer.stage(Stage::Collecting { done, total });
            }
        }
        if let Some((done, total)) = self.conductor.accounted()
            && done < total
        {
            tracing::warn!("{} nodes did not tell their state", total - done);
        }
        Ok(())
    }

    /// Tells what nodes wrote last that ended by themselves or never answered.
    async fn tell_log_ends(&mut self) {
        let mut nodes = self.conductor.silent();
        nodes.truncate(LOG_ENDS_MAX);
        let engine = self.drive.engine;
        let ends = nodes.iter().map(|node| log_end(engine, *node));
        let ends = timeout(LOG_ENDS_TIMEOUT, futures::future::join_all(ends)).await;
        for (node, lines) in nodes.into_iter().zip(ends.unwrap_or_default()) {
            if !lines.is_empty() {
                let end = Observation::Recorded(What::LogEnd { node, lines });
                self.conductor
                    .handle(self.clock.now(), Input::Observed(end));
            }
        }
    }

    /// Takes one message in, or waits until `wake`.
    async fn step(&mut self, wake: Instant) -> Result<()> {
        let engine = self.drive.engine;
        tokio::select! {
            biased;
            () = self.drive.stop.cancelled() => return Err(interrupted()),
            () = sleep_until(wake) => self.conductor.handle(self.clock.now(), Input::Timer),
            message = start::told(engine, &mut self.control) => self.take_in(message?),
            Some(Report { at, observation }) = self.reports.recv() => {
                self.conductor.handle(self.clock.at(at), Input::Observed(observation));
            }
            request = self.requests.next() => self.take_request(request),
            Some(()) = self.logs.next() => {}
            Some(()) = self.probed_logs.next() => {}
            Some(request) = self.log_requests.recv(), if self.probed_logs.len() < LOGS_AT_ONCE => {
                self.probed_logs.push(read_log(engine, request).boxed());
            }
            Some(input) = self.members.next() => self.conductor.handle(self.clock.now(), input),
            (node, reason) = engine.gate_ended() => {
                self.conductor.handle(self.clock.now(), Input::Lost { node, reason });
            }
            Some(ended) = self.tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!("a task of the run failed: {error}");
                }
            }
        }
        match self.conductor.never_ready() {
            Some((node, error)) => {
                let quoted = async { Err(start::quote_log(engine, node, error).await) };
                or_stop(&self.drive.stop, quoted).await
            }
            None => Ok(()),
        }
    }

    /// Has the conductor's orders carried out, and writes what is to be written.
    async fn settle(&mut self) -> Result<()> {
        while let Some(order) = self.conductor.poll_order() {
            self.carry_out(order).await;
        }
        self.write()?;
        self.answer();
        Ok(())
    }

    /// Takes in what is asked by hand.
    fn take_request(&mut self, request: HandRequest) {
        match request {
            HandRequest::Do { command, answer } => {
                let ticket = self.requests.take_number(answer);
                let asked = Input::Command { ticket, command };
                self.conductor.handle(self.clock.now(), asked);
            }
            HandRequest::WayIn { answer } => {
                let _ = answer.send(self.drive.engine.way_in());
            }
            HandRequest::Invite { joined, answer } => {
                let secret = start::new_secret();
                if let Ok(secret) = &secret {
                    self.invited.insert(joined.node, *secret);
                }
                // Whoever asked has what it needs, and hears of the fabric what comes of it.
                let ticket = self.requests.take_number(oneshot::channel().0);
                let command = Command::Join(vec![joined]);
                let asked = Input::Command { ticket, command };
                self.conductor.handle(self.clock.now(), asked);
                let _ = answer.send(secret);
            }
            HandRequest::Log {
                node,
                bytes_max,
                answer,
            } => {
                let request = LogRequest {
                    node,
                    bytes_max,
                    answer,
                };
                self.logs.push(read_log(self.drive.engine, request).boxed());
            }
        }
    }

    /// Tells those who asked by hand what came of it; the record has it by then.
    fn answer(&mut self) {
        while let Some((ticket, done)) = self.conductor.poll_done() {
            self.requests.answer(ticket, done);
        }
    }

    fn write(&mut self) -> Result<()> {
        while let Some(event) = self.conductor.poll_event() {
            self.drive.observer.event(&event)?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, order: Order) {
        let dialer = self.dialer.clone();
        match order {
            Order::Follow {
                node,
                incarnation,
                began,
            } => self.watch(node, Some(Life { incarnation, began })),
            Order::Leave { node } => self.watch(node, None),
            Order::Apply { tag, action } => {
                self.control.order(ToFabric::Apply { tag, action }).await;
            }
            Order::Join(joined) => self.join(&joined).await,
            Order::Remove { node } => {
                self.control.order(ToFabric::Forget { node }).await;
                self.members.push(leave(self.drive.engine, node).boxed());
            }
            Order::Count => self.control.order(ToFabric::Count).await,
            Order::MeasureUsage { nodes, memory } => {
                for node in nodes {
                    self.control.order(ToFabric::Usage { node, memory }).await;
                }
            }
            Order::Mine { node } => self.ask(ask::mine(dialer, self.turns_of(node), node)),
            Order::Submit {
                node,
                payment,
                double_spend,
            } => {
                let turns = self.turns_of(node);
                self.ask(ask::submit(dialer, turns, node, payment, double_spend));
            }
            Order::AskBlocks { node, hash, known } => {
                self.ask(ask::blocks(dialer, node, hash, known));
            }
            Order::AskAccounts { nodes, ledger } => {
                for node in nodes {
                    self.ask_account(ask::account(dialer.clone(), node, ledger));
                }
            }
        }
    }

    /// Makes a node more. That it is there is told by the fabric.
    async fn join(&mut self, joined: &Joined) {
        let node = Node::of(joined);
        let id = node.id;
        self.dialer.add(node.group);
        self.watch_next(id);
        let invited = self.invited.remove(&id);
        let secret = match invited.map_or_else(start::new_secret, Ok) {
            Ok(secret) => secret,
            Err(error) => {
                let result = Err(error.to_string());
                let input = Input::Joined { node: id, result };
                return self.members.push(std::future::ready(input).boxed());
            }
        };
        let link = joined.link.clone();
        start::provide(&mut self.control, &node).await;
        if !joined.guest {
            start::introduce(&mut self.control, std::slice::from_ref(&node)).await;
        }
        // Also where nobody will come: the fabric numbers those that join as they are told to it.
        self.control.order(ToFabric::Join { link, secret }).await;
        let engine = self.drive.engine;
        self.members.push(if joined.guest {
            too_late(id).boxed()
        } else {
            make(engine, node, secret).boxed()
        });
    }

    /// A watcher, and turns, for a node with the next id.
    fn watch_next(&mut self, node: NodeId) {
        let (sender, followed) = watch::channel(None);
        self.watchers.push(sender);
        let work = watcher::watch(node, self.dialer.clone(), followed, self.report.clone());
        self.tasks.spawn(work);
        self.turns.push(new_turns());
    }

    fn watch(&self, node: NodeId, followed: Followed) {
        if let Some(watcher) = self.watchers.get(node.index()) {
            watcher.send_replace(followed);
        }
    }

    fn turns_of(&self, node: NodeId) -> Arc<Semaphore> {
        self.turns[node.index()].clone()
    }

    /// Asks a node something, and reports what it says.
    fn ask(&mut self, work: impl Future<Output = Observation> + Send + 'static) {
        let report = self.report.clone();
        self.tasks
            .spawn(async move { tell(&report, work.await).await });
    }

    /// Asks a node for its account as soon as there is room for it.
    fn ask_account(&mut self, work: impl Future<Output = Vec<Observation>> + Send + 'static) {
        let (report, slots) = (self.report.clone(), self.account_slots.clone());
        self.tasks.spawn(async move {
            let Ok(slot) = slots.acquire_owned().await else {
                return;
            };
            let mut work = std::pin::pin!(work);
            let seen = match timeout(ACCOUNT_ALONE, &mut work).await {
                Ok(seen) => seen,
                Err(_) => {
                    drop(slot);
                    work.await
                }
            };
            for observation in seen {
                tell(&report, observation).await;
            }
        });
    }

    /// Takes in what the fabric tells.
    fn take_in(&mut self, message: FromFabric) {
        let (t, input) = match message {
            FromFabric::Applied { t, tag, result } => (t, Input::Applied { tag, result }),
            FromFabric::Exited {
                t,
                node,
                status,
                asked,
            } => {
                let exited = Input::Exited {
                    node,
                    status,
                    asked,
                };
                (t, exited)
            }
            FromFabric::GateLost { t, node, reason } => (t, Input::Lost { node, reason }),
            FromFabric::GateOpen { node } => {
                let result = Ok(());
                (self.clock.now(), Input::Joined { node, result })
            }
            FromFabric::Counters {
                t,
                nodes,
                lateness,
                cpu,
            } => {
                let engine = self.drive.engine;
                let local = engine.shares_host();
                let no_others = || {
                    let engine = engine.own_cpu().saturating_add(self.kernel_threads.cpu());
                    cpu.saturating_add(engine)
                };
                let fidelity = What::Fidelity {
                    lateness,
                    cpu_pressure: local.then(sample::cpu_pressure).flatten(),
                    host_cpu: local.then(|| sample::host_cpu(no_others())).flatten(),
                };
                let counters = Observation::Counters { nodes };
                self.conductor.handle(t, Input::Observed(counters));
                (t, Input::Observed(Observation::Recorded(fidelity)))
            }
            FromFabric::Usage { t, node, usage } => {
                (t, Input::Observed(Observation::Usage { node, usage }))
            }
            other => {
                tracing::debug!("fabric: {other:?}");
                return;
            }
        };
        self.conductor.handle(t, input);
    }
}

/// Starts the gate of a node that joins. What comes of it here is only why it is not there.
async fn make<E: Engine>(engine: &E, node: Node, secret: Secret) -> Input {
    match engine.start_gate(&node, secret).await {
        Ok(()) => too_late(node.id).await,
        Err(error) => Input::Joined {
            node: node.id,
            result: Err(error.to_string()),
        },
    }
}

/// Once it has had its time, a gate that has not opened does not. One that has is no news.
async fn too_late(node: NodeId) -> Input {
    sleep(JOIN_TIMEOUT).await;
    let reason = format!("its gate did not open within {} s", JOIN_TIMEOUT.as_secs());
    let result = Err(reason);
    Input::Joined { node, result }
}

/// Removes a node.
async fn leave<E: Engine>(engine: &E, node: NodeId) -> Input {
    let removed = engine.remove_node(node).await;
    let result = removed.map_err(|error| error.to_string());
    Input::Removed { node, result }
}

async fn read_log<E: Engine>(engine: &E, request: LogRequest) {
    let log = engine.node_log(request.node, request.bytes_max).await;
    // Whoever asked may have gone.
    let _ = request.answer.send(log);
}

fn new_turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ACTIONS_OF_NODE))
}

/// Reports what was seen just now.
async fn tell(report: &mpsc::Sender<Report>, observation: Observation) {
    tracing::trace!("{observation:?}");
    // Nobody listens any more when the run is over.
    let _ = report.send(Report::now(observation)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerlab_core::error::Error;

    #[test]
    fn what_may_be_left_is_told_whatever_else_happened() {
        let failed = |what| Err(Error::environment(what, "a test", "wait"));
        let said = |result| and_removed(result, failed("left")).unwrap_err();
        assert_eq!(said(Ok(())).render(), said(Err(interrupted())).render());
        assert_eq!(said(Err(interrupted())).kind, Kind::Environment);
        let both = said(failed("first")).render();
        assert!(both.starts_with("Error: first\n") && both.contains("\nError: left\n"));
        assert_eq!(and_removed(Err(interrupted()), Ok(())), Err(interrupted()));
    }
}
