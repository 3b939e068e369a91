//! `peerlab exec NODE CMD..`: what comes of a program that is run in a node, beside its own.

use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::Result;

use super::complete::node_names;
use super::networks::Which;
use crate::network::{Reply, Request, unexpected};
use crate::ui::Ui;

/// Added to a signal's number, as shells do.
const SIGNALLED: u8 = 128;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The node, as `peers-3`
    #[arg(add = ArgValueCandidates::new(node_names))]
    node: String,
    /// The program, as the node's image has it, and its arguments
    #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// Runs it, and prints what it wrote. The exit code is the program's.
///
/// # Errors
/// When it takes too long, or the node is lost.
pub async fn exec(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let request = Request::Exec {
        node: args.node.clone(),
        command: args.command.clone(),
    };
    let ran = match args.which.ask(request).await? {
        Reply::Ran(ran) => ran,
        other => return Err(unexpected(&other)),
    };
    let output = || ui.of_node(&ran.output).into_owned();
    args.which.show(ui, &ran, output)?;
    if !args.which.json {
        if !ran.errors.is_empty() {
            ui.errors_of_node(ran.errors.trim_end());
        }
        if ran.cut {
            ui.note("what it wrote was cut: only its beginning is kept");
        }
    }
    Ok(exit_code(ran.status))
}

fn exit_code(status: i32) -> ExitCode {
    let code = match u8::try_from(status) {
        Ok(code) => code,
        Err(_) => u8::try_from(status.unsigned_abs()).map_or(1, |it| it.saturating_add(SIGNALLED)),
    };
    ExitCode::from(code)
}
