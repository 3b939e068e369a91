//! Answers the conductor's orders with real nodes, on any engine: brings the network up, starts
//! the fault schedule in the fabric, asks nodes over their probes, and watches each. What is to be
//! done, and what the record says of it, is the conductor's affair.
//!
//! One task, `run`, owns all state; whatever waits for a node (a watcher for each, workload
//! actions, questions) is a task of its own that reports to it, and is bounded in number and in
//! time.

mod archive;
mod ask;
mod capture;
mod clock;
mod control;
mod dial;
mod log_end;
mod logs;
mod mux;
mod peers;
mod run;
mod sample;
mod start;
mod stay;
mod watch;

pub use dial::Dialer;
pub use mux::MuxStream;
pub use peers::ask_for_connections;
pub use run::{CarriedOut, Drive, Logs};
pub use stay::{AfterRun, FromStart, HandRequest, Live, Stay};
