//! All of `peerlab-gate` but its `main`: a library, so that fuzz targets reach what it hears from strangers.
//!
//! PID 1 of every node. It connects to the fabric, opens the node's network device and hands it
//! over, waits until all nodes may start, runs the node's program without the rights it used
//! itself, and then serves the fabric: it starts, kills, freezes and measures the program and
//! opens connections to it. It dies with the fabric, and the node with it.
//!
//! It carries no packet and decides nothing.
//!
//! Called as `peerlab-gate starter` it is the local engine's starter instead, whose children
//! become gates without an exec.

mod archive;
mod args;
mod census;
mod confine;
mod device;
mod dial;
mod digest;
mod disk;
mod ended;
mod fabric_link;
mod gate;
mod guest;
mod hosts;
mod netlink;
mod privileges;
mod proc;
mod program;
mod provided;
mod runs;
mod signals;
mod slowness;
mod starter;
mod supervisor;
#[cfg(test)]
mod supervisor_stories;
mod talk;
mod usage;
mod user_namespace;
mod users;

/// For fuzz targets.
#[doc(hidden)]
pub mod fuzz {
    pub use crate::archive::restore;
    pub use crate::disk::Disk;
    pub use crate::provided::Provided;
    pub use crate::supervisor::{Census, Effect, Input, LookFor, StartError, Supervisor};
    pub use crate::users::Identity;
}

use clap::Parser as _;

/// The program.
pub fn main() -> ! {
    program::close_inherited();
    if std::env::args_os()
        .nth(1)
        .is_some_and(|a| a == peerlab_link::starter::STARTER_COMMAND)
    {
        std::process::exit(starter::run());
    }
    if std::env::args_os()
        .nth(1)
        .is_some_and(|a| a == peerlab_link::starter::GUEST_COMMAND)
    {
        std::process::exit(guest::run(std::env::args_os().skip(2)));
    }
    std::process::exit(gate::run(args::Args::parse(), None));
}
