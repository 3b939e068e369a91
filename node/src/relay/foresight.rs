//! As [`crate::machine`]'s foresight, of what is needed to announce transactions and to hear of them.

use bitcoin::p2p::message_blockdata::Inventory;

use crate::io::{PeerId, Time};
use crate::machine::Machine;
use crate::wire::Message;

/// Of a message, or of what waits for a connection, so many entries are looked up beforehand: there
/// are seldom more, and a processor waits for no more than a dozen or two places at once.
const ENTRIES_MAX: usize = 16;

impl Machine {
    /// Whose turn to be told of transactions comes by then.
    pub fn turns(&self, at: Time) -> impl Iterator<Item = PeerId> {
        self.arrivals.due(at).map(|(peer, _)| peer)
    }

    /// Calls `fetch` for what tells whose turn it is, if somebody's comes by then. Reads what
    /// [`Machine::foresee_relay`] has had fetched.
    pub fn foresee_turns(&self, at: Time, fetch: impl Fn(*const u8)) {
        if self.arrivals.first_turn() <= at {
            self.arrivals.lines(ENTRIES_MAX).for_each(fetch);
        }
    }

    /// For what is noted of the transactions that somebody will be told of. Reads what
    /// [`Machine::foresee_turns`] has had fetched.
    pub fn foresee_telling(&self, at: Time, fetch: impl Fn(*const u8)) {
        for (_, place) in self.arrivals.due(at) {
            let waiting = self.arrivals.waiting_for(place);
            let lacking = waiting.filter(|arrival| !arrival.knew.has(place));
            lacking
                .take(ENTRIES_MAX)
                .filter_map(|arrival| self.knowers.line(arrival.tx.known_as))
                .for_each(&fetch);
        }
    }

    /// For what is noted of the transactions that a message tells of. Reads the message.
    pub fn foresee_heard(&self, message: &Message, fetch: impl Fn(*const u8)) {
        let Message::Inv(entries) = message else {
            return;
        };
        for entry in entries.iter().take(ENTRIES_MAX) {
            if let Inventory::WTx(wtxid) = entry {
                self.knowers
                    .line(self.tx_id(wtxid))
                    .into_iter()
                    .for_each(&fetch);
            }
        }
    }
}
