//! Carries a plan out on any engine: brings the network up, starts the timetable in the fabric,
//! runs the agenda's errands over the nodes' RPC, watches every node's ledger, and emits
//! RunEvents. It draws nothing from chance and judges nothing.
//!
//! One task, `run`, owns all state and writes all events; whatever waits for a node (a watcher
//! for each, errands, questions) is a task of its own that reports to it, and is bounded in
//! number and in time.

mod chronicle;
mod clock;
mod closing;
mod control;
mod dial;
mod errands;
mod mux;
mod nodes;
mod report;
mod run;
mod sample;
mod start;
mod watch;

pub use run::{CarriedOut, Drive, Logs, Outcome};
