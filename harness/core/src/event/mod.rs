//! RunEvents: the one schema between engines on one side and checks and report on the other,
//! and the file that holds them.

pub mod run_event;

pub use run_event::{FORMAT, HostFacts, RunEvent, Tip, What};
