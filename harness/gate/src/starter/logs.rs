//! What gates and programs write: a pipe for each node, which the starter reads as long as it lives, and
//! of which it keeps the end. So nobody waits for room, or is refused it, because another wrote much.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use peerlab_link::NodeId;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Bytes of each log's end that are kept.
const LOG_BYTES_KEPT: usize = 256 << 10;
/// Bytes read from a node at once: all that a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Nodes that are read before the starter looks at anything else.
const READS_AT_ONCE: usize = 64;
/// Asks without waiting.
const NO_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The logs of all nodes.
pub struct Logs {
    /// Can be read when one of the pipes can.
    readable: OwnedFd,
    nodes: BTreeMap<NodeId, Log>,
    buffer: Box<[u8]>,
}

struct Log {
    /// Until nobody can write any more.
    pipe: Option<OwnedFd>,
    kept: VecDeque<u8>,
    /// Bytes that were read before those that are kept.
    left_out: u64,
}

impl Logs {
    /// There is none yet.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn new() -> Result<Logs> {
        Ok(Logs {
            readable: epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot read logs")?,
            nodes: BTreeMap::new(),
            buffer: vec![0; READ_BYTES].into(),
        })
    }

    /// Begins a node's log, and gives the end to write to.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn begin(&mut self, node: NodeId) -> Result<OwnedFd> {
        let (pipe, written) = pipe_with(PipeFlags::CLOEXEC)?;
        // For the starter alone: a program does not expect to be refused.
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(node.0.into());
        epoll::add(&self.readable, &pipe, data, epoll::EventFlags::IN)?;
        let log = Log {
            pipe: Some(pipe),
            kept: VecDeque::new(),
            left_out: 0,
        };
        self.nodes.insert(node, log);
        Ok(written)
    }

    /// Reads what was written meanwhile, from each node once at most: one that never stops writing
    /// does not keep the starter from the others.
    pub fn read(&mut self) {
        let mut events = Vec::with_capacity(READS_AT_ONCE);
        // Nothing is lost where this is refused: it is asked again.
        let _ = epoll::wait(&self.readable, spare_capacity(&mut events), Some(&NO_WAIT));
        for event in events {
            if let Some(log) = self.nodes.get_mut(&NodeId(event.data.u64() as u32)) {
                log.read(&mut self.buffer);
            }
        }
    }

    /// The end of what a node has written up to now, at most so many bytes, and how many bytes were
    /// written before that.
    pub fn tail(&mut self, node: NodeId, bytes_max: usize) -> (u64, Vec<u8>) {
        let Some(log) = self.nodes.get_mut(&node) else {
            return (0, Vec::new());
        };
        log.read(&mut self.buffer);
        let spare = log.kept.len().saturating_sub(bytes_max);
        let bytes = log.kept.range(spare..).copied().collect();
        (log.left_out + spare as u64, bytes)
    }
}

impl AsFd for Logs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl Log {
    fn read(&mut self, buffer: &mut [u8]) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        match rustix::io::read(pipe, &mut *buffer) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Closing it takes it from what is waited for.
            Ok(0) | Err(_) => self.pipe = None,
            Ok(count) => self.keep(&buffer[..count]),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let surplus = (self.kept.len() + bytes.len()).saturating_sub(LOG_BYTES_KEPT);
        self.kept.drain(..surplus);
        self.left_out += surplus as u64;
        self.kept.extend(bytes);
    }
}
