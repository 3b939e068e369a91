//! `peerlab images build`: the programs and images that a run needs, made beforehand.

use std::process::ExitCode;

use clap::Subcommand;

use super::screen::Screen;
use crate::engine::docker::{Images, connect};
use crate::engine::programs::Programs;
use crate::ui::Ui;
use peerlab_core::error::Result;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the images of the node and of the fabric, unless they are up to date
    Build,
}

/// Builds what is missing, and prints the references.
///
/// # Errors
/// When no engine answers, or something cannot be built.
pub async fn images(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let Command::Build = args.command;
    let docker = connect().await?;
    let screen = Screen::new(ui);
    let programs = Programs::find(&screen).await?;
    let images = Images::ensure(&docker, &programs, &screen).await?;
    ui.result(&format!("{}\n{}\n", images.node, images.fabric));
    Ok(ExitCode::SUCCESS)
}
