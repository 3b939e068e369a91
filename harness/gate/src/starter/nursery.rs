//! The process of which gates are made, where a node has no image: it has little more than a node's root,
//! and few descriptors. So a gate inherits nothing that it would have to give up first, as a child of the
//! starter's would: a mount of each image, the old root, a descriptor for the log of every other node.
//!
//! It keeps no books and waits for nobody: what it makes are the starter's own children.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use peerlab_link::NodeId;
use peerlab_link::proto::{GATE_MESSAGE_BYTES_MAX, decode, encode};
use peerlab_link::starter::NodeSpec;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    socketpair,
};
use rustix::stdio::{dup2_stdin, stdin};
use rustix::thread::UnshareFlags;

use super::child::{self, EXIT_FAILED, Origin};
use super::roots::{NODE_ROOT, bind, enter};
use crate::{gate, program};

/// Nodes that may be asked for and not yet made: far fewer than there is room for in the socket, both ways.
const ASKED_MAX: usize = 64;

/// The starter's end of it.
pub struct Nursery {
    socket: OwnedFd,
    /// Those that were asked for, in their order, with their names.
    asked: VecDeque<(NodeId, String)>,
    /// Those that were made, and the number of each gate.
    made: Vec<(NodeId, libc::pid_t)>,
}

impl Nursery {
    /// Makes the process; the roots must be there.
    ///
    /// # Errors
    /// When the kernel makes no process.
    pub fn open() -> Result<Nursery> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .context("cannot make a socket")?;
        // SAFETY: this process has a single thread, so the child may do what any program may.
        match unsafe { libc::fork() } {
            0 => std::process::exit(match serve(&theirs) {
                Ok(()) => 0,
                Err(error) => {
                    gate::log(&format!("{error:#}"));
                    EXIT_FAILED
                }
            }),
            pid if pid > 0 => Ok(Nursery {
                socket: ours,
                asked: VecDeque::new(),
                made: Vec::new(),
            }),
            _ => Err(io::Error::last_os_error()).context("cannot make a process"),
        }
    }

    /// Has a child of this process made, which becomes a node's gate; what that and its program write goes
    /// to `log`. A node of an image needs what only the starter has, and very long arguments fit no
    /// packet: these are made here.
    ///
    /// # Errors
    /// When the kernel makes no process, or the nursery is gone.
    pub fn start_node(&mut self, spec: &NodeSpec, log: &OwnedFd) -> Result<()> {
        let request = encode(spec);
        if spec.image.is_some() || request.len() > GATE_MESSAGE_BYTES_MAX {
            let made = child::start_node(spec, log, Origin::Starter);
            let pid = made.with_context(|| cannot(&spec.name))?;
            self.made.push((spec.node, pid));
            return Ok(());
        }
        if self.asked.len() >= ASKED_MAX {
            self.hear()?;
        }
        self.ask(&request, log)
            .with_context(|| cannot(&spec.name))?;
        self.asked.push_back((spec.node, spec.name.clone()));
        Ok(())
    }

    /// Waits for those that were asked for, and gives all that were made meanwhile, with the number of each
    /// gate.
    ///
    /// # Errors
    /// When the kernel makes no process, or the nursery is gone.
    pub fn made(&mut self) -> Result<Vec<(NodeId, libc::pid_t)>> {
        while !self.asked.is_empty() {
            self.hear()?;
        }
        Ok(std::mem::take(&mut self.made))
    }

    fn ask(&self, request: &[u8], log: &OwnedFd) -> io::Result<()> {
        let descriptors = [log.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let request = [IoSlice::new(request)];
        sendmsg(&self.socket, &request, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Takes the next answer in.
    fn hear(&mut self) -> Result<()> {
        if let Some((node, name)) = self.asked.pop_front() {
            let pid = self.answer().with_context(|| cannot(&name))?;
            self.made.push((node, pid));
        }
        Ok(())
    }

    fn answer(&self) -> io::Result<libc::pid_t> {
        let mut answer = [0; size_of::<i32>()];
        let (length, _) = retry_on_intr(|| recv(&self.socket, &mut answer, RecvFlags::empty()))?;
        if length < answer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match i32::from_ne_bytes(answer) {
            pid if pid > 0 => Ok(pid),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }
}

fn cannot(name: &str) -> String {
    format!("cannot make a process for {name}")
}

/// The process, as long as the starter wants it. Its standard input is the socket.
fn serve(socket: &OwnedFd) -> Result<()> {
    dup2_stdin(socket).context("cannot keep the socket")?;
    program::close_inherited();
    // SAFETY: this process has a single thread, and shares no descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .context("cannot make a mount namespace")?;
    // A node may mount its own only beside one, and does so on top of this one.
    bind("/proc", &format!("{NODE_ROOT}/proc"))?;
    enter(NODE_ROOT)?;
    let mut buffer = vec![0; GATE_MESSAGE_BYTES_MAX];
    while let Some((spec, log)) = receive(&mut buffer)? {
        let made = child::start_node(&spec, &log, Origin::Nursery);
        let answer = made.unwrap_or_else(|e| -e.raw_os_error().unwrap_or(libc::EIO));
        send(stdin(), &answer.to_ne_bytes(), SendFlags::NOSIGNAL)
            .context("cannot answer the starter")?;
    }
    Ok(())
}

/// The next node and its log, unless the starter is gone.
fn receive(buffer: &mut [u8]) -> Result<Option<(NodeSpec, OwnedFd)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let packet = retry_on_intr(|| {
        let mut into = [IoSliceMut::new(buffer)];
        recvmsg(stdin(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)
    });
    let length = match packet {
        Ok(packet) if packet.bytes > 0 => packet.bytes,
        Ok(_) | Err(Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(error).context("cannot hear the starter"),
    };
    let log = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let spec = decode(&buffer[..length]).context("from the starter")?;
    Ok(Some((spec, log.context("a node came without its log")?)))
}
