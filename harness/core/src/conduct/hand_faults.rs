//! Faults by hand: which are in force, which nodes they hold down, and what is to be done when one
//! begins or ends. What a fault does to links and programs is what it does in a plan; and as in a plan a
//! node that several faults hold down returns when the last of them lets it go.

use std::collections::{BTreeMap, BTreeSet};

use peerlab_link::proto::{Action, Timed};
use peerlab_link::{Nanos, NodeId};

use super::io::Ticket;
use crate::event::What;
use crate::experiment::{Down, FaultKind, Nodes, PERIOD_MIN};
use crate::plan::spec::Outage;
use crate::plan::{MergedOutage, merge_outages};

/// What is to be done now, in this order.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Carry this out.
    Order(Action),
    /// Write this down.
    Record(What),
    /// Something is due later, for whoever asked for it.
    Later,
}

/// What is due at an instant.
#[derive(Debug)]
enum Due {
    /// To be carried out.
    Action(Action),
    /// A fault ends.
    End(u32),
    /// A node is let go.
    Release(NodeId),
}

/// A fault in force.
#[derive(Debug)]
struct InForce {
    kind: FaultKind<Nodes>,
    start: Nanos,
    /// The nodes that it still holds down.
    holds: BTreeSet<NodeId>,
}

/// A node that is held down.
#[derive(Debug, Default)]
struct Held {
    /// By which faults, and how long each did; those that have let it go have an end.
    causes: Vec<(u32, Outage)>,
    /// How many of the actions that follow from these were given out.
    given: usize,
}

impl Held {
    fn merged(&self) -> Option<MergedOutage> {
        let causes = self.causes.iter().map(|(_, cause)| *cause).collect();
        // They overlap: each was added while another was open.
        merge_outages(causes).pop()
    }

    /// What is to be done that was not given out yet.
    fn next_actions(&mut self) -> Vec<Timed> {
        let mut actions = self.merged().map_or(Vec::new(), |it| it.actions());
        let new = actions.split_off(self.given.min(actions.len()));
        self.given += new.len();
        new
    }
}

/// See the module.
#[derive(Debug)]
pub struct HandFaults {
    in_force: BTreeMap<u32, InForce>,
    held: BTreeMap<NodeId, Held>,
    /// By time, and in the order in which it was known.
    due: BTreeMap<(Nanos, u64), (Due, Option<Ticket>)>,
    next_due: u64,
    /// The index of the next fault among those of the plan of the record.
    next: u32,
}

impl HandFaults {
    /// Behind so many faults of the plan itself.
    pub fn behind(planned: usize) -> HandFaults {
        HandFaults {
            in_force: BTreeMap::new(),
            held: BTreeMap::new(),
            due: BTreeMap::new(),
            next_due: 0,
            next: planned as u32,
        }
    }

    /// How many faults there have been, those of the plan included.
    pub fn count(&self) -> u32 {
        self.next
    }

    /// How a node is held down, if it is.
    pub fn way_down(&self, node: NodeId) -> Option<Down> {
        let joined = self.held.get(&node)?.merged()?;
        Some(joined.outage().how)
    }

    /// The faults in force that link changes and slow programs are, and no nodes that are down.
    pub fn of_links_and_cpu(&self) -> Vec<u32> {
        let wanted = self.in_force.iter().filter(|(_, it)| it.holds.is_empty());
        wanted.map(|(fault, _)| *fault).collect()
    }

    /// All that are in force.
    pub fn all(&self) -> Vec<u32> {
        self.in_force.keys().copied().collect()
    }

    /// When something is due next.
    pub fn deadline(&self) -> Option<Nanos> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// A fault begins, and ends by itself after a time where that is said. Its index, and what is to be
    /// done.
    pub fn begin(
        &mut self,
        now: Nanos,
        kind: FaultKind<Nodes>,
        lasts: Option<Nanos>,
        label: String,
        ticket: Option<Ticket>,
    ) -> (u32, Vec<Step>) {
        let fault = self.next;
        self.next += 1;
        let by_hand = What::ByHand {
            fault,
            kind: kind.clone(),
            label,
        };
        let mut steps = vec![Step::Record(by_hand)];
        if !kind.is_recorded_when_applied() {
            steps.push(Step::Record(What::FaultBegan { fault }));
        }
        for timed in kind.fault_schedule(fault, now, None) {
            self.give(now, timed, ticket, &mut steps);
        }
        let mut holds = BTreeSet::new();
        if let Some(how) = kind.down() {
            holds.extend(kind.node_sets().iter().flatten().copied());
            for node in &holds {
                let cause = Outage {
                    node: *node,
                    start: now,
                    end: None,
                    how,
                };
                let held = self.held.entry(*node).or_default();
                held.causes.push((fault, cause));
                for timed in held.next_actions() {
                    self.give(now, timed, ticket, &mut steps);
                }
            }
        }
        if let Some(lasts) = lasts {
            let end = now.saturating_add(lasts.max(PERIOD_MIN));
            self.schedule(end, Due::End(fault), None);
        }
        let start = now;
        self.in_force.insert(fault, InForce { kind, start, holds });
        (fault, steps)
    }

