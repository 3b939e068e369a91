//! Plans from elsewhere. One that is admitted is read again as it was written, its network and each change
//! of it can be, and where it is small the simulator carries it out and the checks judge it.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::Mutex;

use peerlab_core::check::judge;
use peerlab_core::conduct::{Observer, Stage, Stop};
use peerlab_core::event::RunEvent;
use peerlab_core::plan::Plan;
use peerlab_link::LinkModel;
use peerlab_link::proto::Action;
use peerlab_sim::simulator::{Options, simulate};

/// What is simulated, at most.
const NODES_MAX: usize = 8;
const LINES_MAX: usize = 64;
const SECONDS_MAX: f64 = 60.0;
const OUTPUTS_MAX: u32 = 200;

pub fn check(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Ok(plan) = Plan::parse("plan.json", &text) else {
        return false;
    };
    let again = Plan::parse("plan.json", &plan.to_json());
    assert_eq!(again.as_ref(), Ok(&plan));
    let _ = (plan.summary(None), plan.timeline());
    let mut model = LinkModel::new(&plan.network).expect("a network that can be");
    for timed in &plan.fault_schedule {
        if let Action::Link(change) = &timed.action {
            let applied = model.apply(timed.at, change);
            assert!(applied.is_ok(), "{change:?}: {applied:?}");
        }
    }
    let is_small = is_small(&plan);
    if is_small {
        let seen = Seen::default();
        let options = Options {
            threads: 1,
            stop: Stop::never(),
        };
        // The command lines of its nodes may be wrong.
        let _ = simulate(&plan, &seen, &options);
        let events = seen.0.into_inner().unwrap_or_default();
        let _ = judge(&plan, events.into_iter());
    }
    is_small
}

fn is_small(plan: &Plan) -> bool {
    plan.nodes.len() <= NODES_MAX
        && plan.fault_schedule.len() + plan.workload.len() <= LINES_MAX
        && plan.end().as_secs_f64() <= SECONDS_MAX
        && plan.ledger.outputs <= OUTPUTS_MAX
}

#[derive(Default)]
struct Seen(Mutex<Vec<RunEvent>>);

impl Observer for Seen {
    fn stage(&self, _: Stage) {}

    fn event(&self, event: &RunEvent) -> peerlab_core::error::Result<()> {
        if let Ok(mut events) = self.0.lock() {
            events.push(event.clone());
        }
        Ok(())
    }
}

peerlab_fuzz::target!();
