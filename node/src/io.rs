//! The whole boundary of the node on one screen. The machine is sans-IO: a driver (the tokio
//! daemon, or the simulator) feeds it [`Input`]s and carries out its [`Output`]s.
//!
//! Contract: call [`crate::Machine::handle`] with a time that never goes back, then drain
//! [`crate::Machine::poll_output`] until it returns `None`, before the next input. The machine
//! reads no clock, draws no randomness but from the seeded generator it was given, and never
//! iterates a hash map.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;

pub use crate::time::Time;
use crate::wire::Message;

/// What may wait to be sent on one connection, bytes: sixteen blocks of the largest size, which is
/// what an honest peer asks for at once, and then the connection is closed.
pub const SEND_BUFFER_BYTES_MAX: usize = 16 * 4_000_000;

/// Connections over `-maxconnections` that a driver accepts, so that the machine can choose whom to
/// keep. Later ones are closed at once.
pub const CONNECTIONS_SURPLUS: usize = 16;

/// An outbound connection on which nothing came for so long is probed by the driver's stream. A
/// half-open one, left by a partition in which only the other end had something to say, is then
/// noticed and dialled anew.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(20);

/// A connection. Chosen by the driver, never used again for the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection is open. For outbound ones `addr` is that of the [`Output::Connect`].
    Connected {
        /// Its name from now on.
        peer: PeerId,
        /// The other end.
        addr: SocketAddr,
        /// Whether the other end opened it.
        inbound: bool,
    },
    /// An [`Output::Connect`] came to nothing.
    ConnectFailed {
        /// As asked.
        addr: SocketAddr,
    },
    /// A whole message arrived. `wire_bytes` counts its header.
    Received {
        /// From whom.
        peer: PeerId,
        /// Decoded by `wire`.
        message: Message,
        /// Bytes on the wire, header included.
        wire_bytes: u32,
    },
    /// Part of a message arrived, and its rest is awaited: a slow peer is not a silent one. To be
    /// reported at most once a second per connection.
    Progress {
        /// From whom.
        peer: PeerId,
    },
    /// Bytes arrived that are no message; the machine answers with a disconnect.
    Malformed {
        /// From whom.
        peer: PeerId,
        /// What was wrong.
        reason: String,
    },
    /// A connection is closed, by either side or by the network.
    Disconnected {
        /// Which.
        peer: PeerId,
    },
    /// The time of the last [`Output::SetTimer`] has come (early wake-ups are harmless).
    Timer,
}

/// What the driver is to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a message. The machine does not see how fast a peer reads: a driver closes the
    /// connection of one that leaves more than [`SEND_BUFFER_BYTES_MAX`] unread. The connection is
    /// a stream that breaks (`Disconnected`) when what was sent stays unacknowledged for the
    /// `peer_timeout` of [`crate::Config`]: after TCP's own, much longer one a healed partition
    /// would have to wait for retransmissions that were doubled many times. Who opened it probes it
    /// after [`KEEPALIVE_AFTER`] without a word (TCP keep-alive), since only he can open it anew.
    Send {
        /// To whom.
        peer: PeerId,
        /// Encoded by `wire`.
        message: Message,
    },
    /// Open a TCP connection; answered by `Connected`, or by `ConnectFailed` at the latest after
    /// the `connect_timeout` of [`crate::Config`].
    Connect {
        /// To where.
        addr: SocketAddr,
    },
    /// Close a connection once what was sent before has left (a driver waits for that a second or
    /// two at most); answered by `Disconnected`.
    Disconnect {
        /// Which.
        peer: PeerId,
        /// The stated reason, for log and RPC.
        reason: String,
    },
    /// Wake the machine at this time. Replaces the time set before.
    SetTimer(Time),
    /// Something that RPC waiters, logs or the simulator want to know.
    Event(Event),
}

/// What the machine reports about itself.
#[derive(Clone, Debug)]
pub enum Event {
    /// The best block changed. By then it is stored durably.
    Tip {
        /// New best block.
        hash: BlockHash,
        /// Its height.
        height: u32,
        /// How many blocks were taken off the old branch.
        disconnected: u32,
    },
    /// A peer finished its handshake.
    PeerReady {
        /// Which.
        peer: PeerId,
    },
    /// A transaction entered the mempool.
    Transaction(Arc<bitcoin::Transaction>),
    /// The store failed: the node must end, since it can no longer keep its word.
    StoreFailed(String),
}
