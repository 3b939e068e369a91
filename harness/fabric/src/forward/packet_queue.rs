//! What is to happen to packets later: a heap by time. Of one instant, what comes out of an access
//! link's queue goes before what reaches the link, since it reached it before; and then what entered
//! first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use peerlab_link::{Nanos, NodeId};

use super::buffers::Held;

/// In the order of an instant, the first that reaches an access link.
const FIRST_ARRIVAL: u64 = 1 << 63;

/// What a waiting packet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// To reach the destination's access link.
    Arrive,
    /// To come out of its queue.
    Deliver,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) src: NodeId,
    pub(super) dst: NodeId,
    pub(super) stage: Due,
    /// When it has left its sender's access link.
    pub(super) left: Nanos,
    /// How many packets it stands for.
    pub(super) packets: u32,
    /// Their bytes on the wire.
    pub(super) wire_bytes: u32,
    pub(super) held: Held,
}

/// The heap. Entries are small; the packets stay in slots beside it.
#[derive(Debug, Default)]
pub(super) struct PacketQueue {
    heap: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
    slots: Vec<Option<Waiting>>,
    free: Vec<u32>,
    entered: u64,
}

impl PacketQueue {
    /// When the next is due.
    #[inline]
    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn push(&mut self, at: Nanos, waiting: Waiting) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        let first = match waiting.stage {
            Due::Deliver => 0,
            Due::Arrive => FIRST_ARRIVAL,
        };
        self.slots[slot as usize] = Some(waiting);
        self.heap.push(Reverse((at, first + self.entered, slot)));
        self.entered += 1;
    }

    /// Gives all that waits new instants, asked for in the order of the old ones.
    pub(super) fn retime(&mut self, mut retimed: impl FnMut(Nanos, &mut Waiting) -> Nanos) {
        let mut entries = std::mem::take(&mut self.heap).into_sorted_vec();
        // The heap's order is reversed.
        for Reverse((at, _, slot)) in entries.iter_mut().rev() {
            if let Some(waiting) = &mut self.slots[*slot as usize] {
                *at = retimed(*at, waiting);
            }
        }
        self.heap = entries.into();
    }

    /// Takes the next that is due at `now` or before, and when it was due.
    pub(super) fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, Waiting)> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.slots[slot as usize].take()?))
    }
}
