//! Exploring: the seeds of an experiment in which the network fails, and the smallest experiment
//! that still shows it. A [`Judge`] says what fails in a plan: [`Simulator`], or a script in tests.
//!
//! `draw` gives each seed a [`Scenario`] with faults of its own, `search` judges many of them,
//! `shrink` makes one that fails smaller (`ddmin`, `reduce`), `closing_phase` keeps it fair and
//! `steady` keeps it from hanging on a moment, `file` writes it. `recorded` makes one of what was done to a
//! network by hand. Every plan that is judged is that of a written file.

mod closing_phase;
mod ddmin;
mod draw;
mod file;
mod judge;
mod members;
mod recorded;
mod reduce;
mod scenario;
mod search;
mod shrink;
mod simulated;
mod steady;
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests read experiments that ship"
)]
mod tests;
mod words;

pub use draw::{Base, Intensity};
pub use file::yaml;
pub use judge::{Failure, Judge, failures_of};
pub use recorded::{History, check_written, recorded};
pub use reduce::Size;
pub use scenario::{Fault, Known, Outage, Scenario};
pub use search::{Audience, FailingSeed, Found, Limits, search};
pub use shrink::{Shrunk, Watch, plan_of, shrink};
pub use simulated::Simulator;
pub use words::{Telling, head, summary};
