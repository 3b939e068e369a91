//! `peerlab status`: a network that is up, in short.

use std::process::ExitCode;

use peerlab_core::error::Result;
use peerlab_core::view::status_text;

use super::networks::Which;
use crate::network::{Reply, Request, unexpected};
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// Shows it.
///
/// # Errors
/// When there is no such network, or it does not answer.
pub async fn status(args: &Args, ui: &Ui) -> Result<ExitCode> {
    match args.which.ask(Request::Status).await? {
        Reply::Status(status) => args.which.show(ui, &status, || status_text(&status))?,
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}
