//! Each expectation of the plan held against what was measured: held, failed, or not measured.
//! An expectation whose subject is absent (no partition healed, no block in the phase, no double
//! spend in the plan) is *not measured*, and that is a failure: it must never pass unseen.

mod agreement;
mod cost;
mod evidence;
mod ledger;
mod verdict_type;

pub use evidence::Evidence;
pub use verdict_type::{Status, Verdict};
