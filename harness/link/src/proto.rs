//! The messages that harness, fabric and gate speak, and their limits. Encoding is postcard:
//! on the harness' stream each message is preceded by its length (u32, little endian); on the
//! gates' SOCK_SEQPACKET socket a message is a packet, with at most one descriptor beside it.
//!
//! Harness and fabric share one yamux connection (the harness is the client). The first stream
//! that the harness opens carries [`ToFabric`] and [`FromFabric`]; each later one starts with a
//! length-prefixed [`StreamOpen`], is answered by a length-prefixed [`StreamAnswer`], and is
//! then a plain byte stream. New messages come last: `ci/bench-against` measures the fabrics of older trees.

use std::fmt;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::change::{Change, Network, NodeLink};
use crate::id::{Nanos, NodeId};

/// Longest message on the harness' stream: a fault schedule of 10,000 nodes fits many times.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Longest packet between gate and fabric: an argument list fits.
pub const GATE_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Streams that may be open at once on the yamux connection, the control stream included: some for
/// every node of the largest run. Reaching it would end the connection. Both ends configure it (the
/// crate's own default is 512), without a bound on the sum of windows.
pub const STREAMS_MAX: usize = 64 << 10;
/// The harness says something on the control stream at least this often.
pub const HEARTBEAT_INTERVAL: Nanos = Nanos::from_secs(1);
/// A fabric that has heard nothing for so long ends, and every node with it: the stream of a harness
/// on another machine, which sleeps or has lost its network, may never end.
pub const HARNESS_SILENCE_MAX: Nanos = Nanos::from_secs(60);
/// Bytes of one [`ToFabric::File`] piece.
pub const FILE_PIECE_BYTES_MAX: usize = 256 << 10;
/// The folder that fabric and gates share: the gate's binary, the socket, and shared files.
pub const SHARED_DIR: &str = "/peerlab";
/// Where programs look for the names of nodes, and for `localhost`.
pub const HOSTS_FILE: &str = "/etc/hosts";
/// The names of all nodes, in [`SHARED_DIR`].
pub const HOSTS_NAME: &str = "hosts";
/// The gates' socket, in [`SHARED_DIR`].
pub const SOCKET_NAME: &str = "fabric.sock";
/// The gate's binary, in [`SHARED_DIR`].
pub const GATE_NAME: &str = "gate";

/// Processes and threads of one node.
pub const NODE_TASKS_MAX: u32 = 512;
/// Bytes of shared memory of one node: what container engines give by default.
pub const NODE_SHARED_MEMORY_MAX: u64 = 64 << 20;
/// `oom_score_adj` of a node's processes: where the machine's memory is short they end before all else,
/// the largest first, rather than the fabric or the harness.
pub const NODE_OOM_SCORE: i32 = 1000;

/// What is done to a node's program. The gate itself stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessOp {
    /// SIGKILL to the program; its sockets close.
    Kill,
    /// SIGTERM, and SIGKILL after [`STOP_GRACE`].
    Stop,
    /// Start the program if it is not running.
    Start,
    /// SIGSTOP to every process of the node.
    Freeze,
    /// SIGCONT.
    Thaw,
    /// Empty every place that the node can write (the program must be down): the next start is a
    /// new node.
    Wipe,
    /// Slow it down: of every [`SLOW_PERIOD`] its processes stand still for all but a part. It
    /// stays so when the program starts anew. Of several at once the slowest counts.
    Slow {
        /// Name of this slowing, for ending it.
        id: u32,
        /// The part in which they run, in thousandths.
        cpu_millis: u32,
    },
    /// Ends one slowing.
    Unslow { id: u32 },
}

/// A slow node runs and stands still in turns that are so long together: longer, and its peers
/// would see a node that freezes; much shorter, and signalling would be what it is busy with.
pub const SLOW_PERIOD: Nanos = Nanos::from_millis(100);

