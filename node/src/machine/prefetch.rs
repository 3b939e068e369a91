//! Where in memory an input will find what it needs. In a process of thousands of machines each
//! input comes to another one than the last, and waits for memory longer than it computes; a driver
//! that knows its next inputs has these places fetched beforehand. Nothing else depends on it.

use std::mem::offset_of;
use std::sync::Arc;

use super::core::Machine;
use crate::context::{Context, LINE_BYTES, Peer, lines, lines_of};
use crate::io::{PeerId, Time};
use crate::wire::Message;

/// Of the machine, what any input needs: up to the ledger of its context.
const MACHINE_BYTES: usize = offset_of!(Machine, ctx) + offset_of!(Context, mempool);
/// What comes next is needed where transactions are: up to the key of `randomness`.
const RELAY_BYTES: usize = offset_of!(Machine, ctx) + offset_of!(Context, randomness) + KEY_BYTES;
/// That key.
const KEY_BYTES: usize = 32;
/// Of a connection, what a message needs: up to what stands before its pings.
const PEER_BYTES: usize = offset_of!(Peer, ping);
/// Of a list of transactions, as much as is mostly there.
const LIST_LINES: usize = 6;

impl Machine {
    /// Calls `fetch` for what any input needs of the machine itself.
    pub fn prefetch(&self, fetch: impl Fn(*const u8)) {
        let deadlines = [self.sync.first_line(), self.peers.first_line()];
        let relay = self.relay.first_lines().into_iter().chain(deadlines);
        lines(self, MACHINE_BYTES).chain(relay).for_each(fetch);
    }

    /// For what the machine needs of itself where transactions are.
    pub fn prefetch_relay(&self, fetch: impl Fn(*const u8)) {
        let both = lines(self, RELAY_BYTES);
        let ctx = both.skip(MACHINE_BYTES.div_ceil(LINE_BYTES));
        ctx.chain(self.relay.lines()).for_each(fetch);
    }

    /// For its table of connections. Reads what [`Machine::prefetch`] has had fetched.
    pub fn prefetch_peers(&self, fetch: impl Fn(*const u8)) {
        self.ctx.peers.lines().for_each(fetch);
    }

    /// For one connection. Reads what [`Machine::prefetch_peers`] has had fetched.
    pub fn prefetch_peer(&self, id: PeerId, fetch: impl Fn(*const u8)) {
        if let Some(peer) = self.ctx.peers.get(&id) {
            lines(peer, PEER_BYTES).for_each(fetch);
        }
    }

    /// For the connections that may need something at a time.
    pub fn prefetch_timer(&self, at: Time, fetch: impl Fn(*const u8)) {
        let due = self.ctx.peers.due(at);
        due.for_each(|peer| lines(peer, size_of::<Peer>()).for_each(&fetch));
    }

    /// For all connections, if this message brings a block that they will be told of.
    pub fn prefetch_block(&self, message: &Message, fetch: impl Fn(*const u8)) {
        let ctx = &self.ctx;
        let hash = match message {
            Message::CmpctBlock(compact) => compact.hash(),
            Message::Block(block) => ctx.chain.hash_of(&block.header),
            _ => return,
        };
        if ctx.chain.tip_hash() != hash {
            let peers = ctx.peers.values();
            peers.for_each(|peer| lines(peer, PEER_BYTES).for_each(&fetch));
        }
    }

    /// Whose turn comes by then to have transactions announced to it.
    pub fn turns(&self, at: Time) -> impl Iterator<Item = PeerId> {
        self.relay.turns(at)
    }

    /// For what says whose turn it is, if somebody's comes by then. Reads what
    /// [`Machine::prefetch_relay`] has had fetched.
    pub fn prefetch_turns(&self, at: Time, fetch: impl Fn(*const u8)) {
        self.relay.lines_of_turns(at).for_each(fetch);
    }

    /// For what is noted of the transactions that will be announced. Reads what
    /// [`Machine::prefetch_turns`] has had fetched.
    pub fn prefetch_announced(&self, at: Time, fetch: impl Fn(*const u8)) {
        self.relay.lines_of_announced(at).for_each(fetch);
    }

    /// For what is noted of the transactions that a message announces. Reads the message.
    pub fn prefetch_received(&self, message: &Message, fetch: impl Fn(*const u8)) {
        if let Message::Inv(entries) = message {
            self.relay
                .lines_of_received(&self.ctx, entries)
                .for_each(fetch);
        }
    }
}

impl Message {
    /// Calls `fetch` for what of a message stands elsewhere, where it is of the kinds that come
    /// most often.
    pub fn prefetch(&self, fetch: impl Fn(*const u8)) {
        match self {
            Message::Headers(headers) => {
                if let Some(header) = headers.first() {
                    lines(header, size_of_val(header)).for_each(fetch);
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
