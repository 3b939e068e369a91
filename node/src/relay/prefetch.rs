//! Where in memory stands what is needed to announce transactions and to hear of them; see
//! `machine/prefetch.rs`.

use bitcoin::p2p::message_blockdata::Inventory;

use super::Relay;
use crate::context::{Context, lines};
use crate::io::{PeerId, Time};

/// Of a message, or of what waits for a connection, so many entries are looked up beforehand: there
/// are seldom more, and a processor waits for no more than a dozen or two places at once.
const ENTRIES_MAX: usize = 16;

impl Relay {
    /// What any input asks for: the deadlines, which stand side by side.
    pub(crate) fn first_lines(&self) -> [*const u8; 2] {
        [self.requests.line(), std::ptr::from_ref(&self.queue).cast()]
    }

    /// What is needed where transactions are.
    pub(crate) fn lines(&self) -> impl Iterator<Item = *const u8> + use<> {
        lines(self, std::mem::offset_of!(Relay, orphans))
    }

    /// Whose turn comes by then to have transactions announced to it.
    pub(crate) fn turns(&self, at: Time) -> impl Iterator<Item = PeerId> {
        self.queue.due(at).map(|(peer, _)| peer)
    }

    /// What says whose turn it is, if somebody's comes by then.
    pub(crate) fn lines_of_turns(&self, at: Time) -> impl Iterator<Item = *const u8> {
        let comes = self.queue.first_turn() <= at;
        comes
            .then(|| self.queue.lines(ENTRIES_MAX))
            .into_iter()
            .flatten()
    }

    /// What is noted of the transactions that will be announced.
    pub(crate) fn lines_of_announced(&self, at: Time) -> impl Iterator<Item = *const u8> {
        self.queue.due(at).flat_map(|(_, slot)| {
            let waiting = self.queue.waiting_for(slot);
            let lacking = waiting.filter(move |queued| !queued.known_by.has(slot));
            lacking
                .take(ENTRIES_MAX)
                .filter_map(|queued| self.known.line(queued.tx.index_key))
        })
    }

    /// What is noted of the transactions that a peer announced.
    pub(crate) fn lines_of_received(
        &self,
        ctx: &Context,
        entries: &[Inventory],
    ) -> impl Iterator<Item = *const u8> {
        entries
            .iter()
            .take(ENTRIES_MAX)
            .filter_map(|entry| match entry {
                Inventory::WTx(wtxid) => self.known.line(ctx.tx_id(wtxid)),
                _ => None,
            })
    }
}
