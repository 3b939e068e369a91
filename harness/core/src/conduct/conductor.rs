//! Carries a plan out: decides what is to be done when, keeps the books of who is up, and writes
//! the record. It draws nothing from chance, judges nothing, and does nothing itself: the engine
//! answers its orders.
//!
//! Call order: [`Conductor::begin`]; then, until [`Conductor::is_over`], [`Conductor::handle`]
//! with whatever happens, and with [`Input::Timer`] as long as [`Conductor::deadline`] has come
//! (one call does one thing that is due, so that answers that need no waiting come before the
//! next); last [`Conductor::finish`]. After each call the orders and the events are taken out.
//! The fault schedule is the engine's: it says when a line of it was applied.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::sync::Arc;

use peerlab_link::proto::{APPLY_TAG_MIN, Timed};
use peerlab_link::{Nanos, NodeId};

use super::faults::{Effect, Faults, meant_way, phase_markers};
use super::io::{Command, Input, Observation, Order};
use super::nodes::Nodes;
use super::sequencer::Sequencer;
use crate::error::Error;
use crate::event::{FORMAT, HostFacts, RunEvent, Started, What};
use crate::experiment::Down;
use crate::ledger::{Payment, Premined};
use crate::plan::Plan;
use crate::plan::spec::{Work, WorkloadAction};

/// How long the accounts of all nodes may take at the end, and what each node adds to it.
const ACCOUNTS_TIMEOUT: Nanos = Nanos::from_secs(60);
const ACCOUNT_SHARE: Nanos = Nanos::from_millis(200);
/// How long measuring all nodes from inside may take at the end.
const USAGES_TIMEOUT: Nanos = Nanos::from_secs(10);
/// Why nothing was asked of a node.
const IS_DOWN: &str = "the node is down";

/// Workload actions in order of time. It need not end.
pub type Workload<'a> = Box<dyn Iterator<Item = WorkloadAction> + Send + 'a>;

/// What is carried out, and how it is counted.
pub struct Setup<'a> {
    /// The network at its start, its phases, faults and outages.
    pub plan: &'a Plan,
    /// What all nodes start from.
    pub premined: Arc<Premined>,
    /// Mining, submissions, double spends.
    pub workload: Workload<'a>,
    /// When the closing phase begins; `None` for a network that stays up.
    pub end: Option<Nanos>,
    /// Between two readings of the traffic counters.
    pub count_interval: Nanos,
    /// Whether nodes can be measured from inside.
    pub measures_usage: bool,
}

impl<'a> Setup<'a> {
    /// A plan from start to end.
    pub fn of(plan: &'a Plan, premined: Arc<Premined>, count_interval: Nanos) -> Setup<'a> {
        Setup {
            plan,
            premined,
            workload: Box::new(plan.workload.iter().cloned()),
            end: Some(plan.end()),
            count_interval,
            measures_usage: false,
        }
    }
}

/// Where a run takes place. As in [`What::Started`] and [`What::Host`].
#[derive(Clone, Debug)]
pub struct Venue {
    /// The engine's name.
    pub engine: &'static str,
    /// Wall clock at time zero.
    pub unix_nanos: u64,
    /// How long bring-up took.
    pub bring_up: Nanos,
    /// The machine.
    pub host: HostFacts,
}

/// The run is over but for what nodes tell of themselves.
#[derive(Debug)]
struct Closing {
    /// Accounts that were asked for.
    accounts: usize,
    /// Readings of the counters that came before.
    counts: usize,
    accounts_by: Nanos,
    usages_by: Nanos,
}

/// What is due next; what is first here comes first at the same instant.
#[derive(Clone, Copy, Debug)]
enum Due {
    End,
    Marker,
    Count,
    Workload,
}

/// See the module.
pub struct Conductor<'a> {
    setup: Setup<'a>,
    /// The next of the workload.
    next_action: Option<WorkloadAction>,
    /// Phases, and the begin and end of faults that no line of the fault schedule stands for.
    markers: Peekable<std::vec::IntoIter<(Nanos, What)>>,
    nodes: Nodes,
    faults: Faults,
    sequencer: Sequencer,
    orders: VecDeque<Order>,
    /// Actions that were ordered by hand and not yet applied, by tag.
    ordered: BTreeMap<u32, Timed>,
    next_tag: u32,
    next_count: Nanos,
    /// Readings of the counters that came.
    counts: usize,
    /// Accounts asked for and not yet rendered.
    accounts_open: usize,
    /// Nodes that are being measured.
    usages_open: usize,
    closing: Option<Closing>,
    now: Nanos,
    none_could_start: Option<(NodeId, Error)>,
}

