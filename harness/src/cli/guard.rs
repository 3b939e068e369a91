//! `peerlab guard RUN`: started by `run`, not by people. See [`crate::engine::docker`].

use std::process::ExitCode;

use crate::engine::docker::{RunId, stand_guard};
use peerlab_core::error::Result;

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
pub async fn guard(args: &Args) -> Result<ExitCode> {
    stand_guard(&RunId::from_text(&args.run)).await?;
    Ok(ExitCode::SUCCESS)
}
