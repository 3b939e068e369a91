//! What the commands for networks that are up have in common: which network, and how the answer is shown.

use std::process::ExitCode;
use std::time::Duration;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::{Error, Explain, Kind, Result, hint};
use peerlab_core::words;
use serde::Serialize;
use tokio::time::sleep;

use super::complete::network_names;
use crate::network::{Reply, Request, ask, did_text, find, unexpected, why_ended};
use crate::ui::Ui;

/// Pause between two looks at whether a network is still up.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

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

/// Returns once no network of this name is up.
pub async fn end_of(name: &str) {
    while is_up(name).await {
        sleep(LOOK_INTERVAL).await;
    }
}

async fn is_up(name: &str) -> bool {
    // One that is too busy to answer is up.
    !matches!(find(Some(name)).await, Err(error) if error.kind == Kind::Input)
}

/// Says that a network has ended, which is no failure of a command that goes on as long as it is up.
pub fn has_ended(name: &str, ui: &Ui) -> ExitCode {
    let why = why_ended(name).map(|why| format!(": {}", words::visible(&why)));
    ui.note(&format!("{name} has ended{}", why.unwrap_or_default()));
    ExitCode::SUCCESS
}

/// What an error means that comes after a network has answered: its end, or a failure.
///
/// # Errors
/// The error, where the network is still up.
pub async fn ended_or(error: Error, name: &str, ui: &Ui) -> Result<ExitCode> {
    // The process that holds it answers until everything is removed.
    if error != crate::network::has_ended() && is_up(name).await {
        return Err(error);
    }
    tracing::debug!("{error}");
    Ok(has_ended(name, ui))
}

/// An answer as JSON, readable, ending in a newline.
///
/// # Errors
/// Only where we made a mistake.
pub fn json<T: Serialize>(answer: &T) -> Result<String> {
    written(serde_json::to_string_pretty(answer))
}

/// An answer as JSON in one line.
///
/// # Errors
/// Only where we made a mistake.
pub fn json_line<T: Serialize>(answer: &T) -> Result<String> {
    written(serde_json::to_string(answer))
}

/// Nodes have a part in what is answered: characters that are not seen are written by their number, which is
/// the same JSON and drives no terminal.
fn written(text: serde_json::Result<String>) -> Result<String> {
    let text = text.or_environment(|| "cannot write the answer".into(), hint::BUG)?;
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // A newline is one between values: within a text it was escaped before.
        if c != '\n' && words::is_unseen(c) {
            line.extend(
                c.encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}")),
            );
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_and_drives_no_terminal() {
        let said = "\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{feff}\n\té";
        let answer = serde_json::json!({ "said": [said] });
        for text in [json(&answer).unwrap(), json_line(&answer).unwrap()] {
            assert!(
                !text.chars().any(|c| c != '\n' && words::is_unseen(c)),
                "{text:?}"
            );
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&text).unwrap(),
                answer
            );
        }
        assert_eq!(json_line(&answer).unwrap().lines().count(), 1);
    }
}
