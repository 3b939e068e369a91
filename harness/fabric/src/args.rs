//! The command line: `peerlab-fabric [--dir DIR] [--stdio]`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use peerlab_link::proto::SHARED_DIR;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The folder shared with the gates.
    pub(crate) dir: PathBuf,
}

/// Reads the command line, without the program's name.
///
/// # Errors
/// When it holds anything else than the above.
pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Args> {
    let mut dir = PathBuf::from(SHARED_DIR);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--dir") => dir = args.next().context("--dir needs a folder")?.into(),
            // The only way to speak with the harness; said for clarity.
            Some("--stdio") => {}
            _ => bail!("unknown argument {}", arg.display()),
        }
    }
    Ok(Args { dir })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Args> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_folder_is_the_default_or_what_is_said() {
        assert_eq!(of(&[]).unwrap().dir, PathBuf::from("/peerlab"));
        let said = of(&["--stdio", "--dir", "/run/x"]).unwrap();
        assert_eq!(said.dir, PathBuf::from("/run/x"));
        assert!(of(&["--dir"]).is_err());
        assert!(of(&["--help"]).is_err());
    }
}