impl ProcessOp {
    /// Whether the program runs once this is done; `None` leaves it as it was.
    pub fn leaves_running(self) -> Option<bool> {
        match self {
            ProcessOp::Kill | ProcessOp::Stop | ProcessOp::Freeze => Some(false),
            ProcessOp::Start | ProcessOp::Thaw => Some(true),
            ProcessOp::Wipe | ProcessOp::Slow { .. } | ProcessOp::Unslow { .. } => None,
        }
    }
}

/// What was seen of an action where it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Nothing runs: no process of the node is left, or none that could be stopped or slowed.
    NotRunning,
    /// The program runs.
    Running,
    /// Every process of the node stands still.
    StandsStill {
        /// How many there are.
        processes: u32,
    },
    /// Nothing is left of what the node had written.
    Emptied {
        /// Files and folders that were removed; blocks, in the simulator.
        entries: u64,
    },
    /// Every process of the node stood still for its part of a [`SLOW_PERIOD`].
    Slowed,
    /// The network has changed.
    Linked {
        /// Packets that partitions and silences had dropped by then, since `go`.
        cut: u64,
    },
}

/// How long a program may take to stop politely.
pub const STOP_GRACE: Nanos = Nanos::from_secs(10);

/// One line of the fault schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Change the network.
    Link(Change),
    /// Control a node's program.
    Process {
        node: NodeId,
        /// What is done.
        op: ProcessOp,
    },
}

impl Action {
    /// Whom it empties, so that the next start is that of a new node.
    pub fn wipes(&self) -> Option<NodeId> {
        match self {
            Action::Process {
                node,
                op: ProcessOp::Wipe,
            } => Some(*node),
            Action::Process { .. } | Action::Link(_) => None,
        }
    }
}

/// An action and when it is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Since `go`.
    pub at: Nanos,
    pub action: Action,
}

/// Bytes of a [`Secret`]: nobody guesses one of 128 bits.
pub const SECRET_BYTES: usize = 16;

/// By which the fabric knows a node's gate: whoever else reaches its socket, as a program that the
/// engine runs beside the gate may, cannot claim a node. Made for one run; fabric and gate alone are
/// told, by ways on which nothing that runs in the node can listen.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A file that a node has before its program starts, and again when the node is emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Absolute; folders on the way are made.
    pub path: String,
    /// Permissions.
    pub mode: u16,
    /// Whose it is, as `user`, `user:group` or numbers; `None` is the program's user.
    #[serde(default)]
    pub owner: Option<String>,
    /// What is in it.
    #[serde(with = "content")]
    pub bytes: Vec<u8>,
}

/// Bytes in JSON: text, or a list of bytes where they are no text.
mod content {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) if serializer.is_human_readable() => text.serialize(serializer),
            _ => bytes.serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if !deserializer.is_human_readable() {
            return Vec::deserialize(deserializer);
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => text.into_bytes(),
            Written::Bytes(bytes) => bytes,
        })
    }
}

/// Bytes of all files of one node.
pub const NODE_FILES_BYTES_MAX: usize = 16 << 20;
/// Bytes of one [`ToGate::File`] piece.
pub const GATE_PIECE_BYTES_MAX: usize = 32 << 10;