    /// A fault ends, now or as soon as it has lasted as long as a program takes to end and start.
    pub fn end(&mut self, now: Nanos, fault: u32, ticket: Option<Ticket>) -> Vec<Step> {
        let Some(it) = self.in_force.get(&fault) else {
            return Vec::new();
        };
        let earliest = it.start.saturating_add(PERIOD_MIN);
        if now < earliest {
            self.schedule(earliest, Due::End(fault), ticket);
            return vec![Step::Later];
        }
        if it.kind.down().is_some() {
            let mut steps = Vec::new();
            for node in it.holds.clone() {
                steps.extend(self.let_go(now, node, Some(fault), ticket));
            }
            return steps;
        }
        let Some(it) = self.in_force.remove(&fault) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        let lines = it.kind.fault_schedule(fault, it.start, Some(now));
        for timed in lines.into_iter().filter(|line| line.at == now) {
            steps.push(Step::Order(timed.action));
        }
        if !it.kind.is_recorded_when_applied() {
            steps.push(Step::Record(What::FaultEnded { fault }));
        }
        steps
    }

    /// Every fault by hand lets a node go. Empty where none holds it down.
    pub fn release(&mut self, now: Nanos, node: NodeId, ticket: Option<Ticket>) -> Vec<Step> {
        let Some(held) = self.held.get(&node) else {
            return Vec::new();
        };
        let latest = held.causes.iter().map(|(_, cause)| cause.start).max();
        let earliest = latest.unwrap_or_default().saturating_add(PERIOD_MIN);
        if now < earliest {
            self.schedule(earliest, Due::Release(node), ticket);
            return vec![Step::Later];
        }
        self.let_go(now, node, None, ticket)
    }

    /// A node is removed: no fault by hand holds it down any more, and none that is in force will do anything
    /// to it. How it was held down, and what is to be recorded.
    pub fn forget(&mut self, node: NodeId) -> (Option<Down>, Vec<Step>) {
        let way = self.way_down(node);
        self.held.remove(&node);
        let mut steps = Vec::new();
        self.in_force.retain(|fault, it| {
            let is_over = it.holds.remove(&node) && it.holds.is_empty();
            if is_over {
                steps.push(Step::Record(What::FaultEnded { fault: *fault }));
            }
            !is_over
        });
        (way, steps)
    }

    /// Carries out what is due first, if it is due by now. For whom, and what is to be done.
    pub fn expire(&mut self, now: Nanos) -> Option<(Option<Ticket>, Vec<Step>)> {
        let first = self.due.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let (due, ticket) = first.remove();
        let steps = match due {
            Due::Action(action) => vec![Step::Order(action)],
            Due::End(fault) => self.end(now, fault, ticket),
            Due::Release(node) => self.release(now, node, ticket),
        };
        Some((ticket, steps))
    }

    /// One fault, or every one, lets a node go.
    fn let_go(
        &mut self,
        now: Nanos,
        node: NodeId,
        fault: Option<u32>,
        ticket: Option<Ticket>,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(held) = self.held.get_mut(&node) else {
            return steps;
        };
        let is_meant = |of: u32| fault.is_none_or(|fault| fault == of);
        for (of, cause) in &mut held.causes {
            if cause.end.is_none() && is_meant(*of) {
                cause.end = Some(now);
            }
        }
        let actions = held.next_actions();
        if held.causes.iter().all(|(_, cause)| cause.end.is_some()) {
            self.held.remove(&node);
        }
        for timed in actions {
            self.give(now, timed, ticket, &mut steps);
        }
        let meant: Vec<u32> = self
            .in_force
            .keys()
            .copied()
            .filter(|of| is_meant(*of))
            .collect();
        for fault in meant {
            let Some(it) = self.in_force.get_mut(&fault) else {
                continue;
            };
            if it.holds.remove(&node) && it.holds.is_empty() {
                self.in_force.remove(&fault);
                steps.push(Step::Record(What::FaultEnded { fault }));
            }
        }
        steps
    }

    /// Has something done now, or when it is due.
    fn give(&mut self, now: Nanos, timed: Timed, ticket: Option<Ticket>, steps: &mut Vec<Step>) {
        if timed.at <= now {
            steps.push(Step::Order(timed.action));
        } else {
            self.schedule(timed.at, Due::Action(timed.action), ticket);
            steps.push(Step::Later);
        }
    }

    fn schedule(&mut self, at: Nanos, due: Due, ticket: Option<Ticket>) {
        self.due.insert((at, self.next_due), (due, ticket));
        self.next_due += 1;
    }
}
