//! The command line: one file a command. A command gives the process' exit code, or an error, which
//! has one of its own.

mod check;
mod clean;
mod compare;
mod doctor;
mod explore;
mod guard;
mod images;
mod interrupt;
mod options;
mod place;
mod plan;
mod replay;
mod report;
mod run;
mod screen;

pub use options::{Cli, main};
