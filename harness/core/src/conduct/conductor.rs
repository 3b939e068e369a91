//! Carries a plan out: decides what is to be done when, keeps the books of who is up, and writes
//! the record. It draws nothing from chance, judges nothing, and does nothing itself: the engine
//! answers its orders.
//!
//! Call order: [`Conductor::begin`]; then, until [`Conductor::is_over`], [`Conductor::handle`]
//! with whatever happens, and with [`Input::Timer`] as long as [`Conductor::deadline`] has come
//! (one call does one thing that is due, so that answers that need no waiting come before the
//! next); last [`Conductor::finish`]. After each call the orders and the events are taken out. Once it is
//! finished, [`Conductor::stay`] keeps the network for what is asked by hand, until it is over again.
//! The fault schedule is the engine's: it says when a line of it was applied.

mod closing;
mod commands;
mod happened;
mod members;
mod workload;

use std::collections::VecDeque;
use std::iter::Peekable;
use std::sync::Arc;

use peerlab_link::{Nanos, NodeId};

use super::by_hand::{ByHand, Done};
use super::faults::{Faults, phase_markers};
use super::hand_faults::HandFaults;
use super::io::{Input, Order, Ticket};
use super::measuring::Measuring;
use super::membership::Membership;
use super::nodes::Nodes;
use super::open_actions::OpenActions;
use super::readiness::Readiness;
use super::replacements::{Reading, Replacements};
use super::sequencer::Sequencer;
use crate::error::Error;
use crate::event::{FORMAT, FORMAT_BY_HAND, HostFacts, RunEvent, Started, Tip, What};
use crate::ledger::Premined;
use crate::plan::Plan;
use crate::plan::spec::WorkloadAction;

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
    /// The best block of a history that the nodes have from before: of blocks up to it nobody is asked.
    pub history: Option<Tip>,
}

