//! The files of an experiment and of a run: read, checked, written. What stands in them is
//! `peerlab-core`'s affair.

mod event_log;
mod input;
mod run_dir;
mod run_report;

pub use event_log::{EventLog, EventReader, LogError};
pub use input::{load_plan, load_topology};
pub use run_dir::{new_run_directory, write};
pub use run_report::{judge_run_directory, write_report};