impl<'a> Conductor<'a> {
    /// Of a network in which no program runs yet.
    pub fn new(mut setup: Setup<'a>) -> Conductor<'a> {
        Conductor {
            nodes: Nodes::new(setup.plan.nodes.len()),
            sequencer: Sequencer::new(&setup.premined),
            markers: phase_markers(setup.plan).into_iter().peekable(),
            next_action: setup.workload.next(),
            setup,
            faults: Faults::default(),
            orders: VecDeque::new(),
            ordered: BTreeMap::new(),
            next_tag: APPLY_TAG_MIN,
            next_count: Nanos::ZERO,
            counts: 0,
            accounts_open: 0,
            usages_open: 0,
            closing: None,
            now: Nanos::ZERO,
            none_could_start: None,
        }
    }

    /// The programs of those nodes that run from the start have just been started.
    pub fn begin(&mut self, venue: Venue) {
        let started = Started {
            format: FORMAT,
            engine: venue.engine.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            unix_nanos: venue.unix_nanos,
            bring_up: venue.bring_up,
            base: self.setup.premined.tip.clone(),
        };
        self.sequencer.event(Nanos::ZERO, What::Started(started));
        self.sequencer.event(Nanos::ZERO, What::Host(venue.host));
        for node in self.setup.plan.nodes.iter().filter(|node| node.starts_up) {
            self.started(node.id);
        }
    }

    /// Takes in what happened at an instant. Instants need not be in order where several tasks
    /// tell what they saw.
    pub fn handle(&mut self, t: Nanos, input: Input) {
        self.now = self.now.max(t);
        match input {
            Input::Timer => self.timer_expired(),
            Input::Applied { tag, error } => self.applied(t, tag, error),
            Input::Exited {
                node,
                status,
                asked,
            } => self.exited(t, node, status, asked),
            Input::Lost { node, reason } => {
                if self.nodes.gone(node) {
                    tracing::warn!("node {node} is lost: {reason}");
                    self.down(t, node, None, None, Some(reason));
                }
            }
            Input::Observed(observation) => self.observed(t, observation),
            Input::Command(Command::Act(work)) => self.act(t, &work),
            Input::Command(Command::Join) => {
                self.nodes.add();
            }
            Input::Command(Command::Apply(action)) => {
                let tag = self.next_tag;
                self.next_tag = tag.checked_add(1).unwrap_or(APPLY_TAG_MIN);
                let line = Timed { at: t, action };
                self.orders.push_back(Order::Apply {
                    tag,
                    action: line.action.clone(),
                });
                self.ordered.insert(tag, line);
            }
        }
    }

    /// What the engine is to do next.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// The record's next line.
    pub fn poll_event(&mut self) -> Option<RunEvent> {
        self.sequencer.poll_event()
    }

    /// When something is due next.
    pub fn deadline(&mut self) -> Nanos {
        match &self.closing {
            None => self.next_due().0,
            Some(closing) if self.usages_open > 0 && self.now < closing.usages_by => {
                closing.usages_by.min(closing.accounts_by)
            }
            Some(closing) => closing.accounts_by,
        }
    }

    /// Whether all was done and told, or there was no more time to tell it.
    pub fn is_over(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| {
            let told = self.accounts_open == 0 && self.counts > closing.counts;
            let measured = self.usages_open == 0 || self.now >= closing.usages_by;
            (told && measured) || self.now >= closing.accounts_by
        })
    }

    /// In the closing phase: how many nodes are done with their account, and of how many.
    pub fn accounted(&self) -> Option<(usize, usize)> {
        let total = self.closing.as_ref()?.accounts;
        Some((total.saturating_sub(self.accounts_open), total))
    }

