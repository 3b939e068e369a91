//! Transactions that wait to be announced: one queue of a node, in the order in which they came, and
//! how far along it each connection has been told. A transaction is put in once, however many
//! connections there are, and stays until all that wait have been told. Data only; when a connection
//! is told, and of what, is `announce`'s business.

use std::collections::VecDeque;

use bitcoin::Txid;

use super::knowers::{Place, Places};
use crate::io::PeerId;

/// Transactions that wait at most; beyond it the oldest are not announced, and come to the others by
/// other nodes or in a block.
const WAITING_MAX: usize = 5_000;

/// Where a connection stands for which nothing waits.
const NOTHING: u64 = u64::MAX;

/// A transaction that waits to be announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) txid: Txid,
    /// Under which [`super::Knowers`] has it.
    pub(super) known_as: u64,
}

/// A transaction that came.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) tx: Waiting,
    /// Who knew it already.
    pub(super) knew: Places,
}

/// A connection that is told of transactions.
#[derive(Clone, Copy, Debug)]
struct Listener {
    peer: PeerId,
    /// The number of the first arrival that it has not been told of.
    next: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    /// Those who listen, and for whom nothing waits.
    idle: Places,
    /// Empty when nobody waits: what all have been told of is forgotten.
    waiting: VecDeque<Arrival>,
    /// How many came before the first of `waiting`.
    gone: u64,
    /// By place; who is gone waits for nothing.
    listeners: Vec<Listener>,
}

impl Arrivals {
    /// A connection is to be told from now on.
    pub(super) fn listen(&mut self, place: Place, peer: PeerId) {
        let listener = Listener {
            peer,
            next: NOTHING,
        };
        if self.listeners.len() <= place.index() {
            self.listeners.resize(place.index() + 1, listener);
        }
        self.listeners[place.index()] = listener;
        self.idle.add(place);
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, place: Place) {
        self.idle.remove(place);
        if let Some(listener) = self.listeners.get_mut(place.index()) {
            listener.next = NOTHING;
            self.forget_told();
        }
    }

    /// A transaction came. It waits for all that lack it and are ready. Returns those of them for whom
    /// nothing else waited, by name.
    pub(super) fn push(
        &mut self,
        arrival: Arrival,
        is_ready: impl Fn(PeerId) -> bool,
    ) -> Vec<PeerId> {
        let lacking = self.idle.without(&arrival.knew);
        let mut begun: Vec<_> = lacking
            .map(|place| (self.listeners[place.index()].peer, place))
            .filter(|(peer, _)| is_ready(*peer))
            .collect();
        if begun.is_empty() && self.waiting.is_empty() {
            return Vec::new();
        }
        begun.sort_unstable();
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            self.gone += 1;
        }
        let number = self.gone + self.waiting.len() as u64;
        self.waiting.push_back(arrival);
        for (_, place) in &begun {
            self.idle.remove(*place);
            self.listeners[place.index()].next = number;
        }
        begun.into_iter().map(|(peer, _)| peer).collect()
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

    /// A connection has been told of so many that waited for it. Returns whether more wait.
    pub(super) fn told(&mut self, place: Place, count: usize) -> bool {
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

    use bitcoin::hashes::Hash;
    use proptest::prelude::*;

    use super::super::knowers::Knowers;
    use super::*;

    fn arrival(n: u64, knew: Places) -> Arrival {
        let txid = Txid::all_zeros();
        let tx = Waiting { txid, known_as: n };
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
            arrivals.listen(*place, PeerId(9 - at as u64));
        }
        let mut knew = Places::default();
        knew.add(places[1]);
        assert_eq!(
            arrivals.push(arrival(1, knew), |_| true),
            [PeerId(7), PeerId(9)]
        );
        assert_eq!(
            arrivals.push(arrival(2, Places::default()), |_| true),
            [PeerId(8)]
        );
        assert_eq!(waiting(&arrivals, places[0]), [1, 2]);
        assert_eq!(waiting(&arrivals, places[1]), [2]);
        assert!(arrivals.told(places[0], 1));
        assert!(!arrivals.told(places[0], 1));
        assert_eq!(waiting(&arrivals, places[0]), [0u64; 0]);
        assert!(!arrivals.told(places[1], 1));
        assert_eq!(arrivals.waiting.len(), 2, "one has heard of neither");
        arrivals.leave(places[2]);
        assert_eq!(arrivals.waiting.len(), 0);
        assert!(
            arrivals
                .push(arrival(3, Places::default()), |_| false)
                .is_empty()
        );
        assert_eq!(arrivals.waiting.len(), 0, "it waits for nobody");
    }

    #[test]
    fn of_too_many_the_oldest_are_not_announced() {
        let mut arrivals = Arrivals::default();
        let place = Knowers::default().take_place();
        arrivals.listen(place, PeerId(1));
        for n in 0..WAITING_MAX as u64 + 3 {
            arrivals.push(arrival(n, Places::default()), |_| true);
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
                            arrivals.listen(place, PeerId(who as u64));
                            Vec::new()
                        });
                    }
                    1 => {
                        queues.remove(&who);
                        arrivals.leave(place);
                    }
                    2 => {
                        let begun = arrivals.push(arrival(number, Places::default()), |_| true);
                        let empty = queues.iter().filter(|(_, queue)| queue.is_empty());
                        let empty: Vec<_> = empty.map(|(who, _)| PeerId(*who as u64)).collect();
                        prop_assert_eq!(begun, empty);
                        queues.values_mut().for_each(|queue| queue.push(number));
                    }
                    _ => {
                        let told = match queues.get_mut(&who) {
                            Some(queue) => queue.drain(..count.min(queue.len())).count(),
                            None => 0,
                        };
                        let more = arrivals.told(place, told);
                        prop_assert_eq!(more, queues.get(&who).is_some_and(|q| !q.is_empty()));
                    }
                }
                for (who, queue) in &queues {
                    prop_assert_eq!(&waiting(&arrivals, places[*who]), queue);
                }
                let longest = queues.values().map(Vec::len).max();
                prop_assert_eq!(arrivals.waiting.len(), longest.unwrap_or(0));
            }
        }
    }
}
