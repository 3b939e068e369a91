//! What is said on the socket of a network: one request a connection, a line of JSON; and answers, each a
//! line of JSON, the last of which ends it. The same types are used by both ends.

use std::path::PathBuf;

use peerlab_core::error::{Error, Result};
use peerlab_core::event::Reason;
use peerlab_core::topology::by_hand::AskedFault;
use peerlab_core::view::{NodeRow, Status};
use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The protocol's version: client and server are the same program, which may have been built anew
/// while a network stays.
pub const VERSION: u32 = 1;
/// Longest request: a partition that names thousands of nodes fits.
pub const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Longest line of an answer: the longest answer of a node's own that is read, as JSON within JSON.
pub const REPLY_BYTES_MAX: u64 = 80 << 20;
/// Longest name of a network: it is part of a socket's path, which may have a hundred bytes.
pub const NAME_CHARS_MAX: usize = 40;

/// A request with its version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub version: u32,
    pub request: Request,
}

/// What is asked of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who it is.
    Describe,
    /// Each of its nodes; their connections are counted now.
    Nodes,
    /// The whole in short.
    Status,
    /// A node's answer to one of its methods.
    Rpc {
        node: String,
        method: String,
        params: Vec<Value>,
    },
    /// The end of what programs wrote: a [`Reply::Log`] for each node, then a [`Reply::Did`].
    Logs {
        /// Choices of nodes; none is all.
        nodes: Vec<String>,
        /// Of each, about.
        bytes_max: u32,
    },
    /// What comes of a program that is run in a node.
    Exec { node: String, command: Vec<String> },
    /// The connection becomes one to a port in a node, once [`Reply::Open`] is read.
    Dial { node: String, port: u16 },
    /// A fault begins.
    Fault {
        fault: AskedFault,
        /// How long; `None` until it is ended.
        lasts: Option<Nanos>,
    },
    /// Faults end.
    Heal {
        /// Nodes that are down come back as well.
        all: bool,
    },
    /// Nodes that are down come back.
    Start {
        /// Choices of nodes.
        nodes: Vec<String>,
    },
    /// Blocks are mined.
    Mine {
        count: u32,
        /// By whom; else one is drawn by hash power.
        by: Option<String>,
    },
    /// Payments are submitted, each at a node that is drawn.
    Pay { count: u32 },
    /// Answers as soon as something holds.
    Wait {
        /// As on the command line.
        until: String,
        timeout: Nanos,
    },
    /// It ends.
    Down,
}

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Something is being done; other lines follow.
    Progress(String),
    /// To [`Request::Describe`].
    Description(Description),
    /// A node's log; others follow.
    Log(NodeLog),
    /// To [`Request::Nodes`].
    Nodes(Vec<NodeRow>),
    /// To [`Request::Status`], and to [`Request::Wait`] once it holds.
    Status(Box<Status>),
    /// To [`Request::Rpc`].
    Value(Value),
    /// To [`Request::Exec`].
    Ran(RanText),
    /// To [`Request::Dial`].
    Open,
    /// To whatever does something.
    Did(Did),
    /// To [`Request::Down`]: everything is removed.
    Ended(Description),
    /// In the place of any other.
    Error(Error),
}

/// A network, for those who look for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub name: String,
    pub engine: String,
    pub nodes: usize,
    /// The process that holds it.
    pub pid: u32,
    /// Where its record is.
    pub dir: PathBuf,
    /// How long it has been up.
    pub up_for_ns: Nanos,
}

/// What came of a program in a node. Of what it writes the beginning is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanText {
    /// Exit code, or minus the signal.
    pub status: i32,
    pub output: String,
    pub errors: String,
    /// Whether it may have written more.
    pub cut: bool,
}

/// The end of what a node's program wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLog {
    pub node: String,
    pub text: String,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Did {
    /// In words.
    pub what: String,
    /// Indices of the faults that began or ended.
    pub faults: Vec<u32>,
    /// Hashes.
    pub blocks: Vec<String>,
    /// Ids.
    pub transactions: Vec<String>,
    /// What had no effect.
    pub failures: Vec<NodeFailure>,
}

/// Something that had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailure {
    pub node: Option<String>,
    pub reason: Reason,
}

/// Whether this can be a network's name.
///
/// # Errors
/// As bad input, when it cannot.
pub fn check_name(name: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_name = !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(fine)
        && !name.starts_with('-');
    if is_name {
        return Ok(());
    }
    Err(
        Error::input(format!("{name:?} is not a name for a network"))
            .because("files are named after it, and it stands on command lines")
            .hint(format!(
                "write at most {NAME_CHARS_MAX} letters, digits and dashes"
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_and_is_read_back() {
        let envelope = Envelope {
            version: VERSION,
            request: Request::Fault {
                fault: AskedFault::Partition {
                    sides: vec![vec!["region:europe".into()], vec!["rest".into()]],
                    one_way: false,
                },
                lasts: Some(Nanos::from_secs(10)),
            },
        };
        let line = serde_json::to_string(&envelope).unwrap();
        insta::assert_snapshot!(line, @r#"{"version":1,"request":{"fault":{"fault":{"partition":{"sides":[["region:europe"],["rest"]],"one_way":false}},"lasts":10000000000}}}"#);
        assert_eq!(serde_json::from_str::<Envelope>(&line).unwrap(), envelope);
        let text = r#"{"version":1,"request":"status"}"#;
        assert_eq!(
            serde_json::from_str::<Envelope>(text).unwrap().request,
            Request::Status
        );
        let unknown = r#"{"version":1,"request":{"heal":{"all":true,"some":1}}}"#;
        serde_json::from_str::<Envelope>(unknown).unwrap_err();
    }

    #[test]
    fn an_error_arrives_as_it_was() {
        let error = Error::input("no").because("why").hint("what to do");
        let line = serde_json::to_string(&Reply::Error(error.clone())).unwrap();
        assert_eq!(
            serde_json::from_str::<Reply>(&line).unwrap(),
            Reply::Error(error)
        );
    }
}
