//! `peerlab watch`: a network that is up while it changes: a screen with keys for the common faults,
//! lines where there is no terminal, or a page for a browser.

use std::process::ExitCode;

use peerlab_core::error::Result;
use peerlab_core::view::{Snapshot, agreement};
use peerlab_core::words;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::board::{LOOK_INTERVAL, Left, show};
use super::interrupt;
use super::networks::{Which, ended_or, has_ended, json_line};
use crate::dashboard::{FullScreen, Purpose};
use crate::network::{find, snapshot};
use crate::ui::Ui;
use crate::web::WebServer;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Print a line whenever something changes, also where a terminal could be drawn on
    #[arg(long)]
    plain: bool,
    /// Serve a page for a browser on this machine, and print its address; at a free port unless one is
    /// named
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "0")]
    #[arg(conflicts_with = "plain")]
    web: Option<u16>,
}

/// Shows it until somebody leaves, or it ends.
///
/// # Errors
/// When there is no such network, or the terminal does not do what it is told.
pub async fn watch(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let name = find(args.which.network.as_deref()).await?.name;
    let stop = interrupt::stop_on_signal()?;
    if let Some(port) = args.web {
        return serve(&name, port, &args.which, ui, &stop).await;
    }
    if args.plain || args.which.json || !FullScreen::is_possible() {
        return print_lines(&name, args.which.json, ui, &stop).await;
    }
    match show(&name, Purpose::Watch, ui, &stop).await? {
        Left::Alone | Left::ToEnd | Left::Interrupted | Left::Stopped => Ok(ExitCode::SUCCESS),
        Left::Gone(error) => ended_or(error, &name, ui).await,
    }
}

/// Serves a page until the network ends, or Ctrl-C.
async fn serve(
    name: &str,
    port: u16,
    which: &Which,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<ExitCode> {
    let server = WebServer::listen(name, port).await?;
    let address = server.address();
    which.show(ui, &serde_json::json!({ "address": address }), || {
        format!("{address}\nwhoever knows it may work with {name}; Ctrl-C ends it\n")
    })?;
    Ok(match server.serve(stop).await {
        true => has_ended(name, ui),
        false => ExitCode::SUCCESS,
    })
}

/// Prints a line whenever it is not what the one before said; as JSON, at each look. Ends with whoever reads.
async fn print_lines(
    name: &str,
    as_json: bool,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<ExitCode> {
    let mut tick = interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        }
        let now = match snapshot(name).await {
            Ok(now) => now,
            Err(error) => return ended_or(error, name, ui).await,
        };
        let line = line(&now);
        let mut is_read = true;
        if as_json {
            is_read = ui.result(&json_line(&now)?);
        } else if line != said {
            let t = now.status.up_for_ns.as_secs_f64();
            is_read = ui.result(&format!("[{t:>5.1} s] {line}\n"));
            said = line;
        }
        if !is_read {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// What may change, in a line.
fn line(now: &Snapshot) -> String {
    let status = &now.status;
    let mut line = format!(
        "{} of {} nodes up, {}",
        status.nodes_up,
        status.nodes,
        agreement(status)
    );
    if !status.behind.is_empty() {
        line.push_str(&format!(", {} behind", status.behind.len()));
    }
    for fault in &status.faults {
        line.push_str(&format!("; {}", words::visible(&fault.label)));
    }
    line
}
