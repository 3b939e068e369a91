//! Transactions that wait to be announced: one queue of a node, in the order in which they came, how
//! far along it each connection has been told, and when its turn comes. A transaction is put in once,
//! however many connections there are, and stays until all that wait have been told. Data only; how
//! long a connection waits for its turn, and of what it is told then, is `announce`'s business.

use std::collections::{BTreeMap, VecDeque};

use bitcoin::Amount;
use smallvec::SmallVec;

use crate::context::{Place, Places, lines_of};
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
pub(super) struct Waiting {
    pub(super) tx: NamedTransaction,
    /// What it pays.
    pub(super) fee: Amount,
    /// Under which [`super::Knowers`] has it.
    pub(super) known_as: u64,
    /// How many had left the mempool when it was there.
    pub(super) departures: u64,
}

/// A transaction that came.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) tx: Waiting,
    /// Who knew it already.
    pub(super) knew: Places,
}

/// A connection that is told of transactions. Small: they are looked through for whose turn it is.
#[derive(Clone, Copy, Debug)]
struct Listener {
    peer: PeerId,
    /// The number of the first arrival that it has not been told of.
    next: u64,
    /// When it is told; never, while nothing waits for it.
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
pub(crate) struct Arrivals {
    /// The first of all turns. It stands first: every input asks for it.
    first_turn: Time,
    /// By place; who is gone waits for nothing.
    listeners: Vec<Listener>,
    /// Empty when nobody waits: what all have been told of is forgotten.
    waiting: VecDeque<Arrival>,
    /// How many came before the first of `waiting`.
    gone: u64,
    /// Those who listen, and for whom nothing of these waits.
    idle: Places,
    /// Whose connections this node opened.
    outbound: Places,
    /// What was here before a connection, and waits for it alone. Few have any.
    offered: BTreeMap<Place, VecDeque<Waiting>>,
}

impl Default for Arrivals {
    fn default() -> Arrivals {
        Arrivals {
            first_turn: Time::NEVER,
            listeners: Vec::new(),
            waiting: VecDeque::new(),
            gone: 0,
            idle: Places::default(),
            outbound: Places::default(),
            offered: BTreeMap::new(),
        }
    }
}

impl Arrivals {
    /// A connection is to be told from now on.
    pub(super) fn listen(&mut self, place: Place, peer: PeerId, outbound: bool) {
        let listener = Listener::new(peer);
        if self.listeners.len() <= place.index() {
            self.listeners.resize(place.index() + 1, listener);
        }
        self.listeners[place.index()] = listener;
        self.idle.add(place);
        if outbound {
            self.outbound.add(place);
        }
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, place: Place) {
        self.idle.remove(place);
        self.outbound.remove(place);
        self.offered.remove(&place);
        if let Some(listener) = self.listeners.get_mut(place.index()) {
            *listener = Listener::new(listener.peer);
            self.forget_told();
            self.find_first_turn();
        }
    }

    /// When somebody's turn comes.
    pub(crate) fn first_turn(&self) -> Time {
        self.first_turn
    }

    /// Whose turn has come, by name.
    pub(super) fn due(&self, now: Time) -> impl Iterator<Item = (PeerId, Place)> {
        // Nearly always none, which needs no look at them.
        let listeners: &[Listener] = if self.first_turn <= now {
            &self.listeners
        } else {
            &[]
        };
        let places = listeners.iter().zip((0..).map(Place::at));
        places.filter_map(move |(listener, place)| {
            (listener.turn <= now).then_some((listener.peer, place))
        })
    }

    /// Takes the turns that have come, by name.
    pub(super) fn take_due(&mut self, now: Time) -> SmallVec<[(PeerId, Place); BEGUN]> {
        let mut due: SmallVec<[(PeerId, Place); BEGUN]> = self.due(now).collect();
        if !due.is_empty() {
            due.sort_unstable();
            for (_, place) in &due {
                self.listeners[place.index()].turn = Time::NEVER;
            }
            self.find_first_turn();
        }
        due
    }

    /// A connection's turn will come then.
    pub(super) fn set_turn(&mut self, place: Place, at: Time) {
        if let Some(listener) = self.listeners.get_mut(place.index()) {
            listener.turn = at;
            self.first_turn = self.first_turn.min(at);
        }
    }

    /// Something waits for a connection. If it has no turn yet, `draw` says when it comes, told
    /// whether this node opened the connection.
    fn begin(&mut self, place: Place, mut draw: impl FnMut(bool) -> Time) {
        if self.listeners[place.index()].turn == Time::NEVER {
            self.set_turn(place, draw(self.outbound.has(place)));
        }
    }

    /// Where in memory the connections stand, and the last so many that wait for them: what is needed
    /// when a turn comes.
    pub(crate) fn lines(&self, waiting: usize) -> impl Iterator<Item = *const u8> {
        let last = self.waiting.len().saturating_sub(waiting);
        let waiting = self.waiting.range(last..).map(std::ptr::from_ref);
        lines_of(&self.listeners).chain(waiting.map(|arrival| arrival.cast()))
    }