/// From the harness, on the control stream. Order: any `NodeFiles`, one `Setup`, any `File`s, one `Go`, then
/// the rest; a `Heartbeat` at any time. The end of the stream ends the fabric, and with it every node, and
/// so does silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToFabric {
    /// The fabric then listens for gates.
    Setup {
        network: Box<Network>,
        /// Of each node's gate.
        secrets: Vec<Secret>,
    },
    /// A piece of a file that nodes may read as `SHARED_DIR/name`; pieces are appended in order.
    File {
        /// A plain file name.
        name: String,
        /// At most [`FILE_PIECE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// Start every node whose index is in `start`, now; apply the fault schedule from now on.
    /// The instant at which this is carried out is time zero.
    Go {
        /// Which nodes run from the start.
        start: Vec<NodeId>,
        /// Sorted by time.
        schedule: Vec<Timed>,
    },
    /// Apply an action at once; answered by [`FromFabric::Applied`] with this tag.
    Apply {
        /// Chosen by the harness, from [`APPLY_TAG_MIN`] up.
        tag: u32,
        action: Action,
    },
    /// Ask for [`FromFabric::Counters`] now.
    Count,
    /// Ask the gate of a node for [`FromFabric::Usage`].
    Usage {
        node: NodeId,
        /// Whether its memory is wanted, which takes the kernel longer than all else.
        memory: bool,
    },
    /// The harness is still there: see [`HEARTBEAT_INTERVAL`].
    Heartbeat,
    /// After `Go`: there is one node more, with the next id, whose gate may come now. Its program does not
    /// run until it is started. It is on no side of partitions that are in force.
    Join {
        link: NodeLink,
        /// Of its gate.
        secret: Secret,
    },
    /// A node is removed: where its gate has not come it may not come any more.
    Forget { node: NodeId },
    /// What a node has before its program starts: before the `Setup`, or the `Join`, that names the node.
    NodeFiles {
        node: NodeId,
        /// At most [`NODE_FILES_BYTES_MAX`].
        files: Vec<NodeFile>,
    },
}

/// Tags below this are indices into the fault schedule.
pub const APPLY_TAG_MIN: u32 = 1 << 31;

/// To the harness, on the control stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromFabric {
    /// `Setup` is done: gates may connect.
    Listening,
    /// This node's gate is open: address set, TUN in hand, waiting for `go`.
    GateOpen { node: NodeId },
    /// This node's gate has gone (its container died), or could not open.
    GateLost {
        /// When; zero before `go`.
        t: Nanos,
        node: NodeId,
        reason: String,
    },
    /// `Go` was carried out.
    Gone {
        /// Wall clock at time zero, nanoseconds since the Unix epoch.
        unix_nanos: u64,
    },
    /// An action took effect.
    Applied {
        /// When it did.
        t: Nanos,
        /// Index into the fault schedule, or the tag of an `Apply`.
        tag: u32,
        /// What was seen of it, or why it had no effect.
        result: Result<Seen, String>,
    },
    /// A node's program ended.
    Exited {
        t: Nanos,
        node: NodeId,
        /// Exit code, or minus the signal.
        status: i32,
        /// Whether a `ProcessOp` asked for it.
        asked: bool,
    },
    /// Counters of every node, sums since `go`.
    Counters {
        t: Nanos,
        /// One row per node.
        nodes: Vec<NodeCounters>,
        /// How late packets were delivered, since the last `Counters`.
        lateness: Lateness,
        /// CPU time of the fabric since it started.
        cpu: Nanos,
    },
    /// What a node's gate measured in its own namespace.
    Usage {
        t: Nanos,
        node: NodeId,
        usage: NodeUsage,
    },
    /// The fabric cannot go on, and ends.
    Failed { reason: String },
}

/// Traffic of one node on the emulated wire: IP packets with headers and framing, after TCP
/// segmentation. A packet is counted at its sender when sent, and at its receiver when delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCounters {
    /// Sent, before any drop.
    pub tx_packets: u64,
    /// Sent, before any drop.
    pub tx_bytes: u64,
    /// Delivered.
    pub rx_packets: u64,
    /// Delivered.
    pub rx_bytes: u64,
    /// As the kernel's interface counters have it: bytes read from the node's TUN device,
    /// before segmentation and without framing.
    pub device_tx_bytes: u64,
    /// Likewise, bytes written to the node's TUN device.
    pub device_rx_bytes: u64,
    /// Packets of this sender that were dropped, by [`DropReason`] in its order.
    #[serde(deserialize_with = "drops_by_reason")]
    pub drops: [u64; DropReason::COUNT],
}

/// Why a packet was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    Loss,
    /// The sender's access queue was full (tail drop).
    QueueUp,
    /// The receiver's access queue was full (tail drop).
    QueueDown,
    /// A partition lay between the two.
    Partition,
    /// One of the two was silenced.
    Silence,
    /// No node has the destination address, or it is not IPv4, or it is malformed.
    Unroutable,
    /// The receiver's device did not take it, or its gate is gone.
    Device,
    /// The fabric held as many bytes as it may: the host, not the emulated network, is short.
    Overload,
    /// The source address is another's than the sender's: a node sends only as itself.
    ForeignSource,
}