impl<'a> Setup<'a> {
    /// A plan from start to end, of nodes that cannot be measured from inside.
    pub fn of(plan: &'a Plan, premined: Arc<Premined>, count_interval: Nanos) -> Setup<'a> {
        Setup {
            plan,
            premined,
            workload: Box::new(plan.workload.iter().cloned()),
            end: Some(plan.end()),
            count_interval,
            measures_usage: false,
            history: None,
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
    Ready,
    Hand,
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
    readiness: Readiness,
    faults: Faults,
    by_hand: ByHand,
    hand_faults: HandFaults,
    membership: Membership,
    sequencer: Sequencer,
    orders: VecDeque<Order>,
    next_count: Nanos,
    replacements: Replacements,
    /// Readings of the counters that were ordered, and why.
    readings: VecDeque<Reading>,
    /// Readings for the record that came.
    counts: usize,
    /// Workload actions that were ordered, of which nothing was heard yet.
    open_actions: OpenActions,
    /// Accounts asked for and not yet rendered.
    accounts_open: usize,
    measuring: Measuring,
    closing: Option<Closing>,
    now: Nanos,
    never_ready: Option<(NodeId, Error)>,
}

impl<'a> Conductor<'a> {
    /// Of a network in which no program runs yet.
    pub fn new(mut setup: Setup<'a>) -> Conductor<'a> {
        Conductor {
            nodes: Nodes::new(setup.plan.nodes.len()),
            readiness: Readiness::default(),
            sequencer: Sequencer::new(&setup.premined).after(setup.history.as_ref()),
            markers: phase_markers(setup.plan).into_iter().peekable(),
            next_action: setup.workload.next(),
            replacements: Replacements::of(setup.plan),
            readings: VecDeque::new(),
            by_hand: ByHand::behind(setup.plan.fault_schedule.len()),
            hand_faults: HandFaults::behind(setup.plan.faults.len()),
            membership: Membership::default(),
            setup,
            faults: Faults::default(),
            orders: VecDeque::new(),
            next_count: Nanos::ZERO,
            counts: 0,
            open_actions: OpenActions::default(),
            accounts_open: 0,
            measuring: Measuring::default(),
            closing: None,
            now: Nanos::ZERO,
            never_ready: None,
        }
    }

    /// The programs of those nodes that run from the start have just been started.
    pub fn begin(&mut self, venue: Venue) {
        let stays = self.setup.end.is_none();
        let started = Started {
            format: if stays { FORMAT_BY_HAND } else { FORMAT },
            engine: venue.engine.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            unix_nanos: venue.unix_nanos,
            bring_up: venue.bring_up,
            base: match &self.setup.history {
                Some(history) => history.clone(),
                None => self.setup.premined.tip.clone(),
            },
        };
        self.sequencer.event(Nanos::ZERO, What::Started(started));
        self.sequencer.event(Nanos::ZERO, What::Host(venue.host));
        for node in self.setup.plan.nodes.iter().filter(|node| node.starts_up) {
            self.started(node.id, Some(Nanos::ZERO));
        }
    }

    /// Takes in what happened at an instant. Instants need not be in order where several tasks
    /// tell what they saw.
    pub fn handle(&mut self, t: Nanos, input: Input) {
        self.now = self.now.max(t);
        match input {
            Input::Timer => self.timer_expired(),
            Input::Applied { tag, result } => self.applied(t, tag, result),
            Input::Exited {
                node,
                status,
                asked,
            } => self.exited(t, node, status, asked),
            Input::Lost { node, reason } => {
                self.measuring.open.lost(&node);
                if self.membership.is_leaving(node) {
                    // That is what was asked for; its end is told by the answer to the order.
                } else if self.membership.is_joining(node) {
                    self.joined(t, node, Err(reason));
                } else if self.membership.is_guest(node) {
                    self.guest_left(t, node);
                } else if self.nodes.gone(node) {
                    tracing::warn!("node {node} is lost: {reason}");
                    self.down(t, node, None, None, Some(reason.into()));
                }
            }
            Input::Observed(observation) => self.observed(t, observation),
            Input::Joined { node, result } => self.joined(t, node, result),
            Input::Removed { node, result } => self.removed(node, result),
            Input::Command { ticket, command } => {
                self.by_hand.begin(ticket);
                self.command(ticket, command);
                self.by_hand.ordered_all(ticket);
            }
        }
    }

    /// The name of a node of the plan, or of one that joined.
    pub fn node_name(&self, node: NodeId) -> String {
        let joined = self.membership.name(node);
        joined.map_or_else(|| self.setup.plan.node_name(node), str::to_owned)
    }

    /// A request by hand that is done, and what came of it.
    pub fn poll_done(&mut self) -> Option<(Ticket, Done)> {
        self.by_hand.poll_done()
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
            Some(closing) if !self.measuring.open.is_empty() && self.now < closing.usages_by => {
                closing.usages_by.min(closing.accounts_by)
            }
            Some(closing) => closing.accounts_by,
        }
    }

    /// A node's present incarnation: for an engine in which nothing is told of a former one.
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.nodes.incarnation(node)
    }

    /// The nodes whose logs tell something: those that ended or were lost without having been asked
    /// to, or have not answered yet.
    pub fn telling(&self) -> Vec<NodeId> {
        self.nodes.telling()
    }

    /// The nodes that ended by themselves, or were started, and do not answer.
    pub fn silent(&self) -> Vec<NodeId> {
        self.nodes.silent()
    }

    /// A node never became ready: the run is to be given up, with this error. Whose log tells more
    /// is said.
    pub fn never_ready(&mut self) -> Option<(NodeId, Error)> {
        self.never_ready.take()
    }

    fn next_due(&mut self) -> (Nanos, Due) {
        let due = [
            self.setup.end.map(|at| (at, Due::End)),
            self.markers.peek().map(|(at, _)| (*at, Due::Marker)),
            Some((self.next_count, Due::Count)),
            self.readiness.first().map(|(at, _)| (at, Due::Ready)),
            self.hand_faults.deadline().map(|at| (at, Due::Hand)),
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
                    self.count(Reading::Row);
                    self.ask_accounts(false);
                }
            }
            Due::Count => {
                self.count(Reading::Row);
                let turn = self.measuring.turn(&self.measurable());
                self.measure(turn, false);
                // What could not be read in time is left out.
                let late = now.0.saturating_sub(self.next_count.0);
                let intervals = late / self.setup.count_interval.0.max(1) + 1;
                let pause = Nanos(self.setup.count_interval.0.saturating_mul(intervals));
                self.next_count = self.next_count.saturating_add(pause);
            }
            Due::Ready => {
                if let Some((_, node)) = self.readiness.first() {
                    let heard = self.nodes.why_unready(node);
                    let error = self.readiness.overdue(self.setup.plan, now, node, &heard);
                    self.readiness.over(node);
                    self.never_ready.get_or_insert((node, error));
                }
            }
            Due::Hand => {
                if let Some((ticket, steps)) = self.hand_faults.expire(now) {
                    self.take_steps(steps, ticket);
                    self.by_hand.was_due(ticket);
                }
            }
            Due::Workload => {
                let next = self.setup.workload.next();
                if let Some(action) = std::mem::replace(&mut self.next_action, next) {
                    self.act(now, &action.work, None);
                }
            }
        }
    }

    /// Has the counters read.
    fn count(&mut self, why: Reading) {
        self.readings.push_back(why);
        self.orders.push_back(Order::Count);
    }
}
