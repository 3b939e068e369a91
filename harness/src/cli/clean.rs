//! `peerlab clean`: removes what runs have left that are over.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::engine::docker::{connect, remove_dead_runs, remove_images, timeouts};
use crate::ui::Ui;
use peerlab_core::error::Result;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove the images that Peerlab built as well; the next run builds them again
    #[arg(long)]
    images: bool,
}

/// Removes leftovers. Runs under way are left alone.
///
/// # Errors
/// When no engine answers, or something cannot be removed.
pub async fn clean(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let docker = connect().await?;
    let removed = remove_dead_runs(&docker).await?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match removed.runs.len() {
        0 => writeln!(text, "no run has left anything"),
        runs => writeln!(
            text,
            "removed {} containers of {runs} runs",
            removed.containers
        ),
    };
    if !removed.starting.is_empty() {
        let seconds = timeouts::answer().as_secs();
        let _ = writeln!(
            text,
            "left alone: {}, which may be starting; if not, try again in {seconds} s",
            removed.starting.join(", ")
        );
    }
    if args.images {
        for image in remove_images(&docker).await? {
            let _ = writeln!(text, "removed image {image}");
        }
    }
    ui.result(&text);
    Ok(ExitCode::SUCCESS)
}