impl NodeCounters {
    /// Packets of this sender that partitions and silences dropped.
    pub fn cut(&self) -> u64 {
        self.drops[DropReason::Partition as usize] + self.drops[DropReason::Silence as usize]
    }
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = 9;
    /// All of them, with the names that reports and metrics give them.
    pub const NAMED: [(DropReason, &'static str); DropReason::COUNT] = [
        (DropReason::Loss, "loss"),
        (DropReason::QueueUp, "queue_up"),
        (DropReason::QueueDown, "queue_down"),
        (DropReason::Partition, "partition"),
        (DropReason::Silence, "silence"),
        (DropReason::Unroutable, "unroutable"),
        (DropReason::Device, "device"),
        (DropReason::Overload, "overload"),
        (DropReason::ForeignSource, "foreign_source"),
    ];
}

/// Reads counters by reason; older records have fewer reasons.
fn drops_by_reason<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u64; DropReason::COUNT], D::Error> {
    struct Reasons;
    impl<'de> Visitor<'de> for Reasons {
        type Value = [u64; DropReason::COUNT];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {} counters", DropReason::COUNT)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut counters: A) -> Result<Self::Value, A::Error> {
            let mut drops = [0; DropReason::COUNT];
            for drop in &mut drops {
                let Some(count) = counters.next_element()? else {
                    break;
                };
                *drop = count;
            }
            Ok(drops)
        }
    }
    deserializer.deserialize_tuple(DropReason::COUNT, Reasons)
}

/// How late packets left the fabric, against the instant the model gave; and how late it read
/// them, where that was later than it looks up anyway (which counts as another packet).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// Packets that had an instant (not those passed on at once).
    pub packets: u64,
    /// Of these, the ones that left later than [`Lateness::LATE`]. Unlike quantiles these add up.
    pub late: u64,
    /// Median.
    pub p50: Nanos,
    /// 99th percentile.
    pub p99: Nanos,
    /// Latest.
    pub max: Nanos,
    /// Time in which the fabric got no CPU, as the sum of all stretches longer than
    /// [`Lateness::LATE`]. While it is away streams stand still, so that few packets are late
    /// though the whole network was.
    #[serde(default)]
    pub away: Nanos,
}

impl Lateness {
    /// A packet is late beyond this: a tenth of a round trip between continents, and below the
    /// least round trip of the `internet-2019` preset (11 ms).
    pub const LATE: Nanos = Nanos::from_millis(10);
}

/// What a gate measured in its node's namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUsage {
    /// Kernel's interface counters of the TUN device, seen from the node: bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets (or trains) that came and that the kernel dropped.
    #[serde(default)]
    pub rx_dropped: u64,
    /// Packets (or trains) that were sent and that the device dropped, since its queue was full: the
    /// fabric did not read in time, and knows nothing of them.
    #[serde(default)]
    pub tx_dropped: u64,
    /// Proportional set size of the node's processes, bytes (without the gate); `None` where it was not
    /// asked for.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// CPU time of the node's processes, user and system.
    pub cpu: Nanos,
    /// Time in which their threads could have run and had no CPU, summed; `None` where the kernel
    /// does not tell. What a thread waited between the last look at it and its end is left out.
    #[serde(default)]
    pub waited: Option<Nanos>,
    /// CPU time of the gate itself since `go`, which is none of the node's.
    #[serde(default)]
    pub gate_cpu: Nanos,
}

