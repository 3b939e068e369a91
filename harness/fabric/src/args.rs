//! The command line: `peerlab-fabric [--dir DIR] [--stdio]`.

use std::path::PathBuf;

use clap::Parser;
use peerlab_link::proto::SHARED_DIR;

/// What the command line says.
#[derive(Debug, Parser)]
#[command(name = "peerlab-fabric")]
pub(crate) struct Args {
    /// The folder shared with the gates
    #[arg(long, default_value = SHARED_DIR)]
    pub(crate) dir: PathBuf,
    /// Speak with the harness over standard input and output: the only way, said for clarity
    #[arg(long)]
    stdio: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["peerlab-fabric"].iter().chain(words))
    }

    #[test]
    fn the_folder_is_the_default_or_what_is_said() {
        assert_eq!(of(&[]).unwrap().dir, PathBuf::from("/peerlab"));
        let said = of(&["--stdio", "--dir", "/run/x"]).unwrap();
        assert_eq!(said.dir, PathBuf::from("/run/x"));
        assert!(of(&["--dir"]).is_err());
        assert!(of(&["--dri", "x"]).is_err());
    }
}
