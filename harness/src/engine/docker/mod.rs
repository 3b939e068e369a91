//! Every node a container of a Docker Engine, which may be on another machine: nothing is
//! mounted from the host, no port is published, and only the engine's API is used.
//!
//! Nothing outlives the harness. The fabric's container ends when its attached stdin closes,
//! gates and nodes end with it, and the engine removes what has ended. Only a container that was
//! created and never started would stay behind a harness that is killed at that very moment:
//! `guard`, a second process, sees to those.

mod connect;
mod containers;
mod daemon;
mod engine;
mod guard;
mod images;
mod label;
mod removal;
mod specification;

pub use connect::connect;
pub use daemon::daemon;
pub use engine::DockerEngine;
pub use guard::{Guard, stand_guard};
pub use images::Images;
pub use label::RunId;
pub use removal::{Removed, remove_dead_runs, remove_images};
