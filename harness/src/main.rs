//! The `peerlab` command.

use std::process::ExitCode;

/// The simulator allocates a message for nearly every happening, often on one thread what another
/// frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    peerlab::cli::main()
}
