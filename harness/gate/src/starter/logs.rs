//! What gates and programs write: a pipe for each node, which the starter reads as long as it lives, and
//! of which it keeps the end, with when it was read. So nobody waits for room, or is refused it, because
//! another wrote much.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use peerlab_link::NodeId;
use peerlab_link::starter::LogPiece;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of each log's end that are kept.
const LOG_BYTES_KEPT: usize = 256 << 10;
/// Bytes read from a node at once: all that a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Nodes that are read before the starter looks at anything else.
const READS_AT_ONCE: usize = 64;
/// What is read of a node within this time is one piece, milliseconds: lines are put into order by less.
const PIECE_MS: u64 = 5;
/// Pieces of a log whose instants are kept; those before have the earliest of these.
const PIECES_KEPT: usize = 4_096;
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
    /// Where pieces begin, counted from the first byte ever, and when they were read.
    pieces: VecDeque<(u64, u64)>,
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
            pieces: VecDeque::new(),
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

    /// The end of what a node has written up to now, at most so many bytes.
    pub fn tail(&mut self, node: NodeId, bytes_max: usize) -> Tail {
        let Some(log) = self.nodes.get_mut(&node) else {
            return Tail::default();
        };
        log.read(&mut self.buffer);
        log.tail(bytes_max)
    }
}

/// The end of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Bytes that were written before.
    pub left_out: u64,
    pub bytes: Vec<u8>,
    /// When they were read.
    pub read: Vec<LogPiece>,
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
            Ok(count) => self.keep(&buffer[..count], now_ms()),
        }
    }

    fn tail(&self, bytes_max: usize) -> Tail {
        let spare = self.kept.len().saturating_sub(bytes_max);
        let left_out = self.left_out + spare as u64;
        let piece = |&(begin, unix_ms): &(u64, u64)| LogPiece {
            at: begin.saturating_sub(left_out) as u32,
            unix_ms,
        };
        // The last that begins before what is given belongs to it.
        let before = self.pieces.partition_point(|(begin, _)| *begin <= left_out);
        Tail {
            left_out,
            bytes: self.kept.range(spare..).copied().collect(),
            read: self
                .pieces
                .range(before.saturating_sub(1)..)
                .map(piece)
                .collect(),
        }
    }

    fn keep(&mut self, bytes: &[u8], now_ms: u64) {
        let begin = self.left_out + self.kept.len() as u64;
        let last = self.pieces.back();
        if last.is_none_or(|(_, at)| now_ms.abs_diff(*at) >= PIECE_MS) {
            self.pieces.push_back((begin, now_ms));
        }
        let surplus = (self.kept.len() + bytes.len()).saturating_sub(LOG_BYTES_KEPT);
        self.kept.drain(..surplus);
        self.left_out += surplus as u64;
        self.kept.extend(bytes);
        let is_over = |next: Option<&(u64, u64)>| next.is_some_and(|(at, _)| *at <= self.left_out);
        while self.pieces.len() > PIECES_KEPT || is_over(self.pieces.get(1)) {
            self.pieces.pop_front();
        }
    }
}

fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    (now.tv_sec as u64)
        .saturating_mul(1_000)
        .saturating_add(now.tv_nsec as u64 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        Log {
            pipe: None,
            kept: VecDeque::new(),
            left_out: 0,
            pieces: VecDeque::new(),
        }
    }

    fn read(tail: &Tail) -> Vec<(u32, u64)> {
        let pieces = tail.read.iter();
        pieces.map(|piece| (piece.at, piece.unix_ms)).collect()
    }

    #[test]
    fn what_is_kept_says_when_it_was_read() {
        let mut log = log();
        log.keep(b"one\n", 1_000);
        log.keep(b"at once\n", 1_001);
        log.keep(b"two\n", 1_010);
        let tail = log.tail(1_000);
        assert_eq!(tail.bytes, b"one\nat once\ntwo\n");
        assert_eq!(
            (tail.left_out, read(&tail)),
            (0, vec![(0, 1_000), (12, 1_010)])
        );
        assert_eq!(log.tail(6).bytes, b"e\ntwo\n");
        assert_eq!(read(&log.tail(4)), [(0, 1_010)]);
        assert_eq!(read(&log.tail(6)), [(0, 1_000), (2, 1_010)]);
    }

    #[test]
    fn pieces_are_bounded_with_what_they_are_of() {
        let mut log = log();
        for ms in 0..20_000 {
            log.keep(b"x", 10 * ms);
        }
        assert_eq!(log.pieces.len(), PIECES_KEPT);
        let line = [b'y'; READ_BYTES];
        for ms in 20_000..20_010 {
            log.keep(&line, 10 * ms);
        }
        let kept = LOG_BYTES_KEPT / READ_BYTES;
        assert_eq!(log.pieces.len(), kept);
        assert_eq!(read(&log.tail(usize::MAX))[0], (0, 200_060));
    }
}
