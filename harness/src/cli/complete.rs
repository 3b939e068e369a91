//! Completion of command lines: the script that a shell is given once, and what that script asks this program
//! while somebody types, with the names of networks that are up, of their nodes, and of snapshots.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::report::files;
use peerlab_core::view::{NodeRow, NodeState};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::disk::{load_plan, snapshot_names as kept_here};
use crate::network::{networks, snapshot};
use crate::ui::Ui;

/// Says to this program that a shell asks it, and which.
const VARIABLE: &str = "PEERLAB_COMPLETE";
/// How the command is called whose words are completed.
const COMMAND: &str = "peerlab";
/// How long networks may take to answer: somebody waits with a finger on the key.
const TIMEOUT: Duration = Duration::from_millis(500);

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell: source <(peerlab completions bash)
    shell: Shell,
}

/// Prints the script for a shell.
///
/// # Errors
/// Only where we made a mistake.
pub fn completions(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let cannot = || "cannot write the completion".to_owned();
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let completer = shells
        .completer(name)
        .ok_or_else(|| Error::environment(cannot(), format!("{name} is not known"), BUG))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, COMMAND, COMMAND, COMMAND, &mut script)
        .or_environment(cannot, BUG)?;
    ui.result(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

/// Answers a shell and ends this process, where it was called by one; else nothing.
pub fn answer_shell<C: CommandFactory>() {
    CompleteEnv::with_factory(C::command)
        .var(VARIABLE)
        .bin(COMMAND)
        .completer(COMMAND)
        .complete();
}

/// The names of networks that are up.
pub fn network_names() -> Vec<CompletionCandidate> {
    let names = at_once(async {
        let names = networks().await?.into_iter().map(|it| it.name);
        Ok(names.collect::<Vec<String>>())
    });
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The names of snapshots that are kept here.
pub fn snapshot_names() -> Vec<CompletionCandidate> {
    kept_here()
        .into_iter()
        .map(CompletionCandidate::new)
        .collect()
}

/// The names of nodes and groups of all networks that are up.
pub fn node_names() -> Vec<CompletionCandidate> {
    let found = at_once(async {
        let mut found = Vec::new();
        for network in networks().await? {
            // One that is just being taken down has none.
            if let Ok(now) = snapshot(&network.name).await {
                found.push((network.dir, now.nodes));
            }
        }
        Ok(found)
    });
    let mut names = BTreeSet::new();
    for (record, nodes) in found {
        let nodes = nodes.into_iter().filter(is_meant);
        names.extend(nodes.map(|row| row.node));
        if let Ok(plan) = load_plan(&record.join(files::PLAN)) {
            names.extend(plan.groups.into_iter().map(|group| group.name));
        }
    }
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Whether commands may mean a node.
fn is_meant(row: &NodeRow) -> bool {
    match row.state {
        NodeState::Starting | NodeState::Up | NodeState::Down { .. } => true,
        NodeState::Removed | NodeState::Guest => false,
    }
}

/// What networks answer at once. Whatever goes wrong is no affair of somebody who types.
fn at_once<T: Default>(answer: impl Future<Output = Result<T>>) -> T {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
        return T::default();
    };
    let answer = runtime.block_on(async { timeout(TIMEOUT, answer).await });
    answer.ok().and_then(Result::ok).unwrap_or_default()
}
