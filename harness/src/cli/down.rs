//! `peerlab down`: ends a network; everything of it is removed but its record.

use std::process::ExitCode;

use peerlab_core::error::Result;

use super::networks::Which;
use crate::network::{Reply, Request, ask_for_all, forget_ended, unexpected};
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
    // Whoever is told here why it ended needs no notice of it.
    let name = args.which.network.as_deref();
    let asked = ask_for_all(name, Request::Down).await;
    let mut answers = asked.inspect_err(|_| forget_ended(name))?;
    loop {
        let next = answers.next().await;
        match next.inspect_err(|_| forget_ended(Some(answers.name())))? {
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
