//! The real gate in fresh namespaces, with the test in the fabric's place. Needs no network and
//! no container engine; runs as root, or as a user who may make user namespaces.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod fabric;
#[path = "../shared/processes.rs"]
mod processes;

mod archives;
mod control;
mod device;
mod ending;
mod guest;
mod measure;
mod rights;
mod runs;
