//! `peerlab shell NODE`: a shell of the node's image, beside its program. At a terminal it has one of its own
//! there; else it reads its commands from the standard input.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap_complete::engine::ArgValueCandidates;
use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Explain as _, Kind, Result};
use peerlab_link::proto::Terminal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::complete::node_names;
use super::interrupt;
use super::networks::Which;
use crate::network::{Reply, Request, ask_for_all, unexpected};
use crate::ui::Ui;

/// Bytes that are carried at once.
const CARRY_BYTES: usize = 16 << 10;
/// Of what a shell writes, so much is kept for JSON.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// What to do where the shell is cut off.
const CUT_OFF_HINT: &str = "`peerlab ps` shows whether the network and the node are still up";
/// What a terminal is where the environment does not say.
const TERM_DEFAULT: &str = "xterm";

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The node, as `peers-3`
    #[arg(add = ArgValueCandidates::new(node_names))]
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

/// Opens it, and carries what is said until it ends, or nobody reads any more.
///
/// # Errors
/// When there is no such node, it is down, its image has no shell, or the connection breaks.
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
    let stop = interrupt::stop_on_signal()?;
    let restored = if raw {
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
    let carrying = carry(&mut read, |piece| {
        if !args.which.json {
            return show(ui, piece, raw);
        }
        if said.len() < OUTPUT_BYTES_MAX {
            said.extend_from_slice(piece);
        } else {
            cut = true;
        }
        true
    });
    let carried = tokio::select! {
        carried = carrying => carried,
        () = stop.cancelled() => return Ok(Kind::Interrupted.into()),
    };
    drop(restored);
    let what = || format!("the shell in {} was cut off", args.node);
    carried.or_environment(what, CUT_OFF_HINT)?;
    if args.which.json {
        let output = String::from_utf8_lossy(&said).into_owned();
        let node = args.node.as_str();
        args.which
            .show(ui, &Said { node, output, cut }, String::new)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands on what is read until that ends, or nobody takes it any more.
async fn carry(
    read: &mut (impl AsyncRead + Unpin),
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    let mut bytes = vec![0; CARRY_BYTES];
    loop {
        let count = read.read(&mut bytes).await?;
        if count == 0 || !take(&bytes[..count]) {
            return Ok(());
        }
    }
}

/// A terminal that is the shell's own gets all that it writes. Another does not: whatever a node writes must
/// not drive it. Gives whether anybody still reads.
fn show(ui: &Ui, piece: &[u8], is_own: bool) -> bool {
    if is_own || !io::stdout().is_terminal() {
        return ui.raw(piece);
    }
    ui.result(&ui.of_node(&String::from_utf8_lossy(piece)))
}

/// The terminal that this process is at, if it is at one with both ends.
fn here() -> Option<Terminal> {
    let (input, output) = (io::stdin(), io::stdout());
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
        let input = io::stdin();
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
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    struct Broken;

    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_not_the_end_of_the_shell() {
        let mut said = Vec::new();
        let mut take = |piece: &[u8]| {
            said.extend_from_slice(piece);
            true
        };
        let mut broken = (&b"half a li"[..]).chain(Broken);
        let error = carry(&mut broken, &mut take).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        carry(&mut &b"ne"[..], &mut take).await.unwrap();
        assert_eq!(said, b"half a line");
        // It would be read for ever by nobody.
        carry(&mut tokio::io::repeat(b'y'), |_| false)
            .await
            .unwrap();
    }
}
