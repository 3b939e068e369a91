//! What is said on the socket of a network: one request a connection, a line of JSON; and answers, each a
//! line of JSON, the last of which ends it. The same types are used by both ends.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use peerlab_core::error::{Error, Explain as _, Result};
use peerlab_core::event::Reason;
use peerlab_core::topology::by_hand::AskedFault;
use peerlab_core::view::{NodeRow, Snapshot, Status};
use peerlab_link::proto::{Secret, Terminal};
use peerlab_link::{Nanos, NodeId};
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

impl Envelope {
    /// Reads the line of a request.
    ///
    /// # Errors
    /// As bad input, when it makes no sense, or is of another version.
    pub fn read(line: &[u8]) -> Result<Envelope> {
        // Before the rest, which is likely not to be understood where this differs.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if let Ok(Version { version }) = serde_json::from_slice(line)
            && version != VERSION
        {
            return Err(Error::input("this network was brought up by another Peerlab")
                .because(format!(
                    "it speaks version {VERSION} of its protocol, and was asked in version {version}"
                ))
                .hint("use the Peerlab that brought it up, or end it: `kill` its process"));
        }
        serde_json::from_slice(line).or_input(not_understood)
    }
}

/// What is wrong with a request that cannot be read.
pub fn not_understood() -> String {
    "a request was not understood".into()
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
    /// The same with each of its nodes, for screens: connections are as they were last counted.
    Snapshot,
    /// Who is connected to whom: asked of the nodes now, unless that was done a moment ago. What is counted
    /// so stands in the answers to [`Request::Snapshot`] from then on.
    Links,
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
    /// A program of this machine is to come in.
    Connect,
    /// The connection becomes the standard streams of a shell in a node, once [`Reply::Open`] is read.
    Shell {
        node: String,
        /// Where whoever asks sits at one.
        terminal: Option<Terminal>,
    },
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
    /// Some nodes more of a group.
    Add { group: String, count: u32 },
    /// Nodes stop, and end for good.
    Remove {
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
    /// The same, again and again.
    PayAt {
        /// As an experiment file has it.
        rate: String,
        /// How long; `None` as long as whoever asks is there.
        lasts: Option<Nanos>,
    },
    /// Answers as soon as something holds.
    Wait {
        /// As on the command line.
        until: String,
        timeout: Nanos,
    },
    /// The packets of nodes are written into its record.
    Capture {
        /// Choices of nodes.
        nodes: Vec<String>,
        lasts: Nanos,
    },
    /// What its nodes have written is kept in a folder, from which it can be brought up again. They are down
    /// meanwhile.
    Save {
        /// Where: a whole path, at which nothing is.
        folder: PathBuf,
    },
    /// It ends.
    Down,
}

impl Request {
    /// Whether the answer may take as long as whoever asks likes.
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Request::Dial { .. }
                | Request::Shell { .. }
                | Request::PayAt { .. }
                | Request::Wait { .. }
                | Request::Capture { .. }
                | Request::Save { .. }
        )
    }
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
    /// To [`Request::Snapshot`].
    Snapshot(Box<Snapshot>),
    /// To [`Request::Links`]: pairs of nodes by number, of which the first opened the connection.
    Links(Vec<(u32, u32)>),
    /// To [`Request::Rpc`].
    Value(Value),
    /// To [`Request::Exec`].
    Ran(RanText),
    /// To [`Request::Dial`].
    Open,
    /// To [`Request::Connect`].
    Invited(Box<Guest>),
    /// To whatever does something.
    Did(Did),
    /// To [`Request::Save`].
    Saved(Saved),
    /// To [`Request::Down`]: everything is removed.
    Ended(Description),
    /// To whoever had a run carried out: it has a verdict, with this exit code, and its network stays.
    Kept { exit_code: u8 },
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
    /// Where its metrics are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// How a program of this machine comes into a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    pub node: NodeId,
    pub name: String,
    /// Its address there.
    pub ip: Ipv4Addr,
    /// The program that brings it there.
    pub gate: PathBuf,
    /// The fabric's socket.
    pub socket: PathBuf,
    /// What it proves with that it was invited.
    pub secret: Secret,
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
    /// By number of a line: when it was read, in milliseconds since the Unix epoch. A line that is not
    /// named was read when the one before it was.
    #[serde(default)]
    pub times: Vec<(u32, u64)>,
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

/// A network that was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Where.
    pub folder: PathBuf,
    pub nodes: usize,
    /// Of all archives.
    pub bytes: u64,
    /// Its highest block, as far as it was known.
    pub height: Option<u32>,
    /// How long its nodes were down for it.
    pub down_for_ns: Nanos,
    /// Nodes that did not start again.
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
