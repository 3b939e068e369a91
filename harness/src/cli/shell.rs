//! `peerlab shell NODE`: a shell of the node's image, beside its program. At a terminal it has one of its own
//! there; else it reads its commands from the standard input.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Explain as _, Result};
use peerlab_link::proto::Terminal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::networks::{Which, unexpected};
use crate::network::{Reply, Request, ask_for_all};
use crate::ui::Ui;

/// Bytes that are carried at once.
const CARRY_BYTES: usize = 16 << 10;
/// Of what a shell writes, so much is kept for JSON.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// What a terminal is where the environment does not say.
const TERM_DEFAULT: &str = "xterm";

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The node, as `peers-3`
    node: String,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Said<'a> {
    node: &'a str,
    /// What the shell and its programs wrote.
    output: String,
    /// Whether they wrote more.
    cut: bool,
}

/// Opens it, and carries what is said until it ends.
///
/// # Errors
/// When there is no such node, it is down, or its image has no shell.
pub async fn shell(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let terminal = if args.which.json { None } else { here() };
    let raw = terminal.is_some();
    let request = Request::Shell {
        node: args.node.clone(),
        terminal,
    };
    let mut answers = ask_for_all(args.which.network.as_deref(), request).await?;
    match answers.next().await? {
        Reply::Open => {}
        other => return Err(unexpected(&other)),
    }
    // Nothing is said before something is asked, so that nothing is left in what was read.
    let (mut read, mut write) = tokio::io::split(answers.into_stream());
    let _restored = if raw {
        Some(RawTerminal::begin()?)
    } else {
        None
    };
    let _typing = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut typed = tokio::io::stdin();
        let _ = tokio::io::copy(&mut typed, &mut write).await;
        let _ = write.shutdown().await;
    }));
    let mut said = Vec::new();
    let mut cut = false;
    let mut bytes = vec![0; CARRY_BYTES];
    while let Ok(count @ 1..) = read.read(&mut bytes).await {
        let piece = &bytes[..count];
        if !args.which.json {
            show(ui, piece, raw);
        } else if said.len() < OUTPUT_BYTES_MAX {
            said.extend_from_slice(piece);
        } else {
            cut = true;
        }
    }
    if args.which.json {
        let output = String::from_utf8_lossy(&said).into_owned();
        let node = args.node.as_str();
        args.which
            .show(ui, &Said { node, output, cut }, String::new)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A terminal that is the shell's own gets all that it writes. Another does not: whatever a node writes must
/// not drive it.
fn show(ui: &Ui, piece: &[u8], is_own: bool) {
    if is_own || !std::io::stdout().is_terminal() {
        return ui.raw(piece);
    }
    let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let text = String::from_utf8_lossy(piece);
    let text: String = text
        .chars()
        .map(|c| if is_shown(c) { c } else { '?' })
        .collect();
    ui.result(&text);
}

/// The terminal that this process is at, if it is at one with both ends.
fn here() -> Option<Terminal> {
    let (input, output) = (std::io::stdin(), std::io::stdout());
    if !input.is_terminal() || !output.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(&output).ok()?;
    Some(Terminal {
        rows: size.ws_row,
        columns: size.ws_col,
        name: std::env::var("TERM").unwrap_or_else(|_| TERM_DEFAULT.into()),
    })
}

/// A terminal that passes on every key as it is, until this is dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn begin() -> Result<RawTerminal> {
        let cannot = || "cannot set the terminal".to_owned();
        let input = std::io::stdin();
        let before = tcgetattr(&input).or_environment(cannot, BUG)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&input, OptionalActions::Now, &raw).or_environment(cannot, BUG)?;
        Ok(RawTerminal(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // It may be gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
