//! PID 1 of every node. It connects to the fabric, opens the node's network device and hands it
//! over, waits until all nodes may start, runs the node's program without the rights it used
//! itself, and then serves the fabric: it starts, kills, freezes and measures the program and
//! opens connections to it. It dies with the fabric, and the node with it.
//!
//! It carries no packet and decides nothing.
//!
//! Called as `peerlab-gate starter` it is the local engine's starter instead, whose children
//! become gates without an exec.

mod args;
mod confine;
mod device;
mod dial;
mod fabric_link;
mod gate;
mod netlink;
mod privileges;
mod program;
mod runs;
mod signals;
mod starter;
mod supervisor;
#[cfg(test)]
mod supervisor_stories;
mod usage;
mod users;

use clap::Parser as _;

fn main() {
    program::close_inherited();
    if std::env::args_os()
        .nth(1)
        .is_some_and(|a| a == peerlab_link::starter::STARTER_COMMAND)
    {
        std::process::exit(starter::run());
    }
    std::process::exit(gate::run(args::Args::parse()));
}
