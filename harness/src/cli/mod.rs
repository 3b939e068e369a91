//! The command line: one file a command. A command gives the process' exit code, or an error, which
//! has one of its own.

mod baseline;
mod check;
mod clean;
mod compare;
mod doctor;
mod down;
mod exec;
mod explore;
mod faults;
mod forward;
mod guard;
mod how;
mod images;
mod interrupt;
mod job;
mod ledger;
mod logs;
mod networks;
mod options;
mod place;
mod plan;
mod ps;
mod record;
mod recorded;
mod replay;
mod report;
mod rpc;
mod run;
mod run_set;
mod screen;
mod status;
mod tries;
mod up;
mod wait;

pub use options::{Cli, main};
