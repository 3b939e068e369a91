//! What can be asked of a node, step by step, as
//! [`peerlab_core::experiment::Ability`] names the steps. That a node is up shows by its answer.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use peerlab_link::NodeId;
use peerlab_link::proto::{Digested, FileStamp, Ran};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::ProbeError;
use peerlab_core::conduct::{BlockFacts, Said};
use peerlab_core::event::{LedgerState, PeerSums};
use peerlab_core::ledger::Payment;

/// What comes of asking.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ProbeError>>;

/// A connection to a node's probe. One question at a time; dropping it closes the connection.
pub trait Probe: Send {
    /// What the node says now.
    fn said(&mut self) -> Answer<'_, Said>;

    /// What it says, as soon as it is something else than `known`, or after `timeout`.
    fn said_after<'a>(&'a mut self, known: &'a Said, timeout: Duration) -> Answer<'a, Said>;

    /// Where the node has a chain that can be read.
    fn chain(&mut self) -> Option<&mut dyn Chain> {
        None
    }

    /// Where the node has a ledger that can be worked on.
    fn ledger(&mut self) -> Option<&mut dyn Ledger> {
        None
    }

    /// Where the node has methods that people call by their names.
    fn methods(&mut self) -> Option<&mut dyn Methods> {
        None
    }
}

/// A node that answers methods by their names.
pub trait Methods: Send {
    /// What a method answers.
    fn ask<'a>(&'a mut self, method: &'a str, params: Value) -> Answer<'a, Value>;
}

/// A node that has a chain of blocks.
pub trait Chain: Send {
    /// What is known about a block.
    fn block<'a>(&'a mut self, hash: &'a str) -> Answer<'a, BlockFacts>;

    /// What the node has exchanged over its connections, and how many it has.
    fn peers(&mut self) -> Answer<'_, PeerSums>;

    /// Its connections, each by itself.
    fn connections(&mut self) -> Answer<'_, Vec<Connection>>;
}

/// A connection between two nodes, as one of them tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The other's address; `None` where the program tells none that can be read.
    pub other: Option<IpAddr>,
    /// Whether the other opened it.
    pub inbound: bool,
}

/// A node that has a ledger.
pub trait Ledger: Send {
    /// Has it mine one block, and gives the block's hash. Each miner is paid to an address of its
    /// own.
    fn mine(&mut self, miner: NodeId) -> Answer<'_, String>;

    /// Submits a transaction; an error where the node refuses it.
    fn submit<'a>(&'a mut self, payment: &'a Payment) -> Answer<'a, ()>;

    /// The state of the ledger.
    fn state(&mut self) -> Answer<'_, LedgerState>;
}

/// How a probe reaches into a node's namespaces.
pub trait Reach: Send + Sync + 'static {
    /// One duplex byte stream.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// A TCP connection to 127.0.0.1:`port` there, or to the node's address.
    fn dial(&self, port: u16) -> Answer<'_, Self::Stream>;

    /// What comes of a program that is run there, beside the node's own.
    fn run<'a>(&'a self, command: &'a [String]) -> Answer<'a, Ran>;

    /// The last whole lines that the node's program has written since it was started.
    fn written(&self) -> Answer<'_, String>;

    /// The digest of a file there, unless the file is still as it was.
    fn digest<'a>(&'a self, path: &'a str, unless: Option<FileStamp>) -> Answer<'a, Digested>;
}
