//! Every node a container of a Docker Engine, which may be on another machine: nothing is
//! mounted from the host, no port is published, and only the engine's API is used. Which engine is
//! meant is `target`'s affair, how to reach it `connect`'s.
//!
//! Nothing outlives the harness. The fabric's container ends when its attached stdin closes,
//! gates and nodes end with it, and the engine removes what has ended. Only a container that was
//! created and never started would stay behind a harness that is killed at that very moment:
//! `guard`, a second process, sees to those.

mod connect;
mod containers;
mod dial;
mod engine;
#[cfg(test)]
mod fake;
mod guard;
mod host;
mod images;
mod label;
mod processes;
mod registry;
mod removal;
mod specification;
mod target;
pub mod timeouts;

pub use connect::{connect, connect_to};
pub use engine::DockerEngine;
pub use guard::{Guard, stand_guard};
pub use host::Host;
pub use images::Images;
pub use label::RunId;
pub use removal::{Removed, remove_dead_runs, remove_images};
pub use target::Target;

/// For fuzz targets.
#[doc(hidden)]
pub mod fuzz {
    pub use super::target::{Address, find_with};
}
