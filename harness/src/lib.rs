//! Peerlab's harness: the `peerlab` command, the engines that run real nodes, the networks that
//! stay, and the files of a run. What is pure (from the experiment file to the verdict) is in `peerlab-core`, the simulator
//! in `peerlab-sim`.

pub mod cli;
mod dashboard;
pub mod disk;
pub mod engine;
pub mod metrics;
pub mod network;
pub mod probe;
mod serve;
mod ui;
mod web;