    fn find_first_turn(&mut self) {
        let first = self.listeners.iter().map(|listener| listener.turn).min();
        self.first_turn = first.unwrap_or(Time::NEVER);
    }

    /// A connection that listens is to be told of transactions that were here before it. `draw` is
    /// as for [`Arrivals::push`].
    pub(super) fn offer(
        &mut self,
        place: Place,
        txs: VecDeque<Waiting>,
        draw: impl FnMut(bool) -> Time,
    ) {
        if !txs.is_empty() {
            self.offered.entry(place).or_default().extend(txs);
            self.begin(place, draw);
        }
    }

    /// The next transaction that was offered to a connection, and not told yet.
    pub(super) fn next_offered(&mut self, place: Place) -> Option<Waiting> {
        let offered = self.offered.get_mut(&place)?;
        let next = offered.pop_front();
        if offered.is_empty() {
            self.offered.remove(&place);
        }
        next
    }

    /// A transaction came. It waits for all that lack it. For those for whom nothing else waited,
    /// in the order of their names, `draw` says when their turn comes; it is told whether this node
    /// opened the connection.
    pub(super) fn push(&mut self, arrival: Arrival, mut draw: impl FnMut(bool) -> Time) {
        let lacking = self.idle.without(&arrival.knew);
        let mut begun: SmallVec<[_; BEGUN]> = lacking
            .map(|place| (self.listeners[place.index()].peer, place))
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
        self.waiting.push_back(arrival);
        for (_, place) in begun {
            self.idle.remove(place);
            self.listeners[place.index()].next = number;
            self.begin(place, &mut draw);
        }
    }

    /// What waits for a connection, the oldest first.
    pub(super) fn waiting_for(&self, place: Place) -> impl Iterator<Item = &Arrival> {
        let next = self
            .listeners
            .get(place.index())
            .map_or(NOTHING, |l| l.next);
        let told = next
            .saturating_sub(self.gone)
            .min(self.waiting.len() as u64);
        self.waiting.range(told as usize..)
    }

    /// A connection has been told of so many that waited for all. Returns whether more wait for it,
    /// of these or of what was offered to it alone.
    pub(super) fn told(&mut self, place: Place, count: usize) -> bool {
        self.advance(place, count) || self.offered.contains_key(&place)
    }

    fn advance(&mut self, place: Place, count: usize) -> bool {
        let end = self.gone + self.waiting.len() as u64;
        let Some(listener) = self.listeners.get_mut(place.index()) else {
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
            self.idle.add(place);
        }
        if was_first {
            self.forget_told();
        }
        more
    }

    /// Forgets what all have been told of.
    fn forget_told(&mut self) {
        let next = self.listeners.iter().map(|listener| listener.next).min();
        let told = next.unwrap_or(NOTHING).saturating_sub(self.gone);
        let told = told.min(self.waiting.len() as u64);
        self.waiting.drain(..told as usize);
        self.gone += told;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, LazyLock};

    use bitcoin::{Transaction, absolute, transaction};
    use proptest::prelude::*;

    use super::super::knowers::Knowers;
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

    fn arrival(n: u64, knew: Places) -> Arrival {
        let tx = Waiting {
            tx: transaction(),
            fee: Amount::ZERO,
            known_as: n,
            departures: 0,
        };
        Arrival { tx, knew }
    }

    fn waiting(arrivals: &Arrivals, place: Place) -> Vec<u64> {
        let waiting = arrivals.waiting_for(place).map(|a| a.tx.known_as);
        waiting.collect()
    }

    #[test]
    fn what_came_waits_for_each_until_it_has_been_told() {
        let mut arrivals = Arrivals::default();
        let mut knowers = Knowers::default();
        let places = [(); 3].map(|()| knowers.take_place());
        for (at, place) in places.iter().enumerate() {
            arrivals.listen(*place, PeerId(9 - at as u64), at == 2);
        }
        let mut knew = Places::default();
        knew.add(places[1]);
        // In the order of names, which is the other way round than that of places.
        let mut drawn = Vec::new();
        let mut draw = |outbound| {
            drawn.push(outbound);
            Time(drawn.len() as u64 * 10)
        };
        arrivals.push(arrival(1, knew), &mut draw);
        arrivals.push(arrival(2, Places::default()), &mut draw);
        assert_eq!(drawn, [true, false, false]);
        assert_eq!(arrivals.first_turn(), Time(10));
        assert_eq!(arrivals.take_due(Time(9)).as_slice(), []);
        let due = arrivals.take_due(Time(20));
        assert_eq!(
            due.as_slice(),
            [(PeerId(7), places[2]), (PeerId(9), places[0])]
        );
        assert_eq!(arrivals.first_turn(), Time(30));
        arrivals.set_turn(places[2], Time(25));
        assert_eq!(arrivals.first_turn(), Time(25));
        assert_eq!(waiting(&arrivals, places[0]), [1, 2]);
        assert_eq!(waiting(&arrivals, places[1]), [2]);
        assert!(arrivals.told(places[0], 1));
        assert!(!arrivals.told(places[0], 1));
        assert_eq!(waiting(&arrivals, places[0]), [0u64; 0]);
        assert!(!arrivals.told(places[1], 1));
        assert_eq!(arrivals.waiting.len(), 2, "one has heard of neither");
        arrivals.leave(places[2]);
        assert_eq!(arrivals.waiting.len(), 0);
        assert_eq!(arrivals.first_turn(), Time(30), "who is gone has no turn");
        places[..2].iter().for_each(|place| arrivals.leave(*place));
        assert_eq!(arrivals.first_turn(), Time::NEVER);
        arrivals.push(arrival(3, Places::default()), |_| unreachable!());
        assert_eq!(arrivals.waiting.len(), 0, "it waits for nobody");
    }

