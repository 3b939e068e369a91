//! What somebody asks for by hand, carried out by the same conductor: faults and their ends, workload
//! actions, nodes that come back, the end of a network that stays.

use peerlab_link::proto::{Action, ProcessOp};
use peerlab_link::{Nanos, NodeId};

use super::Conductor;
use crate::conduct::by_hand::Failure;
use crate::conduct::hand_faults::Step;
use crate::conduct::io::{Command, Ticket};
use crate::event::What;
use crate::experiment::{Down, FaultKind, Nodes};
use crate::plan::label_nodes;

impl Conductor<'_> {
    /// Carries out what somebody asks for by hand.
    pub(super) fn command(&mut self, ticket: Ticket, command: Command) {
        let now = self.now;
        match command {
            Command::Act(works) => {
                for work in &works {
                    self.act(now, work, Some(ticket));
                }
            }
            Command::Join(joined) => self.join(ticket, joined),
            Command::Remove(nodes) => {
                for node in nodes {
                    self.remove(ticket, node);
                }
            }
            Command::Fault { kind, lasts } => self.begin_fault(ticket, kind, lasts),
            Command::Heal { all } => {
                let faults = if all {
                    self.hand_faults.all()
                } else {
                    self.hand_faults.of_links_and_cpu()
                };
                self.end_faults(ticket, faults);
            }
            Command::End(faults) => self.end_faults(ticket, faults),
            Command::Start(nodes) => {
                for node in nodes {
                    self.start(ticket, node);
                }
            }
            Command::Finish => self.setup.end = Some(now),
        }
    }

    fn begin_fault(&mut self, ticket: Ticket, mut kind: FaultKind<Nodes>, lasts: Option<Nanos>) {
        self.leave_out(ticket, &mut kind);
        if !kind.prune() {
            return;
        }
        let named = |nodes: &[NodeId]| label_nodes(nodes, |node| self.node_name(node));
        let label = kind.label(named);
        if kind.down() == Some(Down::Replace) {
            let nodes = kind.node_sets().iter().flatten();
            nodes.for_each(|node| self.replacements.planned(*node));
        }
        let ticket = Some(ticket);
        let (fault, steps) = self.hand_faults.begin(self.now, kind, lasts, label, ticket);
        self.take_steps(steps, ticket);
        if let Some(done) = self.by_hand.done_of(ticket) {
            done.faults.push(fault);
        }
    }

    fn end_faults(&mut self, ticket: Ticket, faults: Vec<u32>) {
        for fault in &faults {
            let steps = self.hand_faults.end(self.now, *fault, Some(ticket));
            self.take_steps(steps, Some(ticket));
        }
        if let Some(done) = self.by_hand.done_of(Some(ticket)) {
            done.faults = faults;
        }
    }

    /// Nodes without a program to do something to are told, and no part of a fault that does it to programs.
    fn leave_out(&mut self, ticket: Ticket, kind: &mut FaultKind<Nodes>) {
        if !kind.is_of_programs() {
            return;
        }
        let mut left_out = Vec::new();
        for nodes in kind.node_sets_mut() {
            nodes.retain(|node| {
                let reason = self.why_none(*node);
                left_out.extend(reason.map(|reason| (*node, reason)));
                reason.is_none()
            });
        }
        for (node, reason) in left_out {
            self.fails(ticket, node, reason);
        }
    }

    /// Lets a node go that faults by hand hold down, or starts one again that ended by itself.
    fn start(&mut self, ticket: Ticket, node: NodeId) {
        let mut steps = self.hand_faults.release(self.now, node, Some(ticket));
        if steps.is_empty() && self.nodes.is_down(node) {
            let op = ProcessOp::Start;
            steps.push(Step::Order(Action::Process { node, op }));
        }
        if steps.is_empty()
            && let Some(done) = self.by_hand.done_of(Some(ticket))
        {
            done.failures.push(Failure {
                node: Some(node),
                reason: self.nodes.why_not_started(node).into(),
            });
        }
        self.take_steps(steps, Some(ticket));
    }

    /// Has done what faults by hand come to, for a request or by itself.
    pub(super) fn take_steps(&mut self, steps: Vec<Step>, ticket: Option<Ticket>) {
        let now = self.now;
        for step in steps {
            match step {
                Step::Record(what) => self.sequencer.event(now, what),
                Step::Later => self.by_hand.will_be_due(ticket),
                Step::Order(Action::Process { node, .. }) if self.is_out(node) => {}
                Step::Order(action) => {
                    let (line, order) = self.by_hand.order(now, action.clone(), ticket);
                    self.sequencer.event(now, What::Ordered { line, action });
                    self.orders.push_back(order);
                }
            }
        }
    }
}
