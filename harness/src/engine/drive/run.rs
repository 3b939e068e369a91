//! The one task that owns a run's state: takes in what the fabric and the other tasks tell,
//! does what is due, and writes every event.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use peerlab_link::proto::{APPLY_TAG_MIN, FromFabric, ToFabric};
use peerlab_link::{Nanos, NodeId};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::chronicle::{Chronicle, Question};
use super::clock::RunClock;
use super::control::Control;
use super::dial::Dialer;
use super::mux::Mux;
use super::nodes::Nodes;
use super::report::{Finding, Report};
use super::{errands, sample, start, watch};
use crate::engine::Engine;
use peerlab_core::conduct::{Effect, Faults, calendar, meant_way};
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Error, Kind, Result};
use peerlab_core::event::What;
use peerlab_core::ledger::{self, Premined};
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::{Down, Task};

/// Pause between two readings of the traffic counters.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Errands and questions under way at once; further ones wait their turn. A node that does not
/// answer holds one for seconds.
const ERRANDS_MAX: usize = 512;
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
    /// How it went, or why it failed ([`Kind::Interrupted`] when it was stopped).
    pub result: Result<Outcome>,
    /// Whether nothing of it is left.
    pub everything_removed: bool,
}

/// How a run went, as far as the engine is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Nodes that ended without having been asked to.
    pub abnormal: usize,
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
            result: result.and_then(|outcome| removed.map(|()| outcome)),
        }
    }

    /// `open` is given the connection to the fabric as soon as there is one.
    async fn carry_out(&self, open: &mut Option<Mux>) -> Result<Outcome> {
        let premined = Arc::new(Premined::mine(self.plan.ledger.outputs));
        let network =
            start::start(self.engine, self.plan, &premined, self.observer, &self.stop).await?;
        *open = Some(network.mux.clone());
        let mut run = Run::new(self, network, premined);
        let result = run.go().await;
        run.finish(&result)?;
        let logs = match &result {
            Err(error) if error.kind == Kind::Interrupted => Ok(()),
            _ => run.save_logs().await,
        };
        let abnormal = run.nodes.abnormal().len();
        drop(run);
        result?;
        logs?;
        Ok(Outcome { abnormal })
    }
}

/// A run under way.
pub(super) struct Run<'a, E> {
    pub(super) drive: &'a Drive<'a, E>,
    pub(super) plan: &'a Plan,
    pub(super) control: Control,
    pub(super) clock: RunClock,
    dialer: Dialer,
    premined: Arc<Premined>,
    pub(super) nodes: Nodes,
    faults: Faults,
    pub(super) chronicle: Chronicle,
    reports: mpsc::Receiver<Report>,
    /// Handed to every task.
    report: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
    errand_slots: Arc<Semaphore>,
    account_slots: Arc<Semaphore>,
    calendar: std::iter::Peekable<std::vec::IntoIter<(Nanos, What)>>,
    next_errand: usize,
    next_count: Instant,
    /// Accounts asked for and not yet rendered.
    pub(super) accounts_open: usize,
    /// Gates asked for what their nodes use, that have not answered.
    pub(super) usages_open: usize,
    /// Readings of the counters that came.
    pub(super) counts: usize,
}

