//! The `peerlab` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    peerlab::cli::main()
}
