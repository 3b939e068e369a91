//! Which nodes' gates are there, and which connections were asked of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use peerlab_link::NodeId;
use peerlab_link::proto::{Secret, ToGate};
use tokio::sync::oneshot;

use crate::gate_link::GateLink;

/// A connected socket, or why there is none.
pub(super) type Dialed = Result<OwnedFd, String>;

#[derive(Debug)]
struct Slot {
    /// Of the node's gate, until that has come: a node is claimed once and for all.
    secret: Option<Secret>,
    link: Option<Arc<GateLink>>,
    dials: BTreeMap<u32, oneshot::Sender<Dialed>>,
    dials_begun: u32,
}

impl Slot {
    fn new(secret: Secret) -> Slot {
        Slot {
            secret: Some(secret),
            link: None,
            dials: BTreeMap::new(),
            dials_begun: 0,
        }
    }
}

/// All nodes. Used by the control thread only.
#[derive(Debug)]
pub(super) struct GateTable {
    slots: RefCell<Vec<Slot>>,
}

impl GateTable {
    /// No gate is there yet; these are the secrets by which each will be known.
    pub(super) fn new(secrets: Vec<Secret>) -> GateTable {
        GateTable {
            slots: RefCell::new(secrets.into_iter().map(Slot::new).collect()),
        }
    }

    /// There is one node more, with the next id.
    pub(super) fn add(&self, secret: Secret) {
        self.slots.borrow_mut().push(Slot::new(secret));
    }

    /// Somebody says that it is this node's gate; whether it is.
    pub(super) fn claim(&self, node: NodeId, secret: Secret) -> bool {
        match self.slots.borrow_mut().get_mut(node.index()) {
            Some(slot) if slot.secret == Some(secret) => {
                slot.secret = None;
                true
            }
            _ => false,
        }
    }

    /// No gate of this node may come any more.
    pub(super) fn forget(&self, node: NodeId) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(node.index()) {
            slot.secret = None;
        }
    }

    /// Whether no gate is to come any more.
    pub(super) fn all_claimed(&self) -> bool {
        self.slots.borrow().iter().all(|slot| slot.secret.is_none())
    }

    /// A gate is open.
    pub(super) fn open(&self, node: NodeId, link: Arc<GateLink>) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(node.index()) {
            slot.link = Some(link);
        }
    }

    /// A gate is gone, and with it every connection that was asked of it.
    pub(super) fn lose(&self, node: NodeId) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(node.index()) {
            slot.link = None;
            slot.dials.clear();
        }
    }

    /// Sends a message to an open gate.
    pub(super) fn send(&self, node: NodeId, message: &ToGate) -> Result<(), String> {
        let slots = self.slots.borrow();
        let link = slots.get(node.index()).and_then(|slot| slot.link.as_ref());
        let link = link.ok_or_else(|| format!("the gate of node {node} is not open"))?;
        let sent = link.send(message);
        sent.map_err(|e| format!("the gate of node {node} cannot be told: {e}"))
    }

    /// Asks a gate for a connection, with a message that has this number.
    pub(super) async fn dial(&self, node: NodeId, ask: impl FnOnce(u32) -> ToGate) -> Dialed {
        let (id, answer) = self.expect_dial(node)?;
        let asked = self.send(node, &ask(id));
        if let Err(reason) = asked {
            self.dialed(node, id, Err(reason));
        }
        let gone = || Err(format!("the gate of node {node} is gone"));
        answer.await.unwrap_or_else(|_| gone())
    }

    /// A gate answered. An answer that nobody waits for is dropped.
    pub(super) fn dialed(&self, node: NodeId, id: u32, answer: Dialed) {
        let mut slots = self.slots.borrow_mut();
        let waiting = slots
            .get_mut(node.index())
            .and_then(|slot| slot.dials.remove(&id));
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    fn expect_dial(&self, node: NodeId) -> Result<(u32, oneshot::Receiver<Dialed>), String> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots
            .get_mut(node.index())
            .ok_or_else(|| format!("there is no node {node}"))?;
        let id = slot.dials_begun;
        slot.dials_begun = id.wrapping_add(1);
        let (sender, receiver) = oneshot::channel();
        // Who does not wait any more needs no answer.
        slot.dials.retain(|_, waiting| !waiting.is_closed());
        slot.dials.insert(id, sender);
        Ok((id, receiver))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use peerlab_link::proto::{GATE_MESSAGE_BYTES_MAX, SECRET_BYTES};
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};

    use super::*;

    /// It would end with it, and its node.
    #[test]
    fn a_gate_is_sent_nothing_that_is_too_long() {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (fabric, gate) = socketpair(family, kind, SocketFlags::NONBLOCK, None).unwrap();
        let table = GateTable::new(vec![Secret([0; SECRET_BYTES])]);
        table.open(NodeId(0), Arc::new(GateLink::new(Arc::new(fabric))));
        let words = |length: usize| {
            let command = vec!["echo".to_owned(), "x".repeat(length)];
            move |id| ToGate::Run { id, command }
        };
        let dialed = table.dial(NodeId(0), words(GATE_MESSAGE_BYTES_MAX));
        let reason = dialed.now_or_never().expect("at once").unwrap_err();
        assert!(reason.contains("Message too long"), "{reason}");
        let mut bytes = vec![0; 2 * GATE_MESSAGE_BYTES_MAX];
        assert!(recv(&gate, &mut bytes, RecvFlags::empty()).is_err());
        drop(gate);
    }
}