    #[test]
    fn what_was_offered_waits_for_one_alone() {
        let mut arrivals = Arrivals::default();
        let place = Knowers::default().take_place();
        arrivals.listen(place, PeerId(1), false);
        arrivals.offer(place, VecDeque::new(), |_| unreachable!());
        let offered = [1, 2].map(|n| arrival(n, Places::default()).tx);
        arrivals.offer(place, offered.clone().into(), |_| Time(7));
        arrivals.push(arrival(3, Places::default()), |_| unreachable!());
        assert_eq!(arrivals.first_turn(), Time(7));
        let next = |arrivals: &mut Arrivals| arrivals.next_offered(place).map(|tx| tx.known_as);
        assert_eq!(next(&mut arrivals), Some(1));
        assert!(arrivals.told(place, 1), "another was offered");
        assert_eq!(next(&mut arrivals), Some(2));
        assert!(!arrivals.told(place, 0));
        assert_eq!(next(&mut arrivals), None);
        arrivals.offer(place, offered.into(), |_| unreachable!());
        arrivals.leave(place);
        assert_eq!(next(&mut arrivals), None);
    }

    #[test]
    fn of_too_many_the_oldest_are_not_announced() {
        let mut arrivals = Arrivals::default();
        let place = Knowers::default().take_place();
        arrivals.listen(place, PeerId(1), true);
        for n in 0..WAITING_MAX as u64 + 3 {
            arrivals.push(arrival(n, Places::default()), |_| Time(1));
        }
        let all = waiting(&arrivals, place);
        assert_eq!((all.len(), all[0]), (WAITING_MAX, 3));
        assert!(arrivals.told(place, WAITING_MAX - 1));
        assert_eq!(arrivals.waiting.len(), 1);
        assert!(!arrivals.told(place, 1));
    }

    proptest! {
        /// As if each connection had a queue of its own.
        #[test]
        fn nobody_misses_anything(
            steps in prop::collection::vec((0u8..4, 0usize..5, 0usize..4), 0..200),
        ) {
            let mut arrivals = Arrivals::default();
            let mut knowers = Knowers::default();
            let places = [(); 5].map(|()| knowers.take_place());
            let mut queues: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
            for (number, (step, who, count)) in (0u64..).zip(steps) {
                let place = places[who];
                match step {
                    0 => {
                        queues.entry(who).or_insert_with(|| {
                            arrivals.listen(place, PeerId(who as u64), true);
                            Vec::new()
                        });
                    }
                    1 => {
                        queues.remove(&who);
                        arrivals.leave(place);
                    }
                    2 => {
                        arrivals.push(arrival(number, Places::default()), |_| Time(number));
                        queues.values_mut().for_each(|queue| queue.push(number));
                    }
                    _ => {
                        let told = match queues.get_mut(&who) {
                            Some(queue) => queue.drain(..count.min(queue.len())).count(),
                            None => 0,
                        };
                        let more = arrivals.told(place, told);
                        prop_assert_eq!(more, queues.get(&who).is_some_and(|q| !q.is_empty()));
                        arrivals.set_turn(place, if more { Time(number) } else { Time::NEVER });
                        arrivals.find_first_turn();
                    }
                }
                for (who, queue) in &queues {
                    prop_assert_eq!(&waiting(&arrivals, places[*who]), queue);
                }
                let due: Vec<_> = arrivals.take_due(Time(number)).into_iter().collect();
                let empty = queues.iter().filter(|(_, queue)| !queue.is_empty());
                let expected = empty.map(|(who, _)| (PeerId(*who as u64), places[*who]));
                prop_assert_eq!(&due, &expected.collect::<Vec<_>>());
                due.iter().for_each(|(_, place)| arrivals.set_turn(*place, Time(number)));
                let longest = queues.values().map(Vec::len).max();
                prop_assert_eq!(arrivals.waiting.len(), longest.unwrap_or(0));
            }
        }
    }
}
