//! Where in memory an input will find what it needs. In a process of thousands of machines each
//! input comes to another one than the last, and waits for memory longer than it computes; a driver
//! that knows its next inputs has these places fetched beforehand. Nothing else depends on it.

use std::sync::Arc;

use super::core::Machine;
use crate::context::{lines, lines_of};
use crate::io::{PeerId, Time};
use crate::wire::Message;

/// Of a list of transactions, as much as is mostly there.
const LIST_LINES: usize = 6;

impl Machine {
    /// Calls `fetch` for what any input needs of the machine itself.
    pub fn prefetch(&self, fetch: impl Fn(*const u8)) {
        let ctx = lines(&self.ctx.outputs)
            .chain(lines(&self.ctx.peers))
            .chain(lines(&self.ctx.chain));
        let own = [
            std::ptr::from_ref(&self.timer_at).cast(),
            self.sync.first_line(),
        ];
        let deadlines = own.into_iter().chain(self.peers.first_lines());
        ctx.chain(deadlines)
            .chain(self.relay.first_lines())
            .for_each(fetch);
    }

    /// For what the machine needs of itself where transactions are.
    pub fn prefetch_relay(&self, fetch: impl Fn(*const u8)) {
        let ctx = lines(&self.ctx.mempool).chain([self.ctx.randomness.line()]);
        ctx.chain(lines(&self.relay)).for_each(fetch);
    }

    /// For its table of connections. Reads what [`Machine::prefetch`] has had fetched.
    pub fn prefetch_peers(&self, fetch: impl Fn(*const u8)) {
        self.ctx.peers.lines().for_each(fetch);
    }

    /// For one connection. Reads what [`Machine::prefetch_peers`] has had fetched.
    pub fn prefetch_peer(&self, id: PeerId, fetch: impl Fn(*const u8)) {
        if let Some(peer) = self.ctx.peers.get(&id) {
            lines(peer).for_each(fetch);
        }
    }

    /// For the connections that may need something at a time.
    pub fn prefetch_timer(&self, at: Time, fetch: impl Fn(*const u8)) {
        let due = self.ctx.peers.due(at);
        due.for_each(|peer| lines(peer).for_each(&fetch));
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
                    lines(header).for_each(fetch);
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
