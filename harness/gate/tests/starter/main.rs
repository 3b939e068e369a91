//! The real starter, with the test in the harness' place and the least of a fabric
//! (`examples/open_gates.rs`). Needs no network and no container engine; runs as root, or as a
//! user who may make user namespaces and open /dev/net/tun.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod forged;
mod harness;
#[path = "../shared/processes.rs"]
mod processes;

mod image;
mod isolation;
mod life;
