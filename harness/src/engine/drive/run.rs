//! The one task that owns a run's state: hands what the fabric and the other tasks tell to the
//! conductor, and has its orders carried out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use peerlab_link::proto::{FromFabric, ToFabric};
use peerlab_link::{Nanos, NodeId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::clock::RunClock;
use super::control::Control;
use super::dial::Dialer;
use super::log_end::log_end;
use super::mux::Mux;
use super::stay::{HandRequest, Live, Requests, Stay};
use super::watch::{Followed, Report};
use super::{ask, sample, start, watch as watcher};
use crate::engine::cpu_time::KernelThreads;
use crate::engine::{Engine, or_stop};
use peerlab_core::conduct::{Conductor, Input, Observation, Order, Setup, Venue};
use peerlab_core::conduct::{Observer, Stage, ended, interrupted};
use peerlab_core::error::{Kind, Result};
use peerlab_core::event::What;
use peerlab_core::ledger::Premined;
use peerlab_core::plan::Plan;

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
/// Nodes that ended by themselves or never answered, of which the record tells the end of the log.
const LOG_ENDS_MAX: usize = 10;
/// How long it may take to read these.
const LOG_ENDS_TIMEOUT: Duration = Duration::from_secs(10);
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
    /// Of a network that stays.
    pub stay: Option<Stay>,
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
}

impl<E: Engine> Drive<'_, E> {
    /// Carries the plan out, and removes everything in any case.
    pub async fn run(mut self) -> CarriedOut {
        let mut open = None;
        let stay = self.stay.take();
        let result = self.carry_out(stay, &mut open).await;
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
            result: and_removed(result, removed),
        }
    }

    /// `open` is given the connection to the fabric as soon as there is one.
    async fn carry_out(&self, stay: Option<Stay>, open: &mut Option<Mux>) -> Result<()> {
        let premined = Arc::new(Premined::mine(self.plan.ledger.outputs));
        let network = start::start(self.engine, self.plan, &premined, self.observer);
        let network = or_stop(&self.stop, network).await?;
        *open = Some(network.mux.clone());
        let mut run = Run::new(self, network, premined, stay);
        let result = run.go().await;
        if result.is_ok() {
            run.tell_log_ends().await;
        }
        let interrupted = ended(&result);
        run.conductor.finish(run.clock.now(), interrupted);
        run.write()?;
        run.answer();
        let telling = run.conductor.telling();
        // Its tasks would ask nodes on.
        drop(run);
        let logs = if interrupted == Some(true) {
            Ok(())
        } else {
            or_stop(&self.stop, self.save_logs(telling)).await
        };
        result.and(logs)
    }
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
}

impl<'a, E: Engine> Run<'a, E> {
    fn new(
        drive: &'a Drive<'a, E>,
        network: start::Network,
        premined: Arc<Premined>,
        stay: Option<Stay>,
    ) -> Self {
        let plan = drive.plan;
        let (report, reports) = mpsc::channel(REPORTS_MAX);
        let dialer = Dialer::new(network.mux, plan);
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
        let requests = match stay {
            None => Requests::none(),
            Some(stay) => {
                setup.end = None;
                setup.count_interval = COUNT_INTERVAL_OF_STAYING;
                setup.workload = Box::new(stay.workload);
                let (dialer, clock) = (dialer.clone(), network.clock);
                // Whoever waited for it may have gone.
                let _ = stay.live.send(Live { dialer, clock });
                Requests::from(stay.requests)
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
            dialer,
            conductor,
            watchers,
            reports,
            report,
            tasks,
            turns: std::iter::repeat_with(|| Arc::new(Semaphore::new(ACTIONS_OF_NODE)))
                .take(plan.nodes.len())
                .collect(),
            account_slots: Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE)),
            kernel_threads: KernelThreads::default(),
            requests,
            logs: FuturesUnordered::new(),
        }
    }

    /// Carries the plan out to its end.
    async fn go(&mut self) -> Result<()> {
        self.drive.observer.stage(Stage::Running);
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
            HandRequest::Log {
                node,
                bytes_max,
                answer,
            } => {
                let engine = self.drive.engine;
                let log = async move {
                    // Whoever asked may have gone.
                    let _ = answer.send(engine.node_log(node, bytes_max).await);
                };
                self.logs.push(log.boxed());
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
            Order::Follow { node, incarnation } => self.watch(node, Some(incarnation)),
            Order::Leave { node } => self.watch(node, None),
            Order::Apply { tag, action } => {
                self.control.order(ToFabric::Apply { tag, action }).await;
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
