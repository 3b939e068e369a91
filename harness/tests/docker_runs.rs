//! Tests with real containers. They need a Docker Engine, and are named so that `ci/test` can
//! leave them out where there is none.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[path = "shared/foreign_image.rs"]
mod foreign_image;
#[path = "docker_runs/images.rs"]
mod images;
#[path = "shared/launched.rs"]
mod launched;
#[path = "docker_runs/networks.rs"]
mod networks;
#[path = "shared/networks.rs"]
mod networks_of;
#[path = "../gate/tests/shared/processes.rs"]
mod processes;
#[path = "shared/running.rs"]
mod running;
#[path = "shared/saved_networks.rs"]
mod saved_networks;
#[path = "shared/shipped.rs"]
mod shipped;
#[path = "docker_runs/signals.rs"]
mod signals;
#[path = "docker_runs/support.rs"]
mod support;
#[path = "docker_runs/whole_runs.rs"]
mod whole_runs;
