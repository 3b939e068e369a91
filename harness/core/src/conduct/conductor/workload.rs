//! Blocks and payments, of the plan or asked for by hand: ordered, or recorded as missed with the reason.

use std::sync::Arc;

use peerlab_link::{Nanos, NodeId};

use super::Conductor;
use crate::conduct::io::{Order, Ticket};
use crate::conduct::open_actions::OpenAction;
use crate::ledger::Payment;
use crate::plan::spec::Work;

impl Conductor<'_> {
    /// Carries out what the workload, or somebody by hand, asks for.
    pub(super) fn act(&mut self, now: Nanos, work: &Work, ticket: Option<Ticket>) {
        match work {
            Work::Mine { node } => {
                let node = *node;
                if self.order(now, OpenAction::Mine { node }, Order::Mine { node }, ticket) {
                    self.sequencer.mining();
                }
            }
            Work::Transaction {
                node,
                output,
                variant,
            } => self.submit(now, *node, (*output, *variant), None, ticket),
            Work::DoubleSpend {
                fault,
                output,
                sides,
            } => {
                for (variant, side) in (0..).zip(sides) {
                    let up = side.iter().find(|node| self.nodes.is_up(**node));
                    if let Some(node) = up.or(side.first()) {
                        self.submit(now, *node, (*output, variant), Some(*fault), ticket);
                    }
                }
            }
        }
    }

    /// Submits the payment that spends an output in one of its variants.
    fn submit(
        &mut self,
        now: Nanos,
        node: NodeId,
        (output, variant): (u32, u32),
        double_spend: Option<u32>,
        ticket: Option<Ticket>,
    ) {
        let Some(payment) = Payment::new(&self.setup.premined, output, variant) else {
            tracing::error!("output {output} is to be spent, which the chain does not have");
            return;
        };
        let action = OpenAction::Submit {
            node,
            txid: payment.id.clone(),
            double_spend,
        };
        let order = Order::Submit {
            node,
            payment: Arc::new(payment),
            double_spend,
        };
        self.order(now, action, order, ticket);
    }

    /// Orders a workload action, unless its node is down, and says whether it did. One that does not
    /// happen is recorded with the reason, whatever it is.
    fn order(
        &mut self,
        now: Nanos,
        action: OpenAction,
        order: Order,
        ticket: Option<Ticket>,
    ) -> bool {
        if let Some(ticket) = ticket {
            self.by_hand.acts(action.clone(), ticket);
        }
        let is_up = self.nodes.is_up(action.node());
        if is_up {
            self.open_actions.ordered(action);
            self.orders.push_back(order);
        } else {
            let reason = self.nodes.why_not_up(action.node());
            self.by_hand.acted(&action, Err(&reason));
            self.sequencer.event(now, action.missed(reason));
        }
        is_up
    }
}
