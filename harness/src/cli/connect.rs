//! `peerlab connect CMD..`: a program of this machine in the emulated network, with an address of its own there.
//! Nothing else is there for it: not this machine's network, nor its loopback.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use peerlab_core::error::{Explain as _, Result};
use peerlab_link::starter::{GUEST_COMMAND, GUEST_SECRET};
use serde::Serialize;

use super::networks::{Which, json_line};
use crate::engine::hint::PROGRAMS;
use crate::network::{Guest, Reply, Request, unexpected};
use crate::ui::Ui;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The program and its arguments
    #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// What is known of it, as JSON: a line before what the program writes.
#[derive(Serialize)]
struct Address<'a> {
    name: &'a str,
    ip: std::net::Ipv4Addr,
}

/// Becomes the program, whose exit code is this command's.
///
/// # Errors
/// When the network is one of containers, or the program cannot come in.
pub async fn connect(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let guest = match args.which.ask(Request::Connect).await? {
        Reply::Invited(guest) => guest,
        other => return Err(unexpected(&other)),
    };
    let Guest { name, ip, .. } = &*guest;
    let (name, ip) = (name.as_str(), *ip);
    if args.which.json {
        ui.result(&json_line(&Address { name, ip })?);
    } else {
        ui.note(&format!("{name} has the address {ip}"));
    }
    let secret = guest.secret.0.iter().map(|byte| format!("{byte:02x}"));
    let error = Command::new(&guest.gate)
        .arg(GUEST_COMMAND)
        .arg(guest.node.to_string())
        .arg(&guest.socket)
        .args(&args.command)
        .env(GUEST_SECRET, secret.collect::<String>())
        .exec();
    Err(error).or_environment(|| format!("cannot run {}", guest.gate.display()), PROGRAMS)
}
