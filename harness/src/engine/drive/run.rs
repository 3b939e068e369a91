//! The one task that owns a run's state: hands what the fabric and the other tasks tell to the
//! conductor, and has its orders carried out.

use std::path::PathBuf;
use std::sync::Arc;

use peerlab_link::proto::{FromFabric, ToFabric};
use peerlab_link::{Nanos, NodeId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::clock::RunClock;
use super::control::Control;
use super::dial::Dialer;
use super::mux::Mux;
use super::watch::{Followed, Report};
use super::{ask, sample, start, watch as watcher};
use crate::engine::Engine;
use peerlab_core::conduct::{Conductor, Input, Observation, Order, Setup, Venue};
use peerlab_core::conduct::{Observer, Stage, interrupted};
use peerlab_core::error::{Kind, Result};
use peerlab_core::event::What;
use peerlab_core::ledger::Premined;
use peerlab_core::plan::Plan;

/// Pause between two readings of the traffic counters.
const COUNT_INTERVAL: Nanos = Nanos::from_secs(1);
/// Workload actions and questions under way at once; further ones wait their turn. A node that
/// does not answer holds one for seconds.
const ASKED_AT_ONCE: usize = 512;
/// Nodes that are asked for counters and state at once: enough to keep every core busy, few
/// enough that each is answered in time.
const ACCOUNTS_AT_ONCE: usize = 16;
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
    /// Why it failed ([`Kind::Interrupted`] when it was stopped).
    pub result: Result<()>,
    /// Whether nothing of it is left.
    pub everything_removed: bool,
}

impl<E: Engine> Drive<'_, E> {
    /// Carries the plan out, and removes everything in any case.
    pub async fn run(self) -> CarriedOut {
        let mut open = None;
        let result = self.carry_out(&mut open).await;
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
            result: result.and(removed),
        }
    }

    /// `open` is given the connection to the fabric as soon as there is one.
    async fn carry_out(&self, open: &mut Option<Mux>) -> Result<()> {
        let premined = Arc::new(Premined::mine(self.plan.ledger.outputs));
        let network =
            start::start(self.engine, self.plan, &premined, self.observer, &self.stop).await?;
        *open = Some(network.mux.clone());
        let mut run = Run::new(self, network, premined);
        let result = run.go().await;
        let interrupted = matches!(&result, Err(error) if error.kind == Kind::Interrupted);
        run.conductor.finish(run.clock.now(), interrupted);
        run.write()?;
        let abnormal = run.conductor.abnormal();
        // Its tasks would ask nodes on.
        drop(run);
        let logs = if interrupted {
            Ok(())
        } else {
            self.save_logs(abnormal).await
        };
        result.and(logs)
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
    slots: Arc<Semaphore>,
    account_slots: Arc<Semaphore>,
}

impl<'a, E: Engine> Run<'a, E> {
    fn new(drive: &'a Drive<'a, E>, network: start::Network, premined: Arc<Premined>) -> Self {
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
        let mut conductor = Conductor::new(Setup {
            measures_usage: true,
            ..Setup::of(plan, premined, COUNT_INTERVAL)
        });
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
            slots: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            account_slots: Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE)),
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
            (node, reason) = engine.gate_ended() => {
                self.conductor.handle(self.clock.now(), Input::Lost { node, reason });
            }
            Some(ended) = self.tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!("a task of the run failed: {error}");
                }
            }
        }
        match self.conductor.none_could_start() {
            Some((node, error)) => Err(start::quote_log(engine, node, error).await),
            None => Ok(()),
        }
    }

    /// Has the conductor's orders carried out, and writes what is to be written.
    async fn settle(&mut self) -> Result<()> {
        while let Some(order) = self.conductor.poll_order() {
            self.carry_out(order).await;
        }
        self.write()
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
            Order::MeasureUsage { nodes } => {
                for node in nodes {
                    self.control.order(ToFabric::Usage { node }).await;
                }
            }
            Order::Mine { node } => self.ask(ask::mine(dialer, node)),
            Order::Submit {
                node,
                payment,
                double_spend,
            } => self.ask(ask::submit(dialer, node, payment, double_spend)),
            Order::AskBlocks { node, hash, known } => {
                self.ask(ask::blocks(dialer, node, hash, known));
            }
            Order::AskAccounts { nodes, ledger } => {
                for node in nodes {
                    let work = ask::account(dialer.clone(), node, ledger);
                    self.ask_within(self.account_slots.clone(), work);
                }
            }
        }
    }

    fn watch(&self, node: NodeId, followed: Followed) {
        if let Some(watcher) = self.watchers.get(node.index()) {
            watcher.send_replace(followed);
        }
    }

    /// Asks a node something as soon as there is room for it.
    fn ask(&mut self, work: impl Future<Output = Observation> + Send + 'static) {
        let seen = async { vec![work.await] };
        self.ask_within(self.slots.clone(), seen);
    }

    fn ask_within(
        &mut self,
        slots: Arc<Semaphore>,
        work: impl Future<Output = Vec<Observation>> + Send + 'static,
    ) {
        let report = self.report.clone();
        self.tasks.spawn(async move {
            let Ok(_slot) = slots.acquire_owned().await else {
                return;
            };
            for observation in work.await {
                tracing::trace!("{observation:?}");
                // Nobody listens any more when the run is over.
                let _ = report.send(Report::now(observation)).await;
            }
        });
    }

    /// Takes in what the fabric tells.
    fn take_in(&mut self, message: FromFabric) {
        let (t, input) = match message {
            FromFabric::Applied { t, tag, error } => (t, Input::Applied { tag, error }),
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
            FromFabric::Counters { t, nodes, lateness } => {
                let local = self.drive.engine.shares_host();
                let fidelity = What::Fidelity {
                    lateness,
                    cpu_pressure: local.then(sample::cpu_pressure).flatten(),
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
