//! Nodes as processes in namespaces of their own on this Linux machine: no daemon, no root. All
//! namespaces belong to the starter, a small process of the gate's program; this side tells it
//! what to start.

mod engine;
mod host;
mod images;
mod starter;

pub use engine::LocalEngine;
pub use images::Images;

use crate::engine::programs::Programs;
use peerlab_core::error::Result;

/// Makes the namespaces in which nodes would run, and ends them again: whether this machine
/// allows them is best found out by trying.
///
/// # Errors
/// When it does not, with the command that changes it.
pub async fn try_out(programs: &Programs) -> Result<()> {
    let (mut starter, _channels) = starter::Starter::start(programs, &[]).await?;
    starter.end().await
}
