//! Work on the ledger by hand: `peerlab mine [N]` and `peerlab pay [N]`.

use std::process::ExitCode;

use peerlab_core::error::Result;

use super::networks::Which;
use crate::network::Request;
use crate::ui::Ui;

/// Arguments of `mine`.
#[derive(Debug, clap::Args)]
pub struct MineArgs {
    #[command(flatten)]
    which: Which,
    /// How many blocks, one upon the other
    #[arg(default_value_t = 1)]
    count: u32,
    /// The miner [drawn by hash power from the nodes that are up]
    #[arg(long, value_name = "NODE")]
    by: Option<String>,
}

/// Arguments of `pay`.
#[derive(Debug, clap::Args)]
pub struct PayArgs {
    #[command(flatten)]
    which: Which,
    /// How many payments, each at a node that is drawn from those that are up
    #[arg(default_value_t = 1)]
    count: u32,
}

/// Has blocks mined.
///
/// # Errors
/// When no node is up, or the network has ended.
pub async fn mine(args: &MineArgs, ui: &Ui) -> Result<ExitCode> {
    let request = Request::Mine {
        count: args.count,
        by: args.by.clone(),
    };
    args.which.have_done(request, ui).await
}

/// Has payments submitted.
///
/// # Errors
/// As [`mine`], or when nothing is left to be spent.
pub async fn pay(args: &PayArgs, ui: &Ui) -> Result<ExitCode> {
    let count = args.count;
    args.which.have_done(Request::Pay { count }, ui).await
}
