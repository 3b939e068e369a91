//! The judge of real explorations: a plan is carried out in virtual time, its events stay in
//! memory, and the checks judge them as they judge the record of any run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::judge::{Failure, Judge, failures_of};
use crate::simulator::{Options, simulate};
use peerlab_core::check;
use peerlab_core::conduct::{Observer, Stage, Stop};
use peerlab_core::error::Result;
use peerlab_core::event::RunEvent;
use peerlab_core::plan::Plan;

/// What a failure is called that is no expectation's: the node's code panicked.
const PANIC: &str = "panic";

/// Judges plans by the simulator.
#[derive(Clone, Debug)]
pub struct Simulator {
    options: Options,
}

impl Simulator {
    /// One that breaks off when it is asked to.
    pub fn new(stop: Stop) -> Simulator {
        // Seeds are what is spread over the cores.
        let options = Options { threads: 1, stop };
        Simulator { options }
    }
}

impl Judge for Simulator {
    fn failures(&self, plan: &Plan) -> Result<Vec<Failure>> {
        let memory = Memory::default();
        // The simulation is dropped whole, so that nothing is seen in a broken state.
        let simulated = catch_unwind(AssertUnwindSafe(|| simulate(plan, &memory, &self.options)));
        match simulated {
            Ok(simulated) => simulated?,
            Err(panic) => return Ok(vec![panicked(plan, panic.as_ref())]),
        };
        let events = memory
            .0
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(failures_of(&check::judge(plan, events.into_iter())))
    }
}

fn panicked(plan: &Plan, panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Failure {
        // Of no expectation.
        index: plan.expect.len(),
        check: PANIC.into(),
        measured: true,
        sentence: format!("The node's program panicked: {text}"),
    }
}

/// Keeps the events.
#[derive(Default)]
struct Memory(Mutex<Vec<RunEvent>>);

impl Observer for Memory {
    fn stage(&self, _: Stage) {}

    fn event(&self, event: &RunEvent) -> Result<()> {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.clone());
        Ok(())
    }
}
