//! What the commands for networks that are up have in common: which network, and how the answer is shown.

use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::{Error, Explain, Kind, Result, hint};
use serde::Serialize;

use super::complete::network_names;
use crate::network::{Reply, Request, ask, did_text};
use crate::ui::Ui;

/// Which network is meant, and how it answers.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The network; where only one is up, it is that one
    #[arg(short, long, value_name = "NAME", add = ArgValueCandidates::new(network_names))]
    pub network: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

impl Which {
    /// Asks the network.
    ///
    /// # Errors
    /// As the network says, or when there is none.
    pub async fn ask(&self, request: Request) -> Result<Reply> {
        ask(self.network.as_deref(), request).await
    }

    /// Has the network do something, and says what came of it. The exit code is that of a failure where
    /// some of it had no effect.
    ///
    /// # Errors
    /// As [`Which::ask`].
    pub async fn have_done(&self, request: Request, ui: &Ui) -> Result<ExitCode> {
        match self.ask(request).await? {
            Reply::Did(did) => {
                self.show(ui, &did, || did_text(&did))?;
                if did.failures.is_empty() {
                    Ok(ExitCode::SUCCESS)
                } else {
                    Ok(Kind::Environment.into())
                }
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Prints an answer.
    ///
    /// # Errors
    /// Only where we made a mistake.
    pub fn show<T: Serialize>(
        &self,
        ui: &Ui,
        answer: &T,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.json {
            ui.result(&json(answer)?);
        } else {
            ui.result(&text());
        }
        Ok(())
    }
}

/// An answer as JSON, readable, ending in a newline.
///
/// # Errors
/// Only where we made a mistake.
pub fn json<T: Serialize>(answer: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(answer);
    let text = text.or_environment(|| "cannot write the answer".into(), hint::BUG)?;
    Ok(format!("{text}\n"))
}

/// An answer as JSON in one line.
///
/// # Errors
/// Only where we made a mistake.
pub fn json_line<T: Serialize>(answer: &T) -> Result<String> {
    let text = serde_json::to_string(answer);
    let text = text.or_environment(|| "cannot write the answer".into(), hint::BUG)?;
    Ok(format!("{text}\n"))
}

/// That another answer came than the command has.
pub fn unexpected(reply: &Reply) -> Error {
    Error::environment(
        "a network's answer makes no sense",
        format!("{:.80}", format!("{reply:?}")),
        hint::BUG,
    )
}
