//! The command line: one file a command. A command gives an [`Exit`] or an error; `main` turns
//! either into the process' exit code.

mod check;
mod clean;
mod compare;
mod doctor;
mod exit;
mod explore;
mod guard;
mod images;
mod interrupt;
mod options;
mod place;
mod plan;
mod plan_source;
mod replay;
mod report;
mod run;
mod schema;
mod screen;

pub use exit::Exit;
pub use options::{Cli, main};
