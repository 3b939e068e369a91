//! What the commands for networks that are up have in common: which network, and how the answer is shown.

use std::process::ExitCode;

use peerlab_core::error::{Error, Explain, Kind, Result, hint};
use peerlab_core::words;
use serde::Serialize;

use crate::network::{Did, Reply, Request, ask};
use crate::ui::Ui;

/// Which network is meant, and how it answers.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The network; where only one is up, it is that one
    #[arg(short, long, value_name = "NAME")]
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

/// That another answer came than the command has.
pub fn unexpected(reply: &Reply) -> Error {
    Error::environment(
        "a network's answer makes no sense",
        format!("{:.80}", format!("{reply:?}")),
        hint::BUG,
    )
}

/// What was done, in words.
pub fn did_text(did: &Did) -> String {
    let mut text = format!("{}\n", did.what);
    if let [only] = did.blocks.as_slice() {
        text.push_str(&format!("  {only}\n"));
    }
    for failure in did.failures.iter().take(FAILURES_SHOWN) {
        let of = failure.node.as_ref().map(|node| format!("at {node} "));
        let of = of.unwrap_or_default();
        text.push_str(&format!("  {of}it had no effect: {}\n", failure.reason));
    }
    let more = did.failures.len().saturating_sub(FAILURES_SHOWN) as u64;
    if more > 0 {
        text.push_str(&format!("  and {} more\n", words::thousands(more)));
    }
    text
}

/// Failures that are listed; of more the count is told.
const FAILURES_SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NodeFailure;

    #[test]
    fn what_had_no_effect_is_told_with_its_node_and_reason() {
        let failure = |node: Option<&str>, reason: &str| NodeFailure {
            node: node.map(str::to_owned),
            reason: reason.into(),
        };
        let mut did = Did {
            what: "kill of peers-3, peers-4".into(),
            failures: vec![
                failure(Some("peers-3"), "no such process"),
                failure(None, "no answer before the run ended"),
            ],
            ..Did::default()
        };
        let some = did_text(&did);
        did.failures = vec![failure(Some("peers-3"), "gone"); 12];
        let many = did_text(&did);
        let one_block = did_text(&Did {
            what: "1 block by peers-3".into(),
            blocks: vec!["00ab".into()],
            ..Did::default()
        });
        insta::assert_snapshot!(format!("{some}---\n{many}---\n{one_block}"));
    }
}
