//! All of `peerlab-fabric`, the userspace switch between the nodes of a run, but its `main`: a library, so
//! that fuzz targets reach what reads packets. One process beside the
//! nodes; speaks with the harness over standard input and output, with the gates over a socket in
//! a shared folder, and needs no privilege. It ends when its standard input does, or the harness is
//! silent for a minute, and the gates, whose sockets close then, end their nodes.

mod args;
mod clock;
mod control;
mod device;
mod forward;
mod gate_link;
mod packet;
mod promptness;

/// For fuzz targets.
#[doc(hidden)]
pub mod fuzz {
    pub use crate::forward::Story;
}

use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::Parser as _;
use control::SharedDir;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// The program.
///
/// # Errors
/// When it cannot even start.
pub fn main() -> Result<ExitCode> {
    let args::Args { dir, .. } = args::Args::parse();
    raise_descriptor_limit();
    promptness::ask();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let dir = Rc::new(SharedDir::new(dir));
    let ended = LocalSet::new().block_on(&runtime, serve(Rc::clone(&dir)));
    dir.clear();
    if let Err(e) = &ended {
        // Nobody may be reading; there is nothing else to be done then.
        let _ = writeln!(std::io::stderr(), "Error: {e:#}");
    }
    // Not a return: the forwarding thread runs on, and nothing of it needs an orderly end.
    std::process::exit(i32::from(ended.is_err()));
}

/// Serves until the harness is gone, or a polite request to end comes.
async fn serve(dir: Rc<SharedDir>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    // A terminal's Ctrl-C reaches this process too. The harness decides when to end; it may still
    // want to read the ledgers.
    let _interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    tokio::select! {
        ended = control::run(dir) => ended,
        _ = terminate.recv() => Ok(()),
    }
}

/// A gate takes two descriptors and every proxied connection one: the usual soft limit of 1,024
/// does not do.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, connections beyond the limit are.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
