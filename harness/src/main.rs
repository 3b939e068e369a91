//! The `peerlab` command.

use std::process::ExitCode;

/// The simulator allocates for every message, and frees on one thread what another allocated.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    peerlab::cli::main()
}
