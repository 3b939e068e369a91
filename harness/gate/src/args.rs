//! The gate's command line. Only engines type it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::TypedValueParser as _;
use clap::value_parser;
use peerlab_link::NodeId;
use peerlab_link::proto::{SHARED_DIR, SOCKET_NAME, Secret};

/// What the gate was asked to be.
#[derive(Debug, PartialEq, Eq, Parser)]
#[command(name = "peerlab-gate")]
pub struct Args {
    /// Which node this is
    #[arg(long, value_parser = value_parser!(u32).map(NodeId))]
    pub node: NodeId,
    /// What the gate proves that with; `None` where it comes on standard input.
    #[arg(skip)]
    pub secret: Option<Secret>,
    /// The fabric's socket
    #[arg(long, default_value_os_t = socket())]
    pub socket: PathBuf,
    /// Below which all is as at first when the node is to start anew
    #[arg(long)]
    pub disk: Option<PathBuf>,
    /// Whose identity the program takes, as NAME, NAME:GROUP, UID or UID:GID [default: the gate's own]
    #[arg(long)]
    pub user: Option<String>,
    /// A folder that the program's user is to own
    #[arg(long, requires = "user")]
    pub own: Option<PathBuf>,
    /// A file that is to name the nodes, unless something is in it
    #[arg(long)]
    pub hosts: Option<PathBuf>,
    /// There is no other user than the gate's own, to whom files could belong
    #[arg(long)]
    pub one_user: bool,
    /// Take every capability from the program, rather than NET_ADMIN alone
    #[arg(long)]
    pub drop_all_caps: bool,
    /// Confine gate and program by a seccomp filter, where no container engine does
    #[arg(long)]
    pub confine: bool,
    /// The program's working directory [default: the gate's own]
    #[arg(long)]
    pub workdir: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Where the fabric listens in a container.
pub fn socket() -> PathBuf {
    PathBuf::from(SHARED_DIR).join(SOCKET_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(format!("peerlab-gate {line}").split_whitespace())
    }

    #[test]
    fn a_full_line_is_read() {
        let args = parse(
            "--node 7 --socket /s --disk=/data --user app:staff --own /data --hosts=/etc/hosts --drop-all-caps --confine --workdir /w \
             -- prog --node 9",
        )
        .unwrap();
        assert_eq!(
            args,
            Args {
                node: NodeId(7),
                secret: None,
                socket: "/s".into(),
                disk: Some("/data".into()),
                user: Some("app:staff".into()),
                own: Some("/data".into()),
                hosts: Some("/etc/hosts".into()),
                one_user: false,
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
        for (line, what) in [
            ("-- prog", "--node"),
            ("--node x -- prog", "'x'"),
            ("--node=-1 -- prog", "'-1'"),
            ("--node", "--node"),
            ("--node 1", "<COMMAND>"),
            ("--node 1 --", "<COMMAND>"),
            ("--node 1 --nod 2 -- prog", "'--nod'"),
            ("--node 1 prog", "'prog'"),
            ("--node 1 --own /data -- prog", "--user"),
            ("--node 1 --drop-all-caps=yes -- prog", "--drop-all-caps"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(what), "{line}: {error}");
        }
    }
}
