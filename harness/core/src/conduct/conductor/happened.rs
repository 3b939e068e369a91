//! What happened, as the engine tells it: the books are kept by it, the record says it, and some of it
//! asks for more.

use peerlab_link::proto::{Action, ProcessOp, Seen, Timed};
use peerlab_link::{Nanos, NodeId};

use super::Conductor;
use crate::conduct::faults::{Effect, meant_way};
use crate::conduct::hand_faults::HandFaults;
use crate::conduct::io::{Observation, Order, Said};
use crate::conduct::open_actions::OpenAction;
use crate::conduct::readiness;
use crate::conduct::replacements::Reading;
use crate::event::{Reason, What};
use crate::experiment::Down;
use crate::plan::Plan;

impl Conductor<'_> {
    pub(super) fn applied(&mut self, t: Nanos, tag: u32, result: Result<Seen, String>) {
        let plan = self.setup.plan;
        let error = result.as_ref().err().map(String::as_str);
        let (line, timed) = match self.by_hand.applied(tag, error) {
            Some(carried) => (carried.line, carried.timed),
            None => match plan.fault_schedule.get(tag as usize) {
                Some(timed) => (tag, timed.clone()),
                None => return,
            },
        };
        if let Err(error) = &result {
            tracing::warn!("{:?} had no effect: {error}", timed.action);
        }
        let seen = result.as_ref().ok().copied();
        let error = result.err();
        self.sequencer.event(t, What::Effect { line, seen, error });
        if seen.is_some() {
            self.took_effect(t, &timed);
        }
        if let Some(node) = ended(&timed.action) {
            self.leave(node);
        }
    }

    /// Keeps the books of what was carried out.
    fn took_effect(&mut self, t: Nanos, timed: &Timed) {
        self.replacements.applied(&timed.action);
        let (plan, hand_faults) = (self.setup.plan, &self.hand_faults);
        let meant = |node| meant(plan, hand_faults, node, timed.at);
        match self.faults.applied(meant, hand_faults.count(), timed) {
            Effect::Down(node, how) => {
                if self.nodes.went_down(node) {
                    self.down(t, node, Some(how), None, None);
                }
            }
            Effect::Started(node) => self.started(node, starts(&timed.action).then_some(t)),
            Effect::Recorded(lines) => {
                for what in lines {
                    self.sequencer.event(t, what);
                }
            }
        }
    }

    pub(super) fn exited(&mut self, t: Nanos, node: NodeId, status: i32, asked: bool) {
        if asked {
            // An engine may tell of the end before it tells that the order was carried out.
            if self.nodes.went_down(node) {
                let meant = meant(self.setup.plan, &self.hand_faults, node, t);
                let how = meant.unwrap_or(Down::Stop);
                self.down(t, node, Some(how), Some(status), None);
            }
            return;
        }
        self.nodes.note_abnormal(node);
        if self.readiness.awaits(node) && self.closing.is_none() {
            let cause = format!("its program {} before it had ever answered", ending(status));
            let error = readiness::never_ready(&[self.node_name(node)], cause);
            self.never_ready.get_or_insert((node, error));
        }
        if self.nodes.went_down(node) {
            self.down(t, node, None, Some(status), Some(ending(status).into()));
        }
    }

    pub(super) fn observed(&mut self, t: Nanos, observation: Observation) {
        match observation {
            Observation::Up { node, incarnation } => {
                if self.nodes.answered(node, incarnation) {
                    self.readiness.over(node);
                    self.sequencer.event(t, What::NodeUp { node });
                    if let Some(reading) = self.replacements.answered(node, t) {
                        self.count(reading);
                    }
                }
            }
            Observation::Said {
                node,
                incarnation,
                said,
            } => {
                if self.nodes.is_up_in(node, incarnation) {
                    match said {
                        Said::Tip(tip) => self.orders.extend(self.sequencer.tip(t, node, tip)),
                        Said::Value(value) => self.sequencer.event(t, What::Value { node, value }),
                        Said::Nothing => {
                            let value = String::new();
                            self.sequencer.event(t, What::Value { node, value });
                        }
                    }
                }
            }
            Observation::Block { facts, miner } => self.sequencer.block(t, facts, miner),
            Observation::Blocks {
                node,
                wanted,
                blocks,
            } => {
                let next = self.sequencer.answered(node, &wanted, blocks);
                self.orders.extend(next);
            }
            Observation::Mined { node, result } => {
                let action = OpenAction::Mine { node };
                self.open_actions.answered(&action);
                let mined = result.as_deref().map_err(String::as_str);
                self.by_hand.acted(&action, mined);
                let hash = result.map_err(|reason| {
                    self.sequencer.event(t, action.missed(reason));
                });
                self.orders.extend(self.sequencer.mined(t, node, hash.ok()));
            }
            Observation::Submitted {
                node,
                txid,
                double_spend,
                result,
            } => {
                let action = OpenAction::Submit {
                    node,
                    txid: txid.clone(),
                    double_spend,
                };
                self.open_actions.answered(&action);
                let taken = result.as_ref().map(|()| txid.as_str());
                self.by_hand.acted(&action, taken.map_err(String::as_str));
                let what = What::Transaction {
                    node,
                    txid,
                    double_spend,
                    refused: result.err().map(Reason::from),
                };
                self.sequencer.event(t, what);
            }
            Observation::Counters { nodes } => {
                let why = self.readings.pop_front().unwrap_or(Reading::Row);
                if let Some((t, what)) = self.replacements.read(why, &nodes) {
                    self.sequencer.event(t, what);
                }
                if why == Reading::Row {
                    self.counts += 1;
                    self.sequencer.event(t, What::Traffic { nodes });
                }
            }
            Observation::Usage { node, usage } => {
                self.measuring.open.answered(&node);
                self.sequencer.event(t, What::Usage { node, usage });
            }
            Observation::Unready {
                node,
                incarnation,
                reason,
            } => self.nodes.unready(node, incarnation, reason.into()),
            Observation::Accounted => self.accounts_open = self.accounts_open.saturating_sub(1),
            Observation::Recorded(what) => self.sequencer.event(t, what),
        }
    }

    /// A node's program runs, and has begun at this instant; or a frozen one goes on.
    pub(super) fn started(&mut self, node: NodeId, began: Option<Nanos>) {
        if let Some(incarnation) = self.nodes.started(node) {
            if let Some(began) = began {
                self.nodes.began(node, began);
            }
            let began = self.nodes.beginning(node);
            if incarnation == 1 {
                self.readiness.started(self.setup.plan, self.now, node);
            }
            self.orders.push_back(Order::Follow {
                node,
                incarnation,
                began,
            });
        }
    }

    pub(super) fn down(
        &mut self,
        t: Nanos,
        node: NodeId,
        how: Option<Down>,
        status: Option<i32>,
        reason: Option<Reason>,
    ) {
        self.readiness.over(node);
        if let Some(reason) = &reason {
            self.nodes.is_down_because(node, reason.clone());
        }
        self.orders.push_back(Order::Leave { node });
        if let Some(reading) = self.replacements.gone(node) {
            self.count(reading);
        }
        let what = What::NodeDown {
            node,
            how,
            status,
            reason,
        };
        self.sequencer.event(t, what);
    }
}

/// How a node is meant to be down at an instant, by hand or by plan.
fn meant(plan: &Plan, by_hand: &HandFaults, node: NodeId, t: Nanos) -> Option<Down> {
    by_hand.way_down(node).or(meant_way(plan, node, t))
}

/// Whether an action has a program begin anew.
fn starts(action: &Action) -> bool {
    match action {
        Action::Process { op, .. } => *op == ProcessOp::Start,
        Action::Link(_) => false,
    }
}

/// Whose program an action ends.
fn ended(action: &Action) -> Option<NodeId> {
    match action {
        Action::Process {
            node,
            op: ProcessOp::Stop | ProcessOp::Kill,
        } => Some(*node),
        Action::Process { .. } | Action::Link(_) => None,
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
