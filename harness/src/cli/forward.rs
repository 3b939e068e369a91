//! `peerlab forward NODE:PORT [LOCAL]`: a port of this machine's loopback that is one in a node. The
//! emulated network does not see what goes through it.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::{Error, Explain, Result};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::complete::node_names;
use super::networks::{Which, end_of, has_ended};
use crate::network::{Answers, Reply, Request, ask_for_all, find, unexpected};
use crate::ui::Ui;

/// What to do where a port cannot be listened on.
const PORT_HINT: &str = "name another, or none: then a free one is taken";

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The node and the port there, as `peers-3:18443`
    #[arg(value_name = "NODE:PORT", add = ArgValueCandidates::new(node_names))]
    inside: String,
    /// The port here, at 127.0.0.1 [a free one]
    local: Option<u16>,
}

/// Forwards connections until it is ended, or the network ends.
///
/// # Errors
/// When there is no such node, nothing listens there, or the port here is taken.
pub async fn forward(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let (node, port) = inside(&args.inside)?;
    let network = find(args.which.network.as_deref()).await?.name;
    // Whether there is such a port is said at once.
    drop(open(&network, node, port).await?);
    let local = (Ipv4Addr::LOCALHOST, args.local.unwrap_or(0));
    let cannot = || format!("cannot listen on 127.0.0.1:{}", local.1);
    let listener = TcpListener::bind(local).await;
    let listener = listener.or_environment(cannot, PORT_HINT)?;
    let address = listener.local_addr().or_environment(cannot, PORT_HINT)?;
    args.which
        .show(ui, &serde_json::json!({ "address": address }), || {
            format!("{address} is {node}:{port}; Ctrl-C ends it\n")
        })?;
    let ended = end_of(&network);
    tokio::pin!(ended);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut ended => return Ok(has_ended(&network, ui)),
        };
        let (outside, _) = accepted.or_environment(cannot, PORT_HINT)?;
        let (network, node) = (network.clone(), node.to_owned());
        tokio::spawn(async move {
            if let Err(error) = relay(outside, &network, &node, port).await {
                tracing::warn!("{error}");
            }
        });
    }
}

async fn relay(mut outside: TcpStream, network: &str, node: &str, port: u16) -> Result<()> {
    let mut inside = open(network, node, port).await?.into_stream();
    if let Err(error) = copy_bidirectional(&mut outside, &mut inside).await {
        tracing::debug!("{node}:{port}: {error}");
    }
    let _ = outside.shutdown().await;
    Ok(())
}

/// A connection to a port in a node.
async fn open(network: &str, node: &str, port: u16) -> Result<Answers> {
    let node = node.to_owned();
    let mut answers = ask_for_all(Some(network), Request::Dial { node, port }).await?;
    match answers.next().await? {
        Reply::Open => Ok(answers),
        other => Err(unexpected(&other)),
    }
}

fn inside(text: &str) -> Result<(&str, u16)> {
    let parts = text.rsplit_once(':');
    let parts = parts.and_then(|(node, port)| Some((node, port.parse().ok()?)));
    parts.filter(|(_, port)| *port > 0).ok_or_else(|| {
        Error::input(format!("`{text}` is not a port in a node"))
            .because("a node and a number from 1 to 65535 are wanted, with a colon between")
            .hint("write them as `peers-3:18443`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_a_port_stand_around_a_colon() {
        assert_eq!(inside("peers-3:18443").unwrap(), ("peers-3", 18443));
        for text in ["peers-3", "peers-3:", "peers-3:0", "peers-3:99999", ":"] {
            inside(text).unwrap_err();
        }
    }
}
