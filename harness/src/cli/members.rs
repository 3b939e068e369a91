//! Nodes that join and leave by hand: `peerlab add GROUP [N]` and `peerlab remove NODES`.

use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::Result;
use peerlab_core::topology::by_hand::choices;

use super::complete::node_names;
use super::networks::Which;
use crate::network::Request;
use crate::ui::Ui;

/// Arguments of `add`.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[command(flatten)]
    which: Which,
    /// Of which group of the network's file
    group: String,
    /// How many
    #[arg(default_value_t = 1)]
    count: u32,
}

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    which: Which,
    /// Which, as for `kill`
    #[arg(required = true, add = ArgValueCandidates::new(node_names))]
    nodes: Vec<String>,
}

/// Adds nodes. They have been started when it returns.
///
/// # Errors
/// When there is no such group, no room, or the network has ended.
pub async fn add(args: &AddArgs, ui: &Ui) -> Result<ExitCode> {
    let request = Request::Add {
        group: args.group.clone(),
        count: args.count,
    };
    args.which.have_done(request, ui).await
}

/// Removes nodes, whose programs are told to stop before.
///
/// # Errors
/// When there is no such node, or the network has ended.
pub async fn remove(args: &RemoveArgs, ui: &Ui) -> Result<ExitCode> {
    let nodes = choices(&args.nodes);
    args.which.have_done(Request::Remove { nodes }, ui).await
}
