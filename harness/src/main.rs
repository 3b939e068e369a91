//! The `peerlab` command.

use std::process::ExitCode;

mod last_resort;

#[global_allocator]
static ALLOCATOR: last_resort::Allocator = last_resort::Allocator;

fn main() -> ExitCode {
    last_resort::run(peerlab::cli::main)
}
