//! The gate's command line, read by hand: the gate must stay small, and only engines type this.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use peerlab_link::NodeId;
use peerlab_link::proto::{SHARED_DIR, SOCKET_NAME};

/// How the gate is called, for people.
pub const USAGE: &str = "usage: peerlab-gate --node N [--socket PATH] [--data DIR] \
     [--user UID[:GID]|NAME[:GROUP]] [--drop-all-caps] [--confine] [--workdir DIR] -- PROGRAM [ARGS...]";

/// What the gate was asked to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// Which node this is.
    pub node: NodeId,
    /// The fabric's socket.
    pub socket: PathBuf,
    /// What [`peerlab_link::proto::ProcessOp::Wipe`] empties.
    pub data: Option<PathBuf>,
    /// Whose identity the program takes, unresolved; `None` keeps the gate's own.
    pub user: Option<String>,
    /// Whether the program loses every capability, rather than NET_ADMIN alone.
    pub drop_all_caps: bool,
    /// Whether a seccomp filter confines gate and program, where no container engine's does.
    pub confine: bool,
    /// The program's working directory; `None` keeps the gate's own.
    pub workdir: Option<PathBuf>,
    /// The program and its arguments; never empty.
    pub command: Vec<OsString>,
}

impl Args {
    /// Reads the command line, without the gate's own name.
    ///
    /// # Errors
    /// When an option is unknown, malformed or missing.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args> {
        let mut words = words.into_iter();
        let mut node = None;
        let mut args = Args {
            node: NodeId(0),
            socket: PathBuf::from(SHARED_DIR).join(SOCKET_NAME),
            data: None,
            user: None,
            drop_all_caps: false,
            confine: false,
            workdir: None,
            command: Vec::new(),
        };
        while let Some(word) = words.next() {
            let (option, glued) = split_option(&word);
            let mut value = || {
                glued
                    .map(OsStr::to_os_string)
                    .or_else(|| words.next())
                    .with_context(|| format!("{} needs a value", option.display()))
            };
            match option.as_bytes() {
                b"--node" => {
                    let text = value()?;
                    let number = text.to_str().and_then(|t| t.parse().ok());
                    node = Some(NodeId(number.with_context(|| {
                        format!("--node {}: not a node number", text.display())
                    })?));
                }
                b"--socket" => args.socket = value()?.into(),
                b"--data" => args.data = Some(value()?.into()),
                b"--user" => {
                    let text = value()?;
                    args.user =
                        Some(text.into_string().map_err(|t| {
                            anyhow::anyhow!("--user {}: not valid text", t.display())
                        })?);
                }
                b"--workdir" => args.workdir = Some(value()?.into()),
                b"--drop-all-caps" if glued.is_none() => args.drop_all_caps = true,
                b"--confine" if glued.is_none() => args.confine = true,
                b"--" if glued.is_none() => {
                    args.command = words.collect();
                    break;
                }
                _ => bail!("unknown option {}", word.display()),
            }
        }
        args.node = node.context("--node is missing")?;
        if args.command.is_empty() {
            bail!("no program given after --");
        }
        Ok(args)
    }
}

/// Splits `--option=value`.
fn split_option(word: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|&b| b == b'=') {
        Some(at) => (
            OsStr::from_bytes(&bytes[..at]),
            Some(OsStr::from_bytes(&bytes[at + 1..])),
        ),
        None => (word, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_full_line_is_read() {
        let args = parse(
            "--node 7 --socket /s --data=/data --user app:staff --drop-all-caps --confine --workdir /w \
             -- prog --node 9",
        )
        .unwrap();
        assert_eq!(
            args,
            Args {
                node: NodeId(7),
                socket: "/s".into(),
                data: Some("/data".into()),
                user: Some("app:staff".into()),
                drop_all_caps: true,
                confine: true,
                workdir: Some("/w".into()),
                command: ["prog", "--node", "9"].map(OsString::from).to_vec(),
            }
        );
    }

    #[test]
    fn the_socket_is_where_the_contract_says() {
        let args = parse("--node 0 -- prog").unwrap();
        assert_eq!(args.socket, PathBuf::from("/peerlab/fabric.sock"));
        assert_eq!(args.user, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, reason) in [
            ("-- prog", "--node is missing"),
            ("--node x -- prog", "--node x: not a node number"),
            ("--node -1 -- prog", "--node -1: not a node number"),
            ("--node", "--node needs a value"),
            ("--node 1", "no program given after --"),
            ("--node 1 --", "no program given after --"),
            ("--node 1 --nod 2 -- prog", "unknown option --nod"),
            ("--node 1 prog", "unknown option prog"),
            (
                "--node 1 --drop-all-caps=yes -- prog",
                "unknown option --drop-all-caps=yes",
            ),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), reason, "{line}");
        }
    }
}
