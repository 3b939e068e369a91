//! A gate's socket: each message one packet, with at most one descriptor beside it.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use peerlab_link::proto::{FromGate, GATE_MESSAGE_BYTES_MAX, decode};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::pollable::pollable;

/// The receiving half of a gate's socket.
#[derive(Debug)]
pub(super) struct GateSocket {
    fd: AsyncFd<Arc<OwnedFd>>,
}

impl GateSocket {
    /// Receives from this socket, which does not block.
    ///
    /// # Errors
    /// When it cannot be polled.
    pub(super) fn new(fd: Arc<OwnedFd>) -> io::Result<GateSocket> {
        let fd = pollable(fd, Interest::READABLE)?;
        Ok(GateSocket { fd })
    }

    /// The next message and its descriptor; `None` at the end.
    ///
    /// # Errors
    /// When the connection broke, or holds something that is no message.
    pub(super) async fn receive(&self) -> io::Result<Option<(FromGate, Option<OwnedFd>)>> {
        let receive = |fd: &Arc<OwnedFd>| receive_now(fd);
        self.fd.async_io(Interest::READABLE, receive).await
    }
}

fn receive_now(socket: &OwnedFd) -> io::Result<Option<(FromGate, Option<OwnedFd>)>> {
    // On the stack of the one control thread rather than kept for every gate.
    let mut bytes = [0u8; GATE_MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut receive = || recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC);
    let got = match receive() {
        // A gate that ended without having read all that was sent to it. The kernel says so once,
        // before what the gate had said, and its last words tell why it ended.
        Err(Errno::CONNRESET) => receive()?,
        got => got?,
    };
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.last();
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::other("its message is too long"));
    }
    let message = decode(&bytes[..got.bytes]).map_err(io::Error::other)?;
    Ok(Some((message, descriptor)))
}

#[cfg(test)]
mod tests {
    use peerlab_link::proto::encode;
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    use super::*;

    #[test]
    fn the_last_words_of_a_gate_that_had_not_read_all_are_heard() {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (fabric, gate) = socketpair(family, kind, SocketFlags::NONBLOCK, None).unwrap();
        let said = FromGate::Failed {
            reason: "no program".to_owned(),
        };
        send(&fabric, b"unread", SendFlags::empty()).unwrap();
        send(&gate, &encode(&said), SendFlags::empty()).unwrap();
        drop(gate);
        let (heard, _) = receive_now(&fabric).unwrap().unwrap();
        assert_eq!(heard, said);
        assert!(receive_now(&fabric).unwrap().is_none());
    }
}
