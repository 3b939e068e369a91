//! The command line: one file a command. A command gives the process' exit code, or an error, which
//! has one of its own.

mod baseline;
mod board;
mod capture;
mod check;
mod clean;
mod compare;
mod complete;
mod connect;
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
mod kept;
mod ledger;
mod logs;
mod look;
mod members;
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
mod run_board;
mod run_set;
mod screen;
mod shell;
mod status;
mod tries;
mod up;
mod wait;
mod watch;

pub use options::{Cli, main};
