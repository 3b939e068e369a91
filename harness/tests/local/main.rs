//! The whole harness on the local engine: the `peerlab` command, the real fabric, gates and
//! nodes, as processes on this machine. Needs no container engine; runs as root, or as a user who
//! may make user namespaces and open /dev/net/tun.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bad_nodes;
mod command;
#[path = "../shared/foreign_image.rs"]
mod foreign_image;
#[path = "../shared/launched.rs"]
mod launched;
mod look;
mod networks;
#[path = "../shared/networks.rs"]
mod networks_of;
mod page;
mod probes;
#[path = "../../gate/tests/shared/processes.rs"]
mod processes;
#[path = "../shared/saved_networks.rs"]
mod saved_networks;
mod screen;
#[path = "../shared/shipped.rs"]
mod shipped;
mod stories;
