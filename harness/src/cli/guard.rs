//! `peerlab guard RUN`: started by `run`, not by people. See [`crate::engine::docker`].

use crate::engine::docker::{RunId, stand_guard};
use peerlab_core::error::Result;

use super::Exit;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run to watch over.
    run: String,
}

/// Stands guard.
///
/// # Errors
/// When the engine fails.
pub async fn guard(args: &Args) -> Result<Exit> {
    stand_guard(&RunId::from_text(&args.run)).await?;
    Ok(Exit::Good)
}
