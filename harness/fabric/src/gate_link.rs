//! The sending half of a gate's socket, shared by the two threads: a message is one packet, so
//! neither can get into the other's. Sending never blocks.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerlab_link::proto::{GATE_MESSAGE_BYTES_MAX, ProcessOp, ToGate, encode};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

#[derive(Debug)]
pub(crate) struct GateLink {
    socket: Arc<OwnedFd>,
    /// Tags of process control that the gate has not answered.
    unanswered: Mutex<BTreeSet<u32>>,
}

impl GateLink {
    /// Sends over this socket (which another reads).
    pub(crate) fn new(socket: Arc<OwnedFd>) -> GateLink {
        GateLink {
            socket,
            unanswered: Mutex::default(),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the gate is gone, or has let its socket fill up, or would end because the message is too long.
    pub(crate) fn send(&self, message: &ToGate) -> io::Result<()> {
        let bytes = encode(message);
        if bytes.len() > GATE_MESSAGE_BYTES_MAX {
            return Err(Errno::MSGSIZE.into());
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        send(&self.socket, &bytes, flags)?;
        Ok(())
    }

    /// Sends a process control, and remembers that an answer is due.
    ///
    /// # Errors
    /// As [`GateLink::send`]; no answer is due then.
    pub(crate) fn control(&self, tag: u32, op: ProcessOp) -> io::Result<()> {
        self.unanswered().insert(tag);
        let sent = self.send(&ToGate::Process { tag, op });
        if sent.is_err() {
            self.unanswered().remove(&tag);
        }
        sent
    }

    /// The gate answered; whether this answer was due.
    pub(crate) fn answered(&self, tag: u32) -> bool {
        self.unanswered().remove(&tag)
    }

    /// The gate is gone: all answers that are still due.
    pub(crate) fn take_unanswered(&self) -> BTreeSet<u32> {
        std::mem::take(&mut *self.unanswered())
    }

    fn unanswered(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
