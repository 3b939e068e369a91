//! What is asked of a plan: which of its expectations fail. The simulator answers it by carrying
//! the plan out; tests answer it by a script.

use peerlab_core::check::{Judgement, Status};
use peerlab_core::error::Result;
use peerlab_core::plan::Plan;

/// Something that was expected, and did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its place among the plan's expectations.
    pub index: usize,
    /// The check, by its name in the experiment file.
    pub check: String,
    /// Whether something was measured and out of bounds; `false` where there was nothing to
    /// measure, which is another failure.
    pub measured: bool,
    /// What happened, in one sentence.
    pub sentence: String,
}

impl Failure {
    /// Whether the same kind of expectation fails in the same way.
    pub fn is_like(&self, other: &Failure) -> bool {
        self.check == other.check && self.measured == other.measured
    }
}

/// Judges plans. Called from several threads.
pub trait Judge: Sync {
    /// What of the plan's expectations does not hold. The same plan gives the same answer.
    ///
    /// # Errors
    /// When the plan cannot be carried out, or it was interrupted
    /// ([`peerlab_core::error::Kind::Interrupted`]).
    fn failures(&self, plan: &Plan) -> Result<Vec<Failure>>;
}

impl<F: Fn(&Plan) -> Result<Vec<Failure>> + Sync> Judge for F {
    fn failures(&self, plan: &Plan) -> Result<Vec<Failure>> {
        self(plan)
    }
}

/// The failures of a judged run.
pub fn failures_of(judgement: &Judgement) -> Vec<Failure> {
    let verdicts = judgement.verdicts.iter().enumerate();
    verdicts
        .filter(|(_, verdict)| verdict.status != Status::Held)
        .map(|(index, verdict)| Failure {
            index,
            check: verdict.check.to_owned(),
            measured: verdict.status == Status::Failed,
            sentence: verdict.sentence.clone(),
        })
        .collect()
}
