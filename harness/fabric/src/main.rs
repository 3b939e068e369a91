//! `peerlab-fabric`: see the library.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    peerlab_fabric::main()
}