/// First message of a further stream, from the harness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StreamOpen {
    /// A TCP connection to 127.0.0.1:`port` in a node's namespace, or to its address where nobody listens
    /// there.
    Dial {
        /// Whose namespace.
        node: NodeId,
        /// TCP port.
        port: u16,
    },
    /// What comes of a program that is run beside a node's own and as its user: one [`Ran`], or
    /// nothing where it took too long and was ended.
    Run {
        /// Beside whose.
        node: NodeId,
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// The packets of nodes from now on: [`FromCapture`]s, the last of which is an end, once the harness
    /// closes its half of the stream.
    Capture {
        /// Whose.
        nodes: Vec<NodeId>,
        /// Of all of them together; what is beyond is counted only.
        bytes_max: u64,
    },
    /// A program beside a node's own and as its user, whose standard streams are this one, for as long as
    /// both last.
    Talk {
        /// Beside whose.
        node: NodeId,
        /// The program and its arguments.
        command: Vec<String>,
        /// What it is to find at its streams; `None` is no terminal.
        terminal: Option<Terminal>,
    },
    /// All that a node has written, as long as its program is down: [`ArchivePiece`]s, the last of which is
    /// an end.
    Archive {
        /// Whose.
        node: NodeId,
    },
    /// The same the other way, before `Go` or as long as the node's program is down: pieces and an end,
    /// answered by an end, which tells what was unpacked.
    Restore {
        /// Whose.
        node: NodeId,
    },
    /// The digest of a file of a node, as its program's user reads it, while its program runs: one
    /// [`Digested`], or nothing where it took too long.
    Digest {
        /// Whose.
        node: NodeId,
        /// From the node's root on.
        path: String,
        /// How the file was when its digest was last made, if that is known.
        unless: Option<FileStamp>,
    },
}

/// Longest file of which a digest is made, bytes: a core is busy with it for some half a second.
pub const DIGESTED_BYTES_MAX: u64 = 256 << 20;

/// By which it is known that a file was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    pub inode: u64,
    pub bytes: u64,
    /// When the file or what is known of it was last changed: seconds and nanoseconds.
    pub changed: (i64, i64),
}

/// What came of making the digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Digested {
    /// There is no such file.
    Absent,
    /// It is as it was.
    Unchanged,
    Digest {
        sha256: [u8; 32],
        /// `None` where it was changed so lately that the next change might not show by it.
        stamp: Option<FileStamp>,
    },
    /// Why there is none, for people.
    Refused(String),
}

/// Bytes of one [`ArchivePiece::Bytes`].
pub const ARCHIVE_PIECE_BYTES_MAX: usize = 64 << 10;

/// On the stream of an archive, in either direction. One that ends without an [`ArchivePiece::End`] has
/// broken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArchivePiece {
    /// A piece of the archive: a tar of paths below the node's root.
    Bytes(Vec<u8>),
    /// The last: what was in it, or why it is no whole archive.
    End(Result<Archived, String>),
}

/// What an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Files, folders, links, and what was removed of an image.
    pub entries: u64,
    /// Of all files together.
    pub bytes: u64,
}

/// A terminal that somebody sits at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    pub rows: u16,
    pub columns: u16,
    /// As `TERM` has it.
    pub name: String,
}

/// On the stream of a capture: from the fabric to the harness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCapture {
    Packet(CapturedPacket),
    /// The last.
    End {
        /// Packets that were left out, of each of the nodes in the order of the request.
        left_out: Vec<u64>,
    },
}

/// A packet at a node's device: as the node sent it, whatever becomes of it then, or as it was delivered
/// to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedPacket {
    /// When it was read from the device, or written to it.
    pub t: Nanos,
    /// At whose device.
    pub node: NodeId,
    pub direction: Direction,
    /// From its IP header on, whole, with its checksums.
    pub bytes: Vec<u8>,
}

/// Which way a packet goes, as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Sent,
    Received,
}

/// Bytes of [`Ran::output`] and [`Ran::errors`], at most; the program may have written more.
pub const RAN_BYTES_MAX: usize = 8 << 10;

/// What came of a program that was run beside a node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Exit code, or minus the signal.
    pub status: i32,
    /// The beginning of what it wrote to its standard output.
    pub output: Vec<u8>,
    /// The beginning of what it wrote to its standard error, or why it could not be started.
    pub errors: Vec<u8>,
}

