//! Nodes that join and leave by hand: what is ordered for them, and what the record says.

use peerlab_link::proto::{Action, ProcessOp};
use peerlab_link::{Nanos, NodeId};

use super::Conductor;
use crate::conduct::by_hand::Failure;
use crate::conduct::hand_faults::Step;
use crate::conduct::io::{Order, Ticket};
use crate::event::{Joined, What};
use crate::experiment::Down;

/// Why nothing is done to a node.
const IS_JOINING: &str = "it is being added";
const IS_LEAVING: &str = "it was removed";

impl Conductor<'_> {
    /// Has nodes made; each is started once it is there.
    pub(super) fn join(&mut self, ticket: Ticket, all: Vec<Joined>) {
        let now = self.now;
        for joined in all {
            self.nodes.add();
            self.membership.joins(&joined, ticket);
            self.by_hand.will_be_due(Some(ticket));
            self.sequencer.event(now, What::Joined(joined.clone()));
            self.orders.push_back(Order::Join(Box::new(joined)));
        }
    }

    /// A node is there, or cannot be.
    pub(super) fn joined(&mut self, t: Nanos, node: NodeId, result: Result<(), String>) {
        let Some(ticket) = self.membership.joined(node) else {
            return;
        };
        match result {
            Ok(()) if self.membership.is_guest(node) => {}
            Ok(()) => {
                let op = ProcessOp::Start;
                let start = Step::Order(Action::Process { node, op });
                self.take_steps(vec![start], Some(ticket));
            }
            Err(reason) => {
                tracing::warn!("node {node} could not join: {reason}");
                self.fails(ticket, node, &reason);
                self.nodes.left(node);
                self.sequencer.event(t, What::Left { node });
                // Whatever was made of it; nobody waits for that.
                self.orders.push_back(Order::Remove { node });
            }
        }
        self.by_hand.was_due(Some(ticket));
    }

    /// Has a node's program stop, where it runs, and the node removed then. Faults by hand have nothing
    /// more to do with it.
    pub(super) fn remove(&mut self, ticket: Ticket, node: NodeId) {
        if let Some(reason) = self.why_none(node) {
            return self.fails(ticket, node, reason);
        }
        self.sequencer.event(self.now, What::Left { node });
        let (way, mut steps) = self.hand_faults.forget(node);
        let op = if self.nodes.is_running(node) {
            Some(ProcessOp::Stop)
        } else {
            // A program that stands still cannot stop politely.
            (way == Some(Down::Freeze)).then_some(ProcessOp::Kill)
        };
        steps.extend(op.map(|op| Step::Order(Action::Process { node, op })));
        self.take_steps(steps, Some(ticket));
        self.by_hand.will_be_due(Some(ticket));
        self.membership.leaves(node, ticket);
        if op.is_none() {
            self.leave(node);
        }
    }

    /// The program of a node has ended, or cannot be ended; where the node is to be removed, that is next.
    pub(super) fn leave(&mut self, node: NodeId) {
        if self.membership.is_leaving(node) && !self.nodes.has_left(node) {
            self.nodes.left(node);
            self.measuring.open.lost(&node);
            self.orders.push_back(Order::Remove { node });
        }
    }

    /// A node is removed, or something of it may be left.
    pub(super) fn removed(&mut self, node: NodeId, result: Result<(), String>) {
        let Some(ticket) = self.membership.left(node) else {
            return;
        };
        if let Err(reason) = result {
            self.fails(ticket, node, &reason);
        }
        self.by_hand.was_due(Some(ticket));
    }

    /// A program of the host has ended.
    pub(super) fn guest_left(&mut self, t: Nanos, node: NodeId) {
        if !self.nodes.has_left(node) {
            self.nodes.left(node);
            self.sequencer.event(t, What::Left { node });
        }
    }

    /// Whether nothing is to be done to a node any more.
    pub(super) fn is_out(&self, node: NodeId) -> bool {
        self.membership.is_leaving(node) || self.nodes.has_left(node)
    }

    /// Why there is nothing yet, or nothing any more, that something could be done to.
    pub(super) fn why_none(&self, node: NodeId) -> Option<&'static str> {
        if self.membership.is_joining(node) {
            Some(IS_JOINING)
        } else {
            self.is_out(node).then_some(IS_LEAVING)
        }
    }

    pub(super) fn fails(&mut self, ticket: Ticket, node: NodeId, reason: &str) {
        if let Some(done) = self.by_hand.done_of(Some(ticket)) {
            done.failures.push(Failure {
                node: Some(node),
                reason: reason.into(),
            });
        }
    }
}
