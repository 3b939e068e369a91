//! What was done to a network by hand, once it is recorded: the plan that it makes together with the
//! network's start, which is judged as any other.

use peerlab_link::proto::{Action, Timed};
use peerlab_link::{Nanos, NodeId};

use super::spec::{Cause, Fault, Outage, Plan};
use crate::event::{Joined, RunEvent, What};
use crate::experiment::{Down, FaultKind, Nodes};

/// The plan of a network that stayed with all that its record tells was done to it; its one phase ends
/// where the record does. Another plan is left as it is.
pub fn completed(plan: Plan, events: impl Iterator<Item = RunEvent>) -> Plan {
    if !plan.stays() {
        return plan;
    }
    let mut completing = Completing {
        plan,
        end: Nanos(1),
    };
    for event in events {
        completing.take(event);
    }
    completing.finish()
}

struct Completing {
    plan: Plan,
    /// The latest instant that was told of.
    end: Nanos,
}

impl Completing {
    fn take(&mut self, event: RunEvent) {
        let RunEvent { t, what } = event;
        self.end = self.end.max(t);
        match what {
            What::ByHand { fault, kind, label } if fault as usize == self.plan.faults.len() => {
                self.begin(t, kind, label);
            }
            What::FaultEnded { fault } => {
                if let Some(fault) = self.plan.faults.get_mut(fault as usize) {
                    fault.end = Some(t.max(fault.start));
                }
            }
            What::Ordered { line, action } if line as usize == self.plan.fault_schedule.len() => {
                self.order(t, action);
            }
            What::Joined(joined) if joined.node.index() == self.plan.nodes.len() => {
                self.join(&joined);
            }
            What::Left { node } if node.index() < self.plan.nodes.len() => self.leave(node, t),
            What::Started(_)
            | What::Host(_)
            | What::Phase { .. }
            | What::NodeUp { .. }
            | What::NodeDown { .. }
            | What::Effect { .. }
            | What::ByHand { .. }
            | What::Ordered { .. }
            | What::Joined(_)
            | What::Left { .. }
            | What::Replaced { .. }
            | What::FaultBegan { .. }
            | What::Block(_)
            | What::MineMissed { .. }
            | What::Tip { .. }
            | What::Value { .. }
            | What::Transaction { .. }
            | What::Traffic { .. }
            | What::Peers { .. }
            | What::Usage { .. }
            | What::Fidelity { .. }
            | What::Ledger { .. }
            | What::Unanswered { .. }
            | What::LogEnd { .. }
            | What::Ended { .. } => {}
        }
    }

    /// It is meant to be down from now on, and does not stand still any more.
    fn leave(&mut self, node: NodeId, t: Nanos) {
        self.down(node, t, Down::Stop);
        if let Some(outage) = self.open_outage(node)
            && outage.how == Down::Freeze
        {
            outage.how = Down::Stop;
        }
    }

    /// It is meant to be down until it is started.
    fn join(&mut self, joined: &Joined) {
        self.plan.join(joined);
        self.down(joined.node, Nanos::ZERO, Down::Stop);
    }

    /// A node is meant to be down from now on, where it is not already.
    fn down(&mut self, node: NodeId, start: Nanos, how: Down) {
        if self.open_outage(node).is_none() {
            self.plan.outages.push(Outage {
                node,
                start,
                end: None,
                how,
            });
        }
    }

    fn begin(&mut self, start: Nanos, kind: FaultKind<Nodes>, label: String) {
        if let Some(how) = kind.down() {
            for node in kind.node_sets().iter().flatten() {
                self.down(*node, start, how);
            }
        }
        self.plan.faults.push(Fault {
            start,
            end: None,
            cause: Cause::Fault(kind),
            label,
        });
    }

    fn order(&mut self, at: Nanos, action: Action) {
        if let Action::Process { node, op } = &action
            && op.leaves_running() == Some(true)
            && let Some(outage) = self.open_outage(*node)
        {
            outage.end = Some(at);
        }
        self.plan.fault_schedule.push(Timed { at, action });
    }

    fn open_outage(&mut self, node: NodeId) -> Option<&mut Outage> {
        let mut latest = self.plan.outages.iter_mut().rev();
        latest.find(|outage| outage.node == node && outage.end.is_none())
    }

    fn finish(mut self) -> Plan {
        let plan = &mut self.plan;
        if let Some(phase) = plan.phases.last_mut() {
            phase.end = self.end.max(phase.start.saturating_add(Nanos(1)));
        }
        plan.outages
            .sort_by_key(|outage| (outage.start, outage.node));
        self.plan
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::proto::ProcessOp;

    use super::super::stay;
    use super::*;
    use crate::experiment::Down;
    use crate::topology::parse;

    const FILE: &str = "
name: three
seed: 1
phases: { warmup: 4s, settle: 10s }
nodes: { peers: { count: 3, hashpower: 1 } }
ledger: { block_interval: 2s }
";

    #[test]
    fn what_was_done_by_hand_stands_in_the_plan_as_if_it_had_been_planned() {
        let topology = parse("x.yaml", FILE).unwrap();
        let plan = stay(&topology, 1).unwrap().plan;
        let node = NodeId(1);
        let kind = FaultKind::Down {
            nodes: vec![node],
            how: Down::Replace,
        };
        let action = |op| Action::Process { node, op };
        let label = "replace of peers-1".to_owned();
        let told = [
            (
                5,
                What::ByHand {
                    fault: 0,
                    kind,
                    label,
                },
            ),
            (
                5,
                What::Ordered {
                    line: 0,
                    action: action(ProcessOp::Kill),
                },
            ),
            (5, What::FaultBegan { fault: 0 }),
            (
                8,
                What::Ordered {
                    line: 1,
                    action: action(ProcessOp::Wipe),
                },
            ),
            (
                8,
                What::Ordered {
                    line: 2,
                    action: action(ProcessOp::Start),
                },
            ),
            (8, What::FaultEnded { fault: 0 }),
            (12, What::Ended { interrupted: false }),
        ];
        let events = told.map(|(t, what)| RunEvent {
            t: Nanos::from_secs(t),
            what,
        });
        let plan = completed(plan, events.into_iter());
        assert_eq!(plan.end(), Nanos::from_secs(12));
        assert_eq!(plan.faults[0].end, Some(Nanos::from_secs(8)));
        assert_eq!(
            plan.outages,
            [Outage {
                node,
                start: Nanos::from_secs(5),
                end: Some(Nanos::from_secs(8)),
                how: Down::Replace,
            }]
        );
        assert!(plan.replaces(node));
        plan.validate().unwrap();
    }
}
