//! `peerlab-node`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    peerlab_daemon::main()
}
