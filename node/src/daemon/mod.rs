//! The daemon around the machine: command line, sockets, timers, signals. Only here and in
//! [`crate::rpc::server`] is there an asynchronous runtime.

mod arguments;
mod clock;
mod failure;
mod hub;
mod link;
mod load;
mod log;
mod memory;
mod options;
mod run;
pub(crate) mod task;
mod timer;

pub use failure::Failure;
pub use load::{config, machine};
pub use log::start as start_log;
pub use options::{LogLevel, Request, Settings, parse, parse_address};
pub use run::{CONNECTIONS_SURPLUS, run};