impl<'a, E: Engine> Run<'a, E> {
    fn new(drive: &'a Drive<'a, E>, network: start::Network, premined: Arc<Premined>) -> Self {
        let plan = drive.plan;
        let (report, reports) = mpsc::channel(REPORTS_MAX);
        let dialer = Dialer::new(network.mux, plan);
        let mut nodes = Nodes::new(plan.nodes.len());
        let mut tasks = JoinSet::new();
        for node in &plan.nodes {
            let meant = nodes.subscribe(node.id);
            tasks.spawn(watch::watch(node.id, dialer.clone(), meant, report.clone()));
        }
        let mut chronicle = Chronicle::new(&premined);
        chronicle.event(
            Nanos::ZERO,
            What::Started {
                engine: drive.engine.name().into(),
                version: env!("CARGO_PKG_VERSION").into(),
                unix_nanos: network.unix_nanos,
                bring_up: network.bring_up,
                base: premined.tip.clone(),
            },
        );
        chronicle.event(Nanos::ZERO, What::Host(drive.engine.host()));
        for node in start::starting(plan) {
            nodes.started(node);
        }
        Run {
            drive,
            plan,
            control: network.control,
            clock: network.clock,
            dialer,
            premined,
            nodes,
            faults: Faults::default(),
            chronicle,
            reports,
            report,
            tasks,
            errand_slots: Arc::new(Semaphore::new(ERRANDS_MAX)),
            account_slots: Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE)),
            calendar: calendar(plan).into_iter().peekable(),
            next_errand: 0,
            next_count: network.clock.instant(Nanos::ZERO),
            accounts_open: 0,
            usages_open: 0,
            counts: 0,
        }
    }

    /// Carries the plan out to its end, then asks every live node for its account.
    async fn go(&mut self) -> Result<()> {
        self.drive.observer.stage(Stage::Running);
        let end = self.clock.instant(self.plan.end());
        loop {
            self.do_what_is_due().await?;
            if Instant::now() >= end {
                break;
            }
            let wake = self.next_due().min(end);
            self.step(wake).await?;
        }
        self.collect().await
    }

    /// Takes one message in, or waits until `wake`.
    pub(super) async fn step(&mut self, wake: Instant) -> Result<()> {
        let engine = self.drive.engine;
        tokio::select! {
            biased;
            () = self.drive.stop.cancelled() => return Err(peerlab_core::conduct::interrupted()),
            () = sleep_until(wake) => {}
            message = start::told(engine, &mut self.control) => self.take_in(message?).await?,
            Some(report) = self.reports.recv() => self.note(report)?,
            (node, reason) = engine.gate_ended() => self.gate_gone(self.clock.now(), node, reason),
            Some(ended) = self.tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!("a task of the run failed: {error}");
                }
            }
        }
        self.write()
    }

    /// Hands the lines that are ready to the observer.
    pub(super) fn write(&mut self) -> Result<()> {
        while let Some(event) = self.chronicle.poll_event() {
            self.drive.observer.event(&event)?;
        }
        Ok(())
    }

    /// When something is due next.
    fn next_due(&mut self) -> Instant {
        let mut due = self.next_count;
        if let Some(errand) = self.plan.agenda.get(self.next_errand) {
            due = due.min(self.clock.instant(errand.at));
        }
        if let Some((at, _)) = self.calendar.peek() {
            due = due.min(self.clock.instant(*at));
        }
        due
    }

    async fn do_what_is_due(&mut self) -> Result<()> {
        let now = self.clock.now();
        while let Some((at, what)) = self.calendar.next_if(|(at, _)| *at <= now) {
            if let What::Phase { .. } = &what {
                // Bandwidth is judged by phase, so its counters are read at the border.
                self.next_count = Instant::now();
                if at > Nanos::ZERO {
                    self.ask_accounts(false);
                }
            }
            self.chronicle.event(at, what);
        }
        if Instant::now() >= self.next_count {
            self.control.order(ToFabric::Count).await;
            self.next_count = Instant::now() + COUNT_INTERVAL;
        }
        while let Some(errand) = self.plan.agenda.get(self.next_errand) {
            if errand.at > now {
                break;
            }
            self.next_errand += 1;
            self.run_errand(now, &errand.task);
        }
        self.write()
    }

    /// Starts an errand, unless its node is down.
    fn run_errand(&mut self, now: Nanos, task: &Task) {
        match task {
            Task::Mine { node } => {
                if !self.nodes.is_up(*node) {
                    let reason = "the node is down".into();
                    let node = *node;
                    self.chronicle.event(now, What::MineMissed { node, reason });
                    return;
                }
                self.chronicle.mining();
                let work = errands::mine(self.dialer.clone(), *node);
                self.spawn_errand(work, *node);
            }
            Task::Transaction {
                node,
                output,
                variant,
            } => self.submit(now, *node, *output, *variant, None),
            Task::DoubleSpend {
                fault,
                output,
                sides,
            } => {
                for (variant, side) in sides.iter().enumerate() {
                    let up = side.iter().find(|node| self.nodes.is_up(**node));
                    if let Some(node) = up.or(side.first()) {
                        self.submit(now, *node, *output, variant as u32, Some(*fault));
                    }
                }
            }
        }
    }

    fn submit(
        &mut self,
        now: Nanos,
        node: NodeId,
        output: u32,
        variant: u32,
        double_spend: Option<u32>,
    ) {
        let Some(tx) = ledger::transaction(&self.premined, output, variant) else {
            tracing::error!("the plan spends output {output}, which the chain does not have");
            return;
        };
        if !self.nodes.is_up(node) {
            let what = What::Transaction {
                node,
                txid: tx.compute_txid().to_string(),
                double_spend,
                refused: Some("the node is down".into()),
            };
            self.chronicle.event(now, what);
            return;
        }
        let work = errands::submit(self.dialer.clone(), node, tx, double_spend);
        self.spawn_errand(work, node);
    }

    fn spawn_errand(&mut self, work: impl Future<Output = Finding> + Send + 'static, node: NodeId) {
        let slots = self.errand_slots.clone();
        let report = self.report.clone();
        self.tasks.spawn(async move {
            let Ok(_slot) = slots.acquire_owned().await else {
                return;
            };
            let finding = work.await;
            tracing::trace!("node {node}: {finding:?}");
            // Nobody listens any more when the run is over.
            let _ = report.send(Report::now(finding)).await;
        });
    }

    /// Asks every live node for its counters and, at the end, for its state.
    pub(super) fn ask_accounts(&mut self, ledger: bool) {
        for node in self.nodes.up() {
            self.accounts_open += 1;
            let work = errands::account(self.dialer.clone(), node, ledger);
            let slots = self.account_slots.clone();
            let report = self.report.clone();
            self.tasks.spawn(async move {
                let Ok(_slot) = slots.acquire_owned().await else {
                    return;
                };
                for finding in work.await {
                    let _ = report.send(Report::now(finding)).await;
                }
            });
        }
    }

    fn ask(&mut self, question: Option<Question>) {
        if let Some(question) = question {
            let known = self.chronicle.known();
            let node = question.node;
            self.spawn_errand(errands::ask(self.dialer.clone(), question, known), node);
        }
    }

    /// Takes in what a task found out.
    fn note(&mut self, report: Report) -> Result<()> {
        let t = self.clock.at(report.at);
        match report.finding {
            Finding::Up { node, life } => {
                if self.nodes.answered(node, life) {
                    self.chronicle.event(t, What::NodeUp { node });
                }
            }
            Finding::Tip { node, life, tip } => {
                if self.nodes.lives(node, life) {
                    let question = self.chronicle.tip(t, node, tip);
                    self.ask(question);
                }
            }
            Finding::Mined { node, result } => {
                let question = match result {
                    Ok(hash) => self.chronicle.mined(t, node, Some(hash)),
                    Err(reason) => {
                        self.chronicle.event(t, What::MineMissed { node, reason });
                        self.chronicle.mined(t, node, None)
                    }
                };
                self.ask(question);
            }
            Finding::Submitted {
                node,
                txid,
                double_spend,
                refused,
            } => {
                let what = What::Transaction {
                    node,
                    txid,
                    double_spend,
                    refused,
                };
                self.chronicle.event(t, what);
            }
            Finding::Blocks { wanted, blocks } => {
                let question = self.chronicle.answered(&wanted, blocks);
                self.ask(question);
            }
            Finding::Peers { node, sums } => {
                let what = What::Peers {
                    node,
                    outbound: sums.outbound,
                    inbound: sums.inbound,
                    sent: sums.sent,
                    received: sums.received,
                };
                self.chronicle.event(t, what);
            }
            Finding::Ledger { node, state } => {
                let what = What::Ledger {
                    node,
                    tip: state.tip,
                    muhash: state.muhash,
                };
                self.chronicle.event(t, what);
            }
            Finding::Asked => self.accounts_open = self.accounts_open.saturating_sub(1),
        }
        Ok(())
    }

    /// Takes in what the fabric tells.
    async fn take_in(&mut self, message: FromFabric) -> Result<()> {
        match message {
            FromFabric::Applied { t, tag, error } => self.applied(t, tag, error),
            FromFabric::Exited {
                t,
                node,
                status,
                asked,
            } => return self.exited(t, node, status, asked).await,
            FromFabric::GateLost { t, node, reason } => self.gate_gone(t, node, reason),
            FromFabric::Counters { t, nodes, lateness } => {
                self.counts += 1;
                self.chronicle.event(t, What::Traffic { nodes });
                let local = self.drive.engine.shares_host();
                let what = What::Fidelity {
                    lateness,
                    cpu_pressure: local.then(sample::cpu_pressure).flatten(),
                };
                self.chronicle.event(t, what);
            }
            FromFabric::Usage { t, node, usage } => {
                self.usages_open = self.usages_open.saturating_sub(1);
                self.chronicle.event(t, What::Usage { node, usage });
            }
            other => tracing::debug!("fabric: {other:?}"),
        }
        Ok(())
    }

    fn applied(&mut self, t: Nanos, tag: u32, error: Option<String>) {
        let plan = self.plan;
        let line = plan.timetable.get(tag as usize);
        let Some(line) = line.filter(|_| tag < APPLY_TAG_MIN) else {
            tracing::debug!("applied {tag}: {error:?}");
            return;
        };
        if let Some(error) = error {
            tracing::warn!("{:?} could not be carried out: {error}", line.action);
            return;
        }
        match self.faults.applied(plan, line) {
            Effect::Down(node, how) => {
                if self.nodes.went_down(node) {
                    self.node_down(t, node, Some(how), None, None);
                }
            }
            Effect::Started(node) => self.nodes.started(node),
            Effect::Began(fault) => self.chronicle.event(t, What::FaultBegan { fault }),
            Effect::Ended(faults) => {
                for fault in faults {
                    self.chronicle.event(t, What::FaultEnded { fault });
                }
            }
            Effect::Nothing => {}
        }
    }

    async fn exited(&mut self, t: Nanos, node: NodeId, status: i32, asked: bool) -> Result<()> {
        if asked {
            // The fabric may tell of the end before it tells that the order was carried out.
            if self.nodes.went_down(node) {
                let how = meant_way(self.plan, node, t);
                self.node_down(t, node, how.or(Some(Down::Stop)), Some(status), None);
            }
            return Ok(());
        }
        self.nodes.note_abnormal(node);
        if self.nodes.went_down(node) {
            let reason = Some(ending(status));
            self.node_down(t, node, None, Some(status), reason);
        }
        if self.nodes.all_stillborn() {
            let name = &self.plan.nodes[node.index()].name;
            let error = Error::environment("no node could start")
                .because(format!("{name} {}", ending(status)));
            return Err(start::quote_log(self.drive.engine, node, error).await);
        }
        Ok(())
    }

    fn gate_gone(&mut self, t: Nanos, node: NodeId, reason: String) {
        if self.nodes.gone(node) {
            tracing::warn!("node {node} is lost: {reason}");
            self.node_down(t, node, None, None, Some(reason));
        }
    }

    fn node_down(
        &mut self,
        t: Nanos,
        node: NodeId,
        how: Option<Down>,
        status: Option<i32>,
        reason: Option<String>,
    ) {
        let what = What::NodeDown {
            node,
            how,
            status,
            reason,
        };
        self.chronicle.event(t, what);
    }
}

/// How a program ended, for people.
fn ending(status: i32) -> String {
    if status < 0 {
        format!("ended by signal {}", status.unsigned_abs())
    } else {
        format!("exited with code {status}")
    }
}