    /// A node's present incarnation: for an engine in which nothing is told of a former one.
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.nodes.incarnation(node)
    }

    /// The nodes that ended or were lost without having been asked to.
    pub fn abnormal(&self) -> Vec<NodeId> {
        self.nodes.abnormal()
    }

    /// Every program ended by itself before it ever answered: why the last did, and whose.
    pub fn none_could_start(&mut self) -> Option<(NodeId, Error)> {
        self.none_could_start.take()
    }

    /// Writes the last lines. Nothing may be handled afterwards.
    pub fn finish(&mut self, t: Nanos, interrupted: bool) {
        self.sequencer.finish();
        self.sequencer.event(t, What::Ended { interrupted });
    }

    fn next_due(&mut self) -> (Nanos, Due) {
        let due = [
            self.setup.end.map(|at| (at, Due::End)),
            self.markers.peek().map(|(at, _)| (*at, Due::Marker)),
            Some((self.next_count, Due::Count)),
            self.next_action
                .as_ref()
                .map(|next| (next.at, Due::Workload)),
        ];
        let first = due.into_iter().flatten().min_by_key(|(at, _)| *at);
        first.unwrap_or((Nanos(u64::MAX), Due::End))
    }

    fn timer_expired(&mut self) {
        let now = self.now;
        let (at, due) = self.next_due();
        if at > now || self.closing.is_some() {
            return;
        }
        match due {
            Due::End => self.close(),
            Due::Marker => {
                let Some((at, what)) = self.markers.next() else {
                    return;
                };
                let border = at > Nanos::ZERO && matches!(what, What::Phase { .. });
                self.sequencer.event(at, what);
                if border {
                    // Bandwidth is judged by phase.
                    self.orders.push_back(Order::Count);
                    self.ask_accounts(false);
                }
            }
            Due::Count => {
                self.orders.push_back(Order::Count);
                // What could not be read in time is left out.
                let late = now.0.saturating_sub(self.next_count.0);
                let intervals = late / self.setup.count_interval.0.max(1) + 1;
                let pause = Nanos(self.setup.count_interval.0.saturating_mul(intervals));
                self.next_count = self.next_count.saturating_add(pause);
            }
            Due::Workload => {
                let next = self.setup.workload.next();
                if let Some(action) = std::mem::replace(&mut self.next_action, next) {
                    self.act(now, &action.work);
                }
            }
        }
    }

    /// The plan is over: last counters, and every live node's account.
    fn close(&mut self) {
        let counts = self.counts;
        if self.setup.measures_usage {
            // Of those whose program is down as well: what their devices lost is lost.
            let nodes = self.nodes.present();
            self.usages_open += nodes.len();
            self.orders.push_back(Order::MeasureUsage { nodes });
        }
        self.orders.push_back(Order::Count);
        self.ask_accounts(true);
        let accounts = self.accounts_open;
        let share = Nanos(ACCOUNT_SHARE.0 * accounts as u64);
        self.closing = Some(Closing {
            accounts,
            counts,
            accounts_by: self
                .now
                .saturating_add(ACCOUNTS_TIMEOUT)
                .saturating_add(share),
            usages_by: self.now.saturating_add(USAGES_TIMEOUT),
        });
    }

    fn ask_accounts(&mut self, ledger: bool) {
        let nodes = self.nodes.up();
        self.accounts_open += nodes.len();
        self.orders.push_back(Order::AskAccounts { nodes, ledger });
    }

    /// Carries a workload action out, unless its node is down.
    fn act(&mut self, now: Nanos, work: &Work) {
        match work {
            Work::Mine { node } => {
                let node = *node;
                if self.nodes.is_up(node) {
                    self.sequencer.mining();
                    self.orders.push_back(Order::Mine { node });
                } else {
                    let reason = IS_DOWN.into();
                    self.sequencer.event(now, What::MineMissed { node, reason });
                }
            }
            Work::Transaction {
                node,
                output,
                variant,
            } => self.submit(now, *node, *output, *variant, None),
            Work::DoubleSpend {
                fault,
                output,
                sides,
            } => {
                for (variant, side) in (0..).zip(sides) {
                    let up = side.iter().find(|node| self.nodes.is_up(**node));
                    if let Some(node) = up.or(side.first()) {
                        self.submit(now, *node, *output, variant, Some(*fault));
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
        let Some(payment) = Payment::new(&self.setup.premined, output, variant) else {
            tracing::error!("output {output} is to be spent, which the chain does not have");
            return;
        };
        if self.nodes.is_up(node) {
            self.orders.push_back(Order::Submit {
                node,
                payment: Arc::new(payment),
                double_spend,
            });
        } else {
            let what = What::Transaction {
                node,
                txid: payment.id,
                double_spend,
                refused: Some(IS_DOWN.into()),
            };
            self.sequencer.event(now, what);
        }
    }

    fn applied(&mut self, t: Nanos, tag: u32, error: Option<String>) {
        let plan = self.setup.plan;
        let ordered = self.ordered.remove(&tag);
        let scheduled = plan.fault_schedule.get(tag as usize);
        let Some(line) = ordered.as_ref().or(scheduled) else {
            return;
        };
        if let Some(error) = error {
            tracing::warn!("{:?} could not be carried out: {error}", line.action);
            return;
        }
        match self.faults.applied(plan, line) {
            Effect::Down(node, how) => {
                if self.nodes.went_down(node) {
                    self.down(t, node, Some(how), None, None);
                }
            }
            Effect::Started(node) => self.started(node),
            Effect::Recorded(lines) => {
                for what in lines {
                    self.sequencer.event(t, what);
                }
            }
        }
    }

    fn exited(&mut self, t: Nanos, node: NodeId, status: i32, asked: bool) {
        if asked {
            // An engine may tell of the end before it tells that the order was carried out.
            if self.nodes.went_down(node) {
                let how = meant_way(self.setup.plan, node, t).unwrap_or(Down::Stop);
                self.down(t, node, Some(how), Some(status), None);
            }
            return;
        }
        self.nodes.note_abnormal(node);
        if self.nodes.went_down(node) {
            self.down(t, node, None, Some(status), Some(ending(status)));
        }
        if self.nodes.all_stillborn() {
            let name = self.setup.plan.node_name(node);
            let error = Error::environment(
                "no node could start",
                format!("{name} {}", ending(status)),
                "is the image's program right for this machine, and does it take the options of \
                 `command`?",
            );
            self.none_could_start = Some((node, error));
        }
    }

    fn observed(&mut self, t: Nanos, observation: Observation) {
        match observation {
            Observation::Up { node, incarnation } => {
                if self.nodes.answered(node, incarnation) {
                    self.sequencer.event(t, What::NodeUp { node });
                }
            }
            Observation::Tip {
                node,
                incarnation,
                tip,
            } => {
                if self.nodes.is_up_in(node, incarnation) {
                    self.orders.extend(self.sequencer.tip(t, node, tip));
                }
            }
            Observation::Value {
                node,
                incarnation,
                value,
            } => {
                if self.nodes.is_up_in(node, incarnation) {
                    self.sequencer.event(t, What::Value { node, value });
                }
            }
            Observation::Block { facts, miner } => self.sequencer.block(t, facts, miner),
            Observation::Blocks { wanted, blocks } => {
                self.orders.extend(self.sequencer.answered(&wanted, blocks));
            }
            Observation::Mined { node, result } => {
                let hash = result.map_err(|reason| {
                    self.sequencer.event(t, What::MineMissed { node, reason });
                });
                self.orders.extend(self.sequencer.mined(t, node, hash.ok()));
            }
            Observation::Counters { nodes } => {
                self.counts += 1;
                self.sequencer.event(t, What::Traffic { nodes });
            }
            Observation::Usage { node, usage } => {
                self.usages_open = self.usages_open.saturating_sub(1);
                self.sequencer.event(t, What::Usage { node, usage });
            }
            Observation::Accounted => self.accounts_open = self.accounts_open.saturating_sub(1),
            Observation::Recorded(what) => self.sequencer.event(t, what),
        }
    }

    fn started(&mut self, node: NodeId) {
        if let Some(incarnation) = self.nodes.started(node) {
            self.orders.push_back(Order::Follow { node, incarnation });
        }
    }

    fn down(
        &mut self,
        t: Nanos,
        node: NodeId,
        how: Option<Down>,
        status: Option<i32>,
        reason: Option<String>,
    ) {
        self.orders.push_back(Order::Leave { node });
        let what = What::NodeDown {
            node,
            how,
            status,
            reason,
        };
        self.sequencer.event(t, what);
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
