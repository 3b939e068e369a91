//! `peerlab capture NODES`: packets of nodes of a network that is up, for Wireshark.

use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::Result;
use peerlab_core::topology;
use peerlab_core::topology::by_hand::choices;
use peerlab_link::Nanos;

use super::complete::node_names;
use super::networks::Which;
use crate::network::Request;
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = topology::time)]
    lasts: Nanos,
    /// Which nodes, as for `kill`
    #[arg(required = true, add = ArgValueCandidates::new(node_names))]
    nodes: Vec<String>,
}

/// Has them captured, and says where they are. The network's record has a folder for each capture.
///
/// # Errors
/// When there are no such nodes, or the network has ended.
pub async fn capture(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let request = Request::Capture {
        nodes: choices(&args.nodes),
        lasts: args.lasts,
    };
    args.which.have_done(request, ui).await
}
