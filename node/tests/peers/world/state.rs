//! What the stage is made of: nodes, connections, and what is still to happen. Data only.

use std::net::SocketAddr;
use std::time::Duration;

use peerlab_node::io::PeerId;
use peerlab_node::time::Time;
use peerlab_node::wire::Message;
use peerlab_node::{Config, Machine};

/// When every story begins: later than the blocks of the common past.
pub const START: Time = Time(1_700_100_000_000_000_000);
/// Regtest's usual port.
pub const PORT: u16 = 18_444;

/// A node of the story: its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(pub usize);

impl Node {
    pub fn addr(self) -> SocketAddr {
        SocketAddr::from(([10, 0, (self.0 >> 8) as u8, (self.0 & 255) as u8 + 1], PORT))
    }
}

/// What a node is: a machine, or a puppet whose messages the story writes itself.
pub enum Role {
    Machine(Box<Machine>),
    Puppet(Vec<(PeerId, Message)>),
    Down,
}

pub struct Host {
    pub role: Role,
    pub(super) config: Config,
    /// Bytes to and from it are lost: the link is gone without a word.
    pub(super) silent: bool,
    pub(super) side: u32,
    pub(super) timer: Time,
    pub(super) next_peer: u64,
    /// Reasons for which it closed connections, with the other end.
    pub(super) closed: Vec<(SocketAddr, String)>,
    pub(super) tips: Vec<u32>,
}

/// One end of a connection.
pub type End = (Node, PeerId);

pub struct Link {
    pub(super) other: End,
    pub(super) addr: SocketAddr,
    /// The last thing sent through it arrives then.
    pub(super) busy_until: Time,
}

pub enum Piece {
    Message(Message),
    Bytes(Vec<u8>),
    Close,
}

/// What is still to happen.
pub enum WorldEvent {
    Arrive {
        at: End,
        from: End,
        what: Piece,
        sent: Time,
    },
    Dialled {
        from: Node,
        addr: SocketAddr,
        gives_up: Time,
    },
    DialFailed {
        from: Node,
        addr: SocketAddr,
    },
    Wake(Node),
    Break(End),
    KeepAlive(End),
}

/// Seconds.
pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
