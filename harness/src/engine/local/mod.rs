//! Nodes as processes in namespaces of their own on this Linux machine: no daemon, no root. All
//! namespaces belong to the starter, a small process of the gate's program; this side tells it
//! what to start.

mod engine;
mod host;
mod starter;

pub use engine::LocalEngine;
