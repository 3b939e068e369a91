//! `peerlab wait --until agreed`: returns as soon as something holds of a network.

use std::process::ExitCode;

use peerlab_core::error::Result;
use peerlab_core::topology;
use peerlab_core::view::status_text;
use peerlab_link::Nanos;

use super::networks::Which;
use crate::network::{Reply, Request, unexpected};
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// What: agreed, height>=N, peers>=N or up>=N
    #[arg(long)]
    until: String,
    /// How long at most; then the exit code is 1
    #[arg(long, value_name = "TIME", value_parser = topology::time, default_value = "60s")]
    timeout: Nanos,
}

/// Waits.
///
/// # Errors
/// When it does not hold in time, or the network has ended.
pub async fn wait(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let request = Request::Wait {
        until: args.until.clone(),
        timeout: args.timeout,
    };
    match args.which.ask(request).await? {
        Reply::Status(status) => args.which.show(ui, &status, || status_text(&status))?,
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}
