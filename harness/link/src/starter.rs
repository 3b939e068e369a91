//! The messages between the harness' local engine and its starter (`peerlab-gate starter`): a
//! small process that keeps a user namespace of its own, in which it starts the fabric and the
//! nodes' gates, each in further namespaces. Encoding as on the harness' stream.
//!
//! The starter's descriptor 0 is a stream socket that carries these messages both ways; the end
//! of it ends the starter and with it every process that it started. Its descriptor 1 is a
//! stream socket that becomes the fabric's standard input and output.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::proto::Secret;

/// The starter's first argument.
pub const STARTER_COMMAND: &str = "starter";
/// Where a node finds its data directory.
pub const DATA_DIR: &str = "/data";

/// To the starter. Order: one `Setup`; after [`FromStarter::Ready`] the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToStarter {
    /// Make the namespaces and the nodes' file system.
    Setup {
        /// The fabric's binary on this machine: the bytes of its path, as of all paths here.
        fabric: Vec<u8>,
        /// Static programs that nodes find in their root: name there, and file on this machine.
        programs: Vec<(String, Vec<u8>)>,
        /// Folders on this machine that are roots of images.
        images: Vec<Vec<u8>>,
    },
    StartFabric,
    /// Start a node's gate.
    StartNode(Box<NodeSpec>),
    /// Ask for the end of what a node's gate and program wrote.
    Log {
        node: NodeId,
        /// At most so much.
        bytes_max: u32,
    },
    /// End a node's gate, and all that runs in the node, now; answered by [`FromStarter::NodeEnded`], also where
    /// that was said before.
    EndNode {
        node: NodeId,
    },
}

/// A node to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub node: NodeId,
    /// What its gate proves that with.
    pub secret: Secret,
    /// Its host name.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Limit of each process' data (`RLIMIT_DATA`), bytes; `None` is unlimited.
    pub memory_bytes: Option<u64>,
    /// Size of the data directory, bytes; of an image's node, of what it writes elsewhere as well.
    pub data_bytes_max: u64,
    /// Which of the images its root is, by index; `None` for the root that holds the programs.
    pub image: Option<u32>,
    /// Its environment, beside where programs are looked for and its home.
    pub env: Vec<(String, String)>,
    /// Its working directory; `None` for `/`.
    pub workdir: Option<String>,
    /// Whether it may be emptied, for which it notes at first what is there.
    pub replaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromStarter {
    /// `Setup` is done.
    Ready {
        /// The starter's number where the harness is.
        pid: i32,
    },
    /// The starter cannot go on, and ends.
    Failed {
        reason: String,
        hint: Option<String>,
    },
    /// The fabric runs.
    FabricStarted,
    FabricEnded {
        /// Exit code, or minus the signal.
        status: i32,
    },
    /// A gate runs; that it is open is told by the fabric.
    NodeStarted { node: NodeId },
    /// A gate ended, and its node with it.
    NodeEnded {
        node: NodeId,
        /// Exit code, or minus the signal.
        status: i32,
    },
    /// Answer to [`ToStarter::Log`].
    Log {
        node: NodeId,
        /// Bytes that were written before.
        left_out: u64,
        /// The end of it; empty where there is none.
        bytes: Vec<u8>,
        /// When what pieces of it were read, in their order.
        read: Vec<LogPiece>,
    },
}

/// A piece of a log, which goes on until the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// Where it begins, in bytes.
    pub at: u32,
    /// When it was read, milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// The first argument of the program that lets a program of the host into the network; then come the node's
/// number, the fabric's socket, and the program with its arguments.
pub const GUEST_COMMAND: &str = "guest";
/// The variable that holds its [`Secret`], in hex. No program that it starts has it.
pub const GUEST_SECRET: &str = "PEERLAB_GUEST_SECRET";
