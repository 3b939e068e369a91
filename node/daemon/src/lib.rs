//! The node's program, around the machine of [`peerlab_node`]: command line, sockets, timers,
//! signals, JSON-RPC, and the store on disk. Reads the command line, runs, says why it ended. A library,
//! so that fuzz targets reach what reads requests and files.

mod ask;
mod clock;
mod hub;
mod link;
mod load;
mod log;
mod memory;
mod rpc;
mod rpc_server;
mod run;
mod store;
mod task;
mod timer;

/// For fuzz targets.
#[doc(hidden)]
pub mod fuzz {
    pub use crate::rpc::context::{Context, Reply};
    pub use crate::rpc::envelope::{Body, Call, Request, parse};
    pub use crate::rpc::methods::{NONCES_PER_CALL, call};
    pub use crate::store::{RedbStore, record, salvage};
}

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use peerlab_node::options::{Failure, Request, parse};

/// The program.
pub fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to be done if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Failure> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let arguments = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    match parse(arguments, home.map(PathBuf::from))? {
        Request::Print(text) => {
            let _ = write!(std::io::stdout(), "{text}");
            Ok(())
        }
        Request::Ask { method, settings } => {
            let answer = ask::ask(&settings, &method)?;
            let _ = writeln!(std::io::stdout(), "{answer}");
            Ok(())
        }
        Request::Run(settings) => {
            log::start(settings.log);
            run::run(*settings)
        }
    }
}
