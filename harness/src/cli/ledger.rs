//! Work on the ledger by hand: `peerlab mine [N]` and `peerlab pay [N|RATE]`.

use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::{Error, Explain as _, Result};
use peerlab_core::topology;
use peerlab_link::Nanos;

use super::complete::node_names;
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
    #[arg(long, value_name = "NODE", add = ArgValueCandidates::new(node_names))]
    by: Option<String>,
}

/// Arguments of `pay`.
#[derive(Debug, clap::Args)]
pub struct PayArgs {
    #[command(flatten)]
    which: Which,
    /// How many payments, each at a node that is drawn from those that are up; or how many per s, min or
    /// h, as 5/s
    #[arg(default_value = "1", value_name = "N|RATE")]
    amount: String,
    /// With a rate: how long, as 30s [until it is ended]
    #[arg(long = "for", value_name = "TIME", value_parser = topology::time)]
    lasts: Option<Nanos>,
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
    args.which.have_done(args.request()?, ui).await
}

impl PayArgs {
    fn request(&self) -> Result<Request> {
        if self.amount.contains('/') {
            return Ok(Request::PayAt {
                rate: self.amount.clone(),
                lasts: self.lasts,
            });
        }
        let wrong = || format!("`{}` is no number of payments", self.amount);
        if self.lasts.is_some() {
            return Err(Error::input("`--for` needs a rate")
                .because("a number of payments is made at once")
                .hint("give a rate, as `peerlab pay 5/s --for 30s`"));
        }
        let count = self.amount.parse().or_input(wrong);
        let count = count.map_err(|error| error.hint("write a number, or a rate as `5/s`"))?;
        Ok(Request::Pay { count })
    }
}
