//! The announcement queue: transactions that wait to be announced, in the order in which they came, how
//! far along it each connection is, and when its turn comes. A transaction is put in once, however many
//! connections there are, and stays until it was announced to all that lack it. Data only; how long a
//! connection waits for its turn, and what is announced to it then, is `announce`'s business.

use std::collections::{BTreeMap, VecDeque};

use bitcoin::Amount;
use smallvec::SmallVec;

use crate::context::{PeerSlot, PeerSlots, lines_of};
use crate::io::{PeerId, Time};
use crate::wire::NamedTransaction;

/// Transactions that wait at most; beyond it the oldest are not announced, and come to the others by
/// other nodes or in a block.
const WAITING_MAX: usize = 5_000;

/// Where a connection stands for which nothing waits.
const NOTHING: u64 = u64::MAX;

/// Connections for which something begins to wait at one time, mostly.
const BEGUN: usize = 32;

/// A transaction that waits to be announced.
#[derive(Clone, Debug)]
pub(super) struct Announcement {
    pub(super) tx: NamedTransaction,
    /// What it pays.
    pub(super) fee: Amount,
    /// Under which `KnownTransactions` has it.
    pub(super) index_key: u64,
    /// How many had left the mempool when it was there.
    pub(super) departures: u64,
}

/// A transaction that came.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) tx: Announcement,
    /// Who known_by it already.
    pub(super) known_by: PeerSlots,
}

/// A connection to which transactions are announced. Small: they are looked through for whose turn it is.
#[derive(Clone, Copy, Debug)]
struct Listener {
    peer: PeerId,
    /// The number of the first transaction that was not announced to it.
    next: u64,
    /// When its turn comes; never, while nothing waits for it.
    turn: Time,
}

