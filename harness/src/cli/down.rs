//! `peerlab down`: ends a network; everything of it is removed but its record.

use std::process::ExitCode;

use peerlab_core::error::Result;

use super::networks::Which;
use crate::network::{Reply, Request, ask_for_all, unexpected};
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// Ends it.
///
/// # Errors
/// When there is no such network, or something of it is left.
pub async fn down(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let mut answers = ask_for_all(args.which.network.as_deref(), Request::Down).await?;
    loop {
        match answers.next().await? {
            Reply::Progress(what) => ui.note(&what),
            Reply::Ended(ended) => {
                let text = || {
                    format!(
                        "{} is down; its record is in {}\n",
                        ended.name,
                        ended.dir.display()
                    )
                };
                args.which.show(ui, &ended, text)?;
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(unexpected(&other)),
        }
    }
}
