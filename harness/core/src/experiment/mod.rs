//! One vocabulary for the experiment file, the plan, `explore` and the engines: what faults,
//! expectations and programs are. Reading a file is `topology`'s affair, drawing chance `plan`'s,
//! carrying out `conduct`'s; they all use these types, and match on them without a catch-all.

mod down;
mod expectation;
mod fault;
pub mod pattern;
mod peers;
mod program;

pub use down::{Down, PERIOD_MIN};
pub use expectation::{Disturbance, Expectation, NodeQuantile, in_phase};
pub use fault::{FaultKey, FaultKind, Nodes};
pub use peers::Peers;
pub use program::{Ability, HttpProbe, HttpValue, Image, Launch, Probe};
