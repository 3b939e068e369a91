//! What a method works on, and what it comes to.

use bitcoin::Network;
use peerlab_node::Machine;
use peerlab_node::time::Time;
use serde_json::Value;

use super::error::RpcError;
use super::wait::TipWait;

/// The only network there is.
pub(super) const NETWORK: Network = Network::Regtest;

/// What a call works on. Effects on peers are left in the machine's outputs, to be carried out
/// by the caller afterwards.
pub struct Context<'a> {
    /// The node.
    pub machine: &'a mut Machine,
    /// The node's time.
    pub now: Time,
    /// When the daemon started.
    pub started: Time,
    /// This number and the next [`super::methods::NONCES_PER_CALL`] are this call's own: they make mined blocks
    /// differ.
    pub nonce: u64,
    /// Bytes that the store takes on disk.
    pub size_on_disk: u64,
    /// Set by a call that asks the daemon to stop.
    pub stop: bool,
}

/// What a call comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// This.
    Done(Value),
    /// The tip, once it is as wished.
    Wait(TipWait),
}

/// What a method comes to.
pub type Answer = Result<Reply, RpcError>;

/// A plain answer.
pub(super) fn done(value: impl Into<Value>) -> Answer {
    Ok(Reply::Done(value.into()))
}

/// An object without those of its members that are null.
pub(super) fn present(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}
