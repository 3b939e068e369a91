//! The gate's end of the socket to the fabric: one message a packet, at most one descriptor
//! beside it. Never blocks; what cannot be sent yet waits in order.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use peerlab_link::proto::{FromGate, GATE_MESSAGE_BYTES_MAX, ToGate, decode, encode};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// A connection to the fabric.
pub struct FabricLink {
    socket: OwnedFd,
    waiting: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
}

/// What was read.
#[derive(Debug)]
pub enum Read {
    Message(ToGate),
    /// Nothing more for now.
    Nothing,
    /// The fabric is gone.
    Closed,
}

impl FabricLink {
    /// Connects, or says that the fabric is not there yet (`None`).
    ///
    /// # Errors
    /// When it cannot ever work.
    pub fn connect(path: &Path) -> Result<Option<FabricLink>> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .context("cannot open a unix socket")?;
        let address = SocketAddrUnix::new(path)
            .with_context(|| format!("{} is no socket path", path.display()))?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => Ok(Some(FabricLink {
                socket,
                waiting: VecDeque::new(),
            })),
            // Not made yet; made but not listening yet, or stale; its backlog full.
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN) => Ok(None),
            Err(e) => Err(e)
                .with_context(|| format!("cannot connect to the fabric at {}", path.display())),
        }
    }

    /// Sends a message as soon as the socket takes it, and its descriptor with it.
    ///
    /// # Errors
    /// When the fabric is gone.
    pub fn send(&mut self, message: &FromGate, descriptor: Option<OwnedFd>) -> Result<()> {
        self.waiting.push_back((encode(message), descriptor));
        self.flush()
    }

    /// Whether messages wait for the socket.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// When the fabric is gone.
    pub fn flush(&mut self) -> Result<()> {
        while let Some((bytes, descriptor)) = self.waiting.front() {
            match send_packet(self.socket.as_fd(), bytes, descriptor.as_ref()) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(Errno::AGAIN) => break,
                Err(e) => return Err(e).context("cannot send to the fabric"),
            }
        }
        Ok(())
    }

    /// Reads the next message.
    ///
    /// # Errors
    /// When the packet is no message, or too long.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        // With no room for descriptors, the kernel discards those that a packet carries.
        let mut no_descriptors = RecvAncillaryBuffer::default();
        let received = rustix::net::recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(buffer)],
            &mut no_descriptors,
            RecvFlags::CMSG_CLOEXEC,
        );
        match received {
            Ok(packet) if packet.flags.contains(ReturnFlags::TRUNC) => {
                bail!(
                    "the fabric sent a packet of more than {} bytes",
                    buffer.len()
                )
            }
            Ok(packet) if packet.bytes == 0 => Ok(Read::Closed),
            Ok(packet) => Ok(Read::Message(
                decode(&buffer[..packet.bytes]).context("from the fabric")?,
            )),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Read::Nothing),
            Err(Errno::CONNRESET) => Ok(Read::Closed),
            Err(e) => Err(e).context("cannot read from the fabric"),
        }
    }
}

impl AsFd for FabricLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A buffer that holds the longest packet.
pub fn packet_buffer() -> Vec<u8> {
    vec![0; GATE_MESSAGE_BYTES_MAX]
}

/// Sends one packet, with a descriptor if there is one.
fn send_packet(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<&OwnedFd>,
) -> rustix::io::Result<()> {
    let descriptors = descriptor.map(|d| [d.as_fd()]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags).map(drop)
}