impl Listener {
    fn new(peer: PeerId) -> Listener {
        Listener {
            peer,
            next: NOTHING,
            turn: Time::NEVER,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct AnnouncementQueue {
    /// The first of all turns. It stands first: every input asks for it.
    first_turn: Time,
    /// By slot; who is gone waits for nothing.
    listeners: Vec<Listener>,
    /// Empty when nobody waits: what was announced to all is forgotten.
    waiting: VecDeque<Queued>,
    /// How many came before the first of `waiting`.
    gone: u64,
    /// Those who listen, and for whom nothing of these waits.
    idle: PeerSlots,
    /// Whose connections this node opened.
    outbound: PeerSlots,
    /// What was here before a connection, and waits for it alone. Few have any.
    offered: BTreeMap<PeerSlot, VecDeque<Announcement>>,
}

impl Default for AnnouncementQueue {
    fn default() -> AnnouncementQueue {
        AnnouncementQueue {
            first_turn: Time::NEVER,
            listeners: Vec::new(),
            waiting: VecDeque::new(),
            gone: 0,
            idle: PeerSlots::default(),
            outbound: PeerSlots::default(),
            offered: BTreeMap::new(),
        }
    }
}

impl AnnouncementQueue {
    /// Transactions are announced to a connection from now on.
    pub(super) fn listen(&mut self, slot: PeerSlot, peer: PeerId, outbound: bool) {
        let listener = Listener::new(peer);
        if self.listeners.len() <= slot.index() {
            self.listeners.resize(slot.index() + 1, listener);
        }
        self.listeners[slot.index()] = listener;
        self.idle.add(slot);
        if outbound {
            self.outbound.add(slot);
        }
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, slot: PeerSlot) {
        self.idle.remove(slot);
        self.outbound.remove(slot);
        self.offered.remove(&slot);
        if let Some(listener) = self.listeners.get_mut(slot.index()) {
            *listener = Listener::new(listener.peer);
            self.forget_announced();
            self.find_first_turn();
        }
    }

    /// When somebody's turn comes.
    pub(crate) fn first_turn(&self) -> Time {
        self.first_turn
    }

    /// Whose turn has come, by name.
    pub(super) fn due(&self, now: Time) -> impl Iterator<Item = (PeerId, PeerSlot)> {
        // Nearly always none, which needs no look at them.
        let listeners: &[Listener] = if self.first_turn <= now {
            &self.listeners
        } else {
            &[]
        };
        let slots = listeners.iter().zip((0..).map(PeerSlot::at));
        slots.filter_map(move |(listener, slot)| {
            (listener.turn <= now).then_some((listener.peer, slot))
        })
    }

    /// Takes the turns that have come, by name.
    pub(super) fn take_due(&mut self, now: Time) -> SmallVec<[(PeerId, PeerSlot); BEGUN]> {
        let mut due: SmallVec<[(PeerId, PeerSlot); BEGUN]> = self.due(now).collect();
        if !due.is_empty() {
            due.sort_unstable();
            for (_, slot) in &due {
                self.listeners[slot.index()].turn = Time::NEVER;
            }
            self.find_first_turn();
        }
        due
    }

    /// A connection's turn will come then.
    pub(super) fn set_turn(&mut self, slot: PeerSlot, at: Time) {
        if let Some(listener) = self.listeners.get_mut(slot.index()) {
            listener.turn = at;
            self.first_turn = self.first_turn.min(at);
        }
    }

    /// Something waits for a connection. If it has no turn yet, `draw` says when it comes, given
    /// whether this node opened the connection.
    fn begin(&mut self, slot: PeerSlot, mut draw: impl FnMut(bool) -> Time) {
        if self.listeners[slot.index()].turn == Time::NEVER {
            self.set_turn(slot, draw(self.outbound.has(slot)));
        }
    }

    /// Where in memory the connections stand, and the last so many that wait for them: what is needed
    /// when a turn comes.
    pub(crate) fn lines(&self, waiting: usize) -> impl Iterator<Item = *const u8> {
        let last = self.waiting.len().saturating_sub(waiting);
        let waiting = self.waiting.range(last..).map(std::ptr::from_ref);
        lines_of(&self.listeners).chain(waiting.map(|queued| queued.cast()))
    }

    fn find_first_turn(&mut self) {
        let first = self.listeners.iter().map(|listener| listener.turn).min();
        self.first_turn = first.unwrap_or(Time::NEVER);
    }

    /// Transactions that were here before a connection wait for it alone. `draw` is
    /// as for [`AnnouncementQueue::push`].
    pub(super) fn offer(
        &mut self,
        slot: PeerSlot,
        txs: VecDeque<Announcement>,
        draw: impl FnMut(bool) -> Time,
    ) {
        if !txs.is_empty() {
            self.offered.entry(slot).or_default().extend(txs);
            self.begin(slot, draw);
        }
    }

    /// The next transaction that was offered to a connection, and not announced yet.
    pub(super) fn next_offered(&mut self, slot: PeerSlot) -> Option<Announcement> {
        let offered = self.offered.get_mut(&slot)?;
        let next = offered.pop_front();
        if offered.is_empty() {
            self.offered.remove(&slot);
        }
        next
    }

    /// A transaction came. It waits for all that lack it. For those for whom nothing else waited,
    /// in the order of their names, `draw` says when their turn comes, given whether this node
    /// opened the connection.
    pub(super) fn push(&mut self, queued: Queued, mut draw: impl FnMut(bool) -> Time) {
        let lacking = self.idle.without(&queued.known_by);
        let mut begun: SmallVec<[_; BEGUN]> = lacking
            .map(|slot| (self.listeners[slot.index()].peer, slot))
            .collect();
        if begun.is_empty() && self.waiting.is_empty() {
            return;
        }
        begun.sort_unstable();
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            self.gone += 1;
        }
        let number = self.gone + self.waiting.len() as u64;
        self.waiting.push_back(queued);
        for (_, slot) in begun {
            self.idle.remove(slot);
            self.listeners[slot.index()].next = number;
            self.begin(slot, &mut draw);
        }
    }

    /// What waits for a connection, the oldest first.
    pub(super) fn waiting_for(&self, slot: PeerSlot) -> impl Iterator<Item = &Queued> {
        let next = self.listeners.get(slot.index()).map_or(NOTHING, |l| l.next);
        let done = next
            .saturating_sub(self.gone)
            .min(self.waiting.len() as u64);
        self.waiting.range(done as usize..)
    }

    /// So many that waited for all were announced to a connection. Returns whether more wait for it,
    /// of these or of what was offered to it alone.
    pub(super) fn announced(&mut self, slot: PeerSlot, count: usize) -> bool {
        self.advance(slot, count) || self.offered.contains_key(&slot)
    }

    fn advance(&mut self, slot: PeerSlot, count: usize) -> bool {
        let end = self.gone + self.waiting.len() as u64;
        let Some(listener) = self.listeners.get_mut(slot.index()) else {
            return false;
        };
        if listener.next == NOTHING {
            return false;
        }
        let was_first = listener.next <= self.gone;
        listener.next = listener.next.max(self.gone) + count as u64;
        let more = listener.next < end;
        if !more {
            listener.next = NOTHING;
            self.idle.add(slot);
        }
        if was_first {
            self.forget_announced();
        }
        more
    }

    /// Forgets what was announced to all.
    fn forget_announced(&mut self) {
        let next = self.listeners.iter().map(|listener| listener.next).min();
        let done = next.unwrap_or(NOTHING).saturating_sub(self.gone);
        let done = done.min(self.waiting.len() as u64);
        self.waiting.drain(..done as usize);
        self.gone += done;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, LazyLock};

    use bitcoin::{Transaction, absolute, transaction};
    use proptest::prelude::*;

    use super::super::known_transactions::KnownTransactions;
    use super::*;

    fn transaction() -> NamedTransaction {
        static ANY: LazyLock<NamedTransaction> = LazyLock::new(|| {
            let version = transaction::Version::TWO;
            let lock_time = absolute::LockTime::ZERO;
            let (input, output) = (Vec::new(), Vec::new());
            let tx = Transaction {
                version,
                lock_time,
                input,
                output,
            };
            NamedTransaction::of(Arc::new(tx))
        });
        ANY.clone()
    }

    fn queued(n: u64, known_by: PeerSlots) -> Queued {
        let tx = Announcement {
            tx: transaction(),
            fee: Amount::ZERO,
            index_key: n,
            departures: 0,
        };
        Queued { tx, known_by }
    }

    fn waiting(queue: &AnnouncementQueue, slot: PeerSlot) -> Vec<u64> {
        let waiting = queue.waiting_for(slot).map(|a| a.tx.index_key);
        waiting.collect()
    }

    #[test]
    fn what_came_waits_for_each_until_it_was_announced() {
        let mut queue = AnnouncementQueue::default();
        let mut known = KnownTransactions::default();
        let slots = [(); 3].map(|()| known.take_slot());
        for (at, slot) in slots.iter().enumerate() {
            queue.listen(*slot, PeerId(9 - at as u64), at == 2);
        }
        let mut known_by = PeerSlots::default();
        known_by.add(slots[1]);
        // In the order of names, which is the other way round than that of slots.
        let mut drawn = Vec::new();
        let mut draw = |outbound| {
            drawn.push(outbound);
            Time(drawn.len() as u64 * 10)
        };
        queue.push(queued(1, known_by), &mut draw);
        queue.push(queued(2, PeerSlots::default()), &mut draw);
        assert_eq!(drawn, [true, false, false]);
        assert_eq!(queue.first_turn(), Time(10));
        assert_eq!(queue.take_due(Time(9)).as_slice(), []);
        let due = queue.take_due(Time(20));
        assert_eq!(
            due.as_slice(),
            [(PeerId(7), slots[2]), (PeerId(9), slots[0])]
        );
        assert_eq!(queue.first_turn(), Time(30));
        queue.set_turn(slots[2], Time(25));
        assert_eq!(queue.first_turn(), Time(25));
        assert_eq!(waiting(&queue, slots[0]), [1, 2]);
        assert_eq!(waiting(&queue, slots[1]), [2]);
        assert!(queue.announced(slots[0], 1));
        assert!(!queue.announced(slots[0], 1));
        assert_eq!(waiting(&queue, slots[0]), [0u64; 0]);
        assert!(!queue.announced(slots[1], 1));
        assert_eq!(queue.waiting.len(), 2, "one has heard of neither");
        queue.leave(slots[2]);
        assert_eq!(queue.waiting.len(), 0);
        assert_eq!(queue.first_turn(), Time(30), "who is gone has no turn");
        slots[..2].iter().for_each(|slot| queue.leave(*slot));
        assert_eq!(queue.first_turn(), Time::NEVER);
        queue.push(queued(3, PeerSlots::default()), |_| unreachable!());
        assert_eq!(queue.waiting.len(), 0, "it waits for nobody");
    }

    #[test]
    fn what_was_offered_waits_for_one_alone() {
        let mut queue = AnnouncementQueue::default();
        let slot = KnownTransactions::default().take_slot();
        queue.listen(slot, PeerId(1), false);
        queue.offer(slot, VecDeque::new(), |_| unreachable!());
        let offered = [1, 2].map(|n| queued(n, PeerSlots::default()).tx);
        queue.offer(slot, offered.clone().into(), |_| Time(7));
        queue.push(queued(3, PeerSlots::default()), |_| unreachable!());
        assert_eq!(queue.first_turn(), Time(7));
        let next = |queue: &mut AnnouncementQueue| queue.next_offered(slot).map(|tx| tx.index_key);
        assert_eq!(next(&mut queue), Some(1));
        assert!(queue.announced(slot, 1), "another was offered");
        assert_eq!(next(&mut queue), Some(2));
        assert!(!queue.announced(slot, 0));
        assert_eq!(next(&mut queue), None);
        queue.offer(slot, offered.into(), |_| unreachable!());
        queue.leave(slot);
        assert_eq!(next(&mut queue), None);
    }

    #[test]
    fn of_too_many_the_oldest_are_not_announced() {
        let mut queue = AnnouncementQueue::default();
        let slot = KnownTransactions::default().take_slot();
        queue.listen(slot, PeerId(1), true);
        for n in 0..WAITING_MAX as u64 + 3 {
            queue.push(queued(n, PeerSlots::default()), |_| Time(1));
        }
        let all = waiting(&queue, slot);
        assert_eq!((all.len(), all[0]), (WAITING_MAX, 3));
        assert!(queue.announced(slot, WAITING_MAX - 1));
        assert_eq!(queue.waiting.len(), 1);
        assert!(!queue.announced(slot, 1));
    }

    proptest! {
        /// As if each connection had a queue of its own.
        #[test]
        fn nobody_misses_anything(
            steps in prop::collection::vec((0u8..4, 0usize..5, 0usize..4), 0..200),
        ) {
            let mut queue = AnnouncementQueue::default();
            let mut known = KnownTransactions::default();
            let slots = [(); 5].map(|()| known.take_slot());
            let mut queues: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
            for (number, (step, who, count)) in (0u64..).zip(steps) {
                let slot = slots[who];
                match step {
                    0 => {
                        queues.entry(who).or_insert_with(|| {
                            queue.listen(slot, PeerId(who as u64), true);
                            Vec::new()
                        });
                    }
                    1 => {
                        queues.remove(&who);
                        queue.leave(slot);
                    }
                    2 => {
                        queue.push(queued(number, PeerSlots::default()), |_| Time(number));
                        queues.values_mut().for_each(|queue| queue.push(number));
                    }
                    _ => {
                        let count = match queues.get_mut(&who) {
                            Some(queue) => queue.drain(..count.min(queue.len())).count(),
                            None => 0,
                        };
                        let more = queue.announced(slot, count);
                        prop_assert_eq!(more, queues.get(&who).is_some_and(|q| !q.is_empty()));
                        queue.set_turn(slot, if more { Time(number) } else { Time::NEVER });
                        queue.find_first_turn();
                    }
                }
                for (who, expected) in &queues {
                    prop_assert_eq!(&waiting(&queue, slots[*who]), expected);
                }
                let due: Vec<_> = queue.take_due(Time(number)).into_iter().collect();
                let empty = queues.iter().filter(|(_, queue)| !queue.is_empty());
                let expected = empty.map(|(who, _)| (PeerId(*who as u64), slots[*who]));
                prop_assert_eq!(&due, &expected.collect::<Vec<_>>());
                due.iter().for_each(|(_, slot)| queue.set_turn(*slot, Time(number)));
                let longest = queues.values().map(Vec::len).max();
                prop_assert_eq!(queue.waiting.len(), longest.unwrap_or(0));
            }
        }
    }
}
