//! Where in memory an input will find what it needs. In a process of thousands of machines each
//! input comes to another one than the last, and waits for memory longer than it computes; a driver
//! that knows its next inputs has these places fetched beforehand. Nothing else depends on it.

use std::sync::Arc;

use super::core::Machine;
use crate::io::{PeerId, Time};
use crate::peers::Peer;
use crate::wire::Message;

/// Bytes that memory gives at once.
const LINE_BYTES: usize = 64;
/// Of the machine, what any input needs: up to the first turn of `arrivals`.
const MACHINE_LINES: usize = std::mem::offset_of!(Machine, arrivals) / LINE_BYTES + 1;
/// What comes next is needed where transactions are: up to the key of `randomness`.
const RELAY_LINES: usize = std::mem::offset_of!(Machine, randomness) / LINE_BYTES + 1;
/// Of a connection, what a message needs: up to what stands before its pings.
const PEER_LINES: usize = std::mem::offset_of!(Peer, ping).div_ceil(LINE_BYTES);
/// Of a connection, what may be due on it.
const WHOLE_PEER_LINES: usize = std::mem::size_of::<Peer>().div_ceil(LINE_BYTES);
/// Of a list of transactions, as much as is mostly there.
const LIST_LINES: usize = 6;

impl Machine {
    /// Calls `fetch` for what any input needs of the machine itself.
    pub fn foresee(&self, fetch: impl Fn(*const u8)) {
        lines(self, MACHINE_LINES).for_each(fetch);
    }

    /// For what the machine needs of itself where transactions are.
    pub fn foresee_relay(&self, fetch: impl Fn(*const u8)) {
        lines(self, RELAY_LINES).skip(MACHINE_LINES).for_each(fetch);
    }

    /// For its table of connections. Reads what [`Machine::foresee`] has had fetched.
    pub fn foresee_peers(&self, fetch: impl Fn(*const u8)) {
        self.peers.lines().for_each(fetch);
    }

    /// For one connection. Reads what [`Machine::foresee_peers`] has had fetched.
    pub fn foresee_peer(&self, id: PeerId, fetch: impl Fn(*const u8)) {
        if let Some(peer) = self.peers.get(&id) {
            lines(peer, PEER_LINES).for_each(fetch);
        }
    }

    /// For the connections that may need something at a time.
    pub fn foresee_timer(&self, at: Time, fetch: impl Fn(*const u8)) {
        let due = self.peers.due(at);
        due.for_each(|peer| lines(peer, WHOLE_PEER_LINES).for_each(&fetch));
    }

    /// For all connections, if this message brings a block that they will be told of.
    pub fn foresee_block(&self, message: &Message, fetch: impl Fn(*const u8)) {
        let hash = match message {
            Message::CmpctBlock(compact) => compact.hash(),
            Message::Block(block) => self.chain.hash_of(&block.header),
            _ => return,
        };
        if self.chain.tip_hash() != hash {
            let peers = self.peers.values();
            peers.for_each(|peer| lines(peer, PEER_LINES).for_each(&fetch));
        }
    }
}

impl Message {
    /// Calls `fetch` for what of a message stands elsewhere, where it is of the kinds that come
    /// most often.
    pub fn foresee(&self, fetch: impl Fn(*const u8)) {
        match self {
            Message::Headers(headers) => {
                if let Some(header) = headers.first() {
                    lines(header, 2).for_each(fetch);
                }
            }
            Message::CmpctBlock(compact) => fetch(Arc::as_ptr(compact).cast()),
            Message::Inv(list) | Message::GetData(list) => {
                lines_of(list).take(LIST_LINES).for_each(fetch);
            }
            _ => {}
        }
    }
}

/// All lines of a list.
pub(crate) fn lines_of<T>(list: &[T]) -> impl Iterator<Item = *const u8> + use<T> {
    let first = list.as_ptr().cast::<u8>();
    (0..std::mem::size_of_val(list))
        .step_by(LINE_BYTES)
        .map(move |at| first.wrapping_add(at))
}

/// The first lines of a value.
fn lines<T>(value: &T, count: usize) -> impl Iterator<Item = *const u8> {
    let first = std::ptr::from_ref(value).cast::<u8>();
    (0..count).map(move |line| first.wrapping_add(line * LINE_BYTES))
}
