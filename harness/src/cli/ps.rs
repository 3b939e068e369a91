//! `peerlab ps`: the nodes of a network that is up, or all networks.

use std::process::ExitCode;

use peerlab_core::error::Result;
use peerlab_core::view::nodes_text;
use peerlab_core::words;

use super::networks::Which;
use crate::network::{Description, Reply, Request, ended, networks, unexpected};
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The networks that are up, rather than the nodes of one
    #[arg(long, conflicts_with = "network")]
    all: bool,
}

/// Shows them.
///
/// # Errors
/// When there is no such network, or it does not answer.
pub async fn ps(args: &Args, ui: &Ui) -> Result<ExitCode> {
    if args.all {
        let found = networks().await?;
        args.which.show(ui, &found, || networks_text(&found))?;
        for line in ended()? {
            ui.note(&words::visible(&line));
        }
        return Ok(ExitCode::SUCCESS);
    }
    match args.which.ask(Request::Nodes).await? {
        Reply::Nodes(rows) => args.which.show(ui, &rows, || nodes_text(&rows))?,
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}

fn networks_text(networks: &[Description]) -> String {
    if networks.is_empty() {
        return "no network is up\n".into();
    }
    let line = |it: &Description| {
        format!(
            "{}  {} on {}, up for {}, held by process {}, record in {}\n",
            it.name,
            words::count(it.nodes as u64, "node"),
            it.engine,
            words::duration(it.up_for_ns),
            it.pid,
            it.dir.display()
        )
    };
    networks.iter().map(line).collect()
}