/// Answer to [`StreamOpen`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StreamAnswer {
    /// The stream is now the connection.
    Open,
    /// Why not, for people (connection refused, gate gone, ...).
    Refused(String),
}

/// From a gate to the fabric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromGate {
    /// First packet. A second claim of the same node is refused, and one without its secret.
    Hello {
        /// Who this gate is.
        node: NodeId,
        secret: Secret,
    },
    /// The device is up; its descriptor is beside this packet.
    Tun,
    /// The gate could not open, and ends.
    Failed { reason: String },
    /// Answer to [`ToGate::Dial`], [`ToGate::Run`], [`ToGate::Talk`], [`ToGate::Archive`],
    /// [`ToGate::Restore`] and [`ToGate::Digest`]; on success the socket is beside this packet.
    Dialed {
        id: u32,
        /// `errno`, or zero.
        errno: i32,
    },
    /// Answer to [`ToGate::Process`].
    Done {
        tag: u32,
        /// What was seen of it, or why it had no effect.
        result: Result<Seen, String>,
    },
    Exited {
        /// Exit code, or minus the signal.
        status: i32,
        /// Whether a [`ToGate::Process`] asked for it.
        asked: bool,
    },
    /// Answer to [`ToGate::Usage`].
    Usage(NodeUsage),
}

/// From the fabric to a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToGate {
    /// Answer to `Hello`, after all files: open the device with this address.
    Configure {
        /// The node's address.
        ip: std::net::Ipv4Addr,
        /// Prefix length of the one on-link network.
        prefix: u8,
        /// Largest IP packet, bytes.
        mtu: u16,
    },
    /// Start (`run`), or stay idle until a `Process` starts the program.
    Go {
        /// Whether the program starts now.
        run: bool,
    },
    /// Control the program.
    Process {
        /// Echoed in [`FromGate::Done`].
        tag: u32,
        op: ProcessOp,
    },
    /// Connect to 127.0.0.1:`port`, or to the node's address where that is refused, and pass the socket.
    Dial {
        /// Echoed in [`FromGate::Dialed`].
        id: u32,
        /// TCP port.
        port: u16,
    },
    /// Run a program and pass a socket from which one [`Ran`] comes, as on the harness' stream;
    /// answered by [`FromGate::Dialed`].
    Run {
        /// Echoed there.
        id: u32,
        /// The program and its arguments.
        command: Vec<String>,
    },
    Usage {
        /// As in [`ToFabric::Usage`].
        memory: bool,
    },
    /// Start a program and pass a socket that its standard streams are; answered by [`FromGate::Dialed`].
    Talk {
        /// Echoed there.
        id: u32,
        /// The program and its arguments.
        command: Vec<String>,
        /// As in [`StreamOpen::Talk`].
        terminal: Option<Terminal>,
    },
    /// Pass a socket from which all comes that the node has written, as on the harness' stream; answered by
    /// [`FromGate::Dialed`].
    Archive {
        /// Echoed there.
        id: u32,
    },
    /// Likewise, a socket to which all goes that the node is to begin with.
    Restore {
        /// Echoed there.
        id: u32,
    },
    /// Likewise, a socket from which one [`Digested`] comes, as on the harness' stream.
    Digest {
        /// Echoed there.
        id: u32,
        /// As in [`StreamOpen::Digest`].
        path: String,
        /// Likewise.
        unless: Option<FileStamp>,
    },
    /// After `Hello`, before `Configure`: a piece of a file that is to be there before the program.
    File {
        /// The file that begins, without its bytes; `None` goes on with the one before.
        head: Option<NodeFile>,
        /// At most [`GATE_PIECE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
}

/// A message could not be read.
#[derive(Debug, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(#[from] postcard::Error);

/// Encodes a message, without a length.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // These types hold no map or unsized sequence, so postcard cannot refuse them.
    postcard::to_stdvec(message).unwrap_or_default()
}

/// Decodes one whole message.
///
/// # Errors
/// When the bytes are no such message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    Ok(postcard::from_bytes(bytes)?)
}
