//! What was asked for by hand and is not done yet: the orders that came of it, the tags that tell these
//! from the lines of the fault schedule, and who waits for the answer.

use std::collections::BTreeMap;

use peerlab_link::proto::{APPLY_TAG_MIN, Action, Timed};
use peerlab_link::{Nanos, NodeId};
use serde::{Deserialize, Serialize};

use super::io::{Order, Ticket};
use super::open_actions::OpenAction;
use crate::event::Reason;

/// What came of a request by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Faults that it began or ended, by their index in the plan of the record.
    pub faults: Vec<u32>,
    /// Hashes of the blocks that it had mined.
    pub blocks: Vec<String>,
    /// Ids of the transactions that it had submitted.
    pub transactions: Vec<String>,
    /// What of it had no effect.
    pub failures: Vec<Failure>,
}

/// Something that had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// At which node; `None` where it is about the network.
    pub node: Option<NodeId>,
    pub reason: Reason,
}

/// A request that is being carried out.
#[derive(Debug, Default)]
struct Waiting {
    /// Orders and workload actions of which nothing was heard yet, and those that are due later.
    open: usize,
    done: Done,
}

/// An order that was carried out, or had no effect.
#[derive(Debug)]
pub struct Carried {
    /// Its index among the lines of the plan of the record.
    pub line: u32,
    /// What was ordered, and when.
    pub timed: Timed,
    ticket: Option<Ticket>,
}

/// See the module.
#[derive(Debug)]
pub struct ByHand {
    /// Orders of which nothing was heard yet, by tag.
    orders: BTreeMap<u32, Carried>,
    /// Workload actions, likewise.
    actions: Vec<(OpenAction, Ticket)>,
    waiting: BTreeMap<Ticket, Waiting>,
    /// Lines of the plan itself.
    planned: u32,
    /// Orders so far.
    count: u32,
}

impl ByHand {
    /// Behind so many lines of the plan's own fault schedule.
    pub fn behind(planned: usize) -> ByHand {
        ByHand {
            orders: BTreeMap::new(),
            actions: Vec::new(),
            waiting: BTreeMap::new(),
            planned: planned as u32,
            count: 0,
        }
    }

    /// A request begins; what it comes to is given once nothing of it is open any more.
    pub fn begin(&mut self, ticket: Ticket) {
        // The request itself is open until all of it has been ordered.
        self.waiting.entry(ticket).or_default().open += 1;
    }

    /// All of a request has been ordered, or is due later.
    pub fn ordered_all(&mut self, ticket: Ticket) {
        self.close_one(ticket);
    }

    /// Something of a request is due later.
    pub fn will_be_due(&mut self, ticket: Option<Ticket>) {
        if let Some(waiting) = self.of(ticket) {
            waiting.open += 1;
        }
    }

    /// That is due now, and has been ordered.
    pub fn was_due(&mut self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.close_one(ticket);
        }
    }

    /// What is known of a request so far.
    pub fn done_of(&mut self, ticket: Option<Ticket>) -> Option<&mut Done> {
        self.of(ticket).map(|waiting| &mut waiting.done)
    }

    /// Something is to be done now, for a request or by itself. Its line in the record, and the order.
    #[must_use = "it must be ordered"]
    pub fn order(&mut self, at: Nanos, action: Action, ticket: Option<Ticket>) -> (u32, Order) {
        let line = self.planned.saturating_add(self.count);
        let tag = APPLY_TAG_MIN.saturating_add(self.count);
        self.count = self.count.saturating_add(1);
        let timed = Timed {
            at,
            action: action.clone(),
        };
        if let Some(waiting) = self.of(ticket) {
            waiting.open += 1;
        }
        let carried = Carried {
            line,
            timed,
            ticket,
        };
        self.orders.insert(tag, carried);
        (line, Order::Apply { tag, action })
    }

    /// What was ordered with this tag, now that something was heard of it.
    pub fn applied(&mut self, tag: u32, error: Option<&str>) -> Option<Carried> {
        let carried = self.orders.remove(&tag)?;
        if let (Some(reason), Some(done)) = (error, self.done_of(carried.ticket)) {
            let node = match &carried.timed.action {
                Action::Process { node, .. } => Some(*node),
                Action::Link(_) => None,
            };
            let reason = reason.into();
            done.failures.push(Failure { node, reason });
        }
        if let Some(ticket) = carried.ticket {
            self.close_one(ticket);
        }
        Some(carried)
    }

    /// A workload action was ordered for a request.
    pub fn acts(&mut self, action: OpenAction, ticket: Ticket) {
        if let Some(waiting) = self.of(Some(ticket)) {
            waiting.open += 1;
            self.actions.push((action, ticket));
        }
    }

    /// What became of a workload action; the first like it that a request waits for is meant.
    pub fn acted(&mut self, action: &OpenAction, result: Result<&str, &str>) {
        let Some(index) = self.actions.iter().position(|(open, _)| open == action) else {
            return;
        };
        let (action, ticket) = self.actions.remove(index);
        if let Some(done) = self.done_of(Some(ticket)) {
            match (result, &action) {
                (Ok(hash), OpenAction::Mine { .. }) => done.blocks.push(hash.to_owned()),
                (Ok(txid), OpenAction::Submit { .. }) => done.transactions.push(txid.to_owned()),
                (Err(reason), _) => done.failures.push(Failure {
                    node: Some(action.node()),
                    reason: reason.into(),
                }),
            }
        }
        self.close_one(ticket);
    }

    /// Nothing more will be heard of what is open: those who wait get what is known.
    pub fn give_up(&mut self, reason: &str) {
        self.orders.clear();
        self.actions.clear();
        for waiting in self.waiting.values_mut().filter(|it| it.open > 0) {
            waiting.open = 0;
            let reason = reason.into();
            let failure = Failure { node: None, reason };
            waiting.done.failures.push(failure);
        }
    }

    /// A request of which nothing is open any more, and what came of it.
    pub fn poll_done(&mut self) -> Option<(Ticket, Done)> {
        let mut waiting = self.waiting.iter();
        let (ticket, _) = waiting.find(|(_, waiting)| waiting.open == 0)?;
        let ticket = *ticket;
        let waiting = self.waiting.remove(&ticket)?;
        Some((ticket, waiting.done))
    }

    fn of(&mut self, ticket: Option<Ticket>) -> Option<&mut Waiting> {
        self.waiting.get_mut(&ticket?)
    }

    fn close_one(&mut self, ticket: Ticket) {
        if let Some(waiting) = self.of(Some(ticket)) {
            waiting.open = waiting.open.saturating_sub(1);
        }
    }
}
