//! `peerlab save NAME`: keeps what the nodes of a network have written, so that it can be brought up with it
//! again (`peerlab up --from NAME`).

use std::path::PathBuf;
use std::process::ExitCode;

use peerlab_core::error::{Kind, Result};
use peerlab_core::words;

use super::networks::Which;
use crate::disk::{check_free, snapshot_folder};
use crate::network::{Did, Reply, Request, Saved, ask_for_all, check_name, did_text, unexpected};
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// What the snapshot is called, in the folder `snapshots` here; with a `/` it is a path
    name: PathBuf,
}

/// Saves a network. Its nodes are down meanwhile.
///
/// # Errors
/// When the name is taken, or cannot be one; when a node cannot be saved, or the network has ended.
pub async fn save(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let folder = snapshot_folder(&args.name, check_name)?;
    check_free(&folder)?;
    let request = Request::Save { folder };
    let mut answers = ask_for_all(args.which.network.as_deref(), request).await?;
    let line = ui.line();
    let mut begun = false;
    loop {
        match answers.next().await? {
            Reply::Progress(what) => {
                if !std::mem::replace(&mut begun, true) {
                    ui.note(&what);
                }
                line.set_message(what);
            }
            Reply::Saved(saved) => {
                drop(line);
                args.which.show(ui, &saved, || text(&saved))?;
                return Ok(match saved.failures.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => Kind::Environment.into(),
                });
            }
            other => return Err(unexpected(&other)),
        }
    }
}

/// What was saved, in words.
fn text(saved: &Saved) -> String {
    let height = saved.height.map(|height| format!(" at height {height}"));
    did_text(&Did {
        what: format!(
            "{}{} saved in {} ({}); down for {}",
            words::count(saved.nodes as u64, "node"),
            height.unwrap_or_default(),
            saved.folder.display(),
            words::bytes(saved.bytes),
            words::duration(saved.down_for_ns),
        ),
        failures: saved.failures.clone(),
        ..Did::default()
    })
}

#[cfg(test)]
mod tests {
    use peerlab_link::Nanos;

    use super::*;
    use crate::network::NodeFailure;

    #[test]
    fn what_was_saved_is_told_with_the_nodes_that_did_not_start_again() {
        let saved = Saved {
            folder: "/x/snapshots/one".into(),
            nodes: 4,
            bytes: 1_234_000,
            height: Some(102),
            down_for_ns: Nanos::from_millis(1_500),
            failures: vec![NodeFailure {
                node: Some("peers-1".into()),
                reason: "no such file".into(),
            }],
        };
        insta::assert_snapshot!(text(&saved), @r"
        4 nodes at height 102 saved in /x/snapshots/one (1.23 MB); down for 1.5 s
          at peers-1 it had no effect: no such file
        ");
    }
}
