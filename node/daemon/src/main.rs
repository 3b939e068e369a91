//! The node's program: reads the command line, runs the daemon, says why it ended.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use peerlab_node::daemon::{self, Failure, Request};

fn main() -> ExitCode {
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
    match daemon::parse(arguments, home.map(PathBuf::from))? {
        Request::Print(text) => {
            let _ = write!(std::io::stdout(), "{text}");
            Ok(())
        }
        Request::Run(settings) => {
            daemon::start_log(settings.log);
            daemon::run(*settings)
        }
    }
}
