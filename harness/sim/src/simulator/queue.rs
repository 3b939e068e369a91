//! The one order in which everything happens: by time, then by who caused it, then by how many
//! things that one had caused before. No part of the key depends on how the nodes are spread over
//! threads, so neither does the order.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use peerlab_link::Nanos;

/// When and by whose doing something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub at: Nanos,
    /// The node that caused it.
    pub origin: u32,
    /// How many things it had caused before.
    pub sequence: u32,
}

/// What happens, and when. It is small: entries are moved often.
type Entry<T> = (Key, T);

/// Times that differ below this bit only are in one bucket: about four milliseconds, in which a shard
/// of ten thousand nodes has some hundreds of events while a block spreads.
const BUCKET_BITS: u32 = 22;
/// Buckets of the wheel, a power of two: a turn of about four seconds holds all packets but those that
/// wait long; timers come later, and wait in a heap.
const BUCKETS: usize = 1_024;

/// What is still to happen: a calendar queue (Brown 1988). The bucket that is being emptied is
/// sorted, so that what comes after the next event is known as well.
#[derive(Debug)]
pub struct Queue<T> {
    /// The bucket that is being emptied, or an earlier one: sorted, the earliest at the end.
    current: Vec<Entry<T>>,
    /// Number of that bucket. All in `wheel` and `later` are in buckets above.
    current_number: u64,
    /// By the lowest bits of its number, each bucket less than [`BUCKETS`] above the current one.
    wheel: Vec<Vec<Entry<T>>>,
    /// Which of these are not empty, by bit.
    filled: [u64; BUCKETS / 64],
    /// Emptied buckets: taken again, they are near, and there are no more than were filled at once.
    spare: Vec<Vec<Entry<T>>>,
    /// What was further ahead when it was added.
    later: BTreeMap<Key, T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            current: Vec::new(),
            current_number: 0,
            wheel: std::iter::repeat_with(Vec::new).take(BUCKETS).collect(),
            filled: [0; BUCKETS / 64],
            spare: Vec::new(),
            later: BTreeMap::new(),
        }
    }
}

fn bucket_number(at: Nanos) -> u64 {
    at.0 >> BUCKET_BITS
}

fn place_in_wheel(number: u64) -> usize {
    (number % BUCKETS as u64) as usize
}

impl<T> Queue<T> {
    pub fn push(&mut self, key: Key, what: T) {
        if let Some(entry) = self.push_later((key, what)) {
            let place = self.current.partition_point(|(other, _)| *other > key);
            self.current.insert(place, entry);
        }
    }

    /// Adds many. Those for the current bucket are sorted in together: each by itself would move
    /// half of that bucket.
    pub fn push_all(&mut self, events: impl Iterator<Item = (Key, T)>) {
        let sorted = self.current.len();
        for entry in events {
            let now = self.push_later(entry);
            self.current.extend(now);
        }
        if self.current.len() > sorted {
            // Stable sorting makes use of what is sorted already.
            self.current.sort_by_key(|(key, _)| Reverse(*key));
        }
    }

    /// Adds an entry unless it belongs into the current bucket: then it is returned.
    fn push_later(&mut self, entry: Entry<T>) -> Option<Entry<T>> {
        let number = bucket_number(entry.0.at);
        if number <= self.current_number {
            return Some(entry);
        }
        if number - self.current_number < BUCKETS as u64 {
            self.push_in_wheel(place_in_wheel(number), entry);
        } else {
            self.later.insert(entry.0, entry.1);
        }
        None
    }

    fn push_in_wheel(&mut self, place: usize, entry: Entry<T>) {
        let bucket = &mut self.wheel[place];
        if bucket.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *bucket = spare;
        }
        bucket.push(entry);
        self.filled[place / 64] |= 1 << (place % 64);
    }

    /// When the next one happens.
    pub fn next_at(&self) -> Option<Nanos> {
        if let Some((key, _)) = self.current.last() {
            return Some(key.at);
        }
        let in_wheel = self.next_in_wheel().and_then(|number| {
            let bucket = &self.wheel[place_in_wheel(number)];
            bucket.iter().map(|(key, _)| key.at).min()
        });
        let later = self.later.keys().next().map(|key| key.at);
        in_wheel.into_iter().chain(later).min()
    }

    /// Takes the next one, if it happens before `end`.
    pub fn pop_before(&mut self, end: Nanos) -> Option<(Key, T)> {
        if self.current.is_empty() {
            self.open_bucket(end);
        }
        self.current.pop_if(|(key, _)| key.at < end)
    }

    /// Takes out all of a kind, in no order.
    pub fn take_all(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Vec<(Key, T)> {
        let mut taken: Vec<_> = self.later.extract_if(.., |_, what| wanted(what)).collect();
        for bucket in self.wheel.iter_mut().chain([&mut self.current]) {
            taken.extend(bucket.extract_if(.., |(_, what)| wanted(what)));
        }
        for (place, bucket) in self.wheel.iter().enumerate() {
            if bucket.is_empty() {
                self.filled[place / 64] &= !(1 << (place % 64));
            }
        }
        taken
    }

    /// What happens after so many others, as far as that is known: nothing, or something caused
    /// meanwhile, may come before it.
    pub fn ahead(&self, others: usize) -> Option<&T> {
        let place = self.current.len().checked_sub(others + 1)?;
        Some(&self.current[place].1)
    }

    /// Number of the first bucket in the wheel that is not empty.
    fn next_in_wheel(&self) -> Option<u64> {
        let first = self.current_number + 1;
        let start = place_in_wheel(first);
        // The words from that of `start` on, all around, and the first one's lower bits again.
        (0..=self.filled.len()).find_map(|step| {
            let word_at = (start / 64 + step) % self.filled.len();
            let mask = match step {
                0 => u64::MAX << (start % 64),
                _ => u64::MAX,
            };
            let word = self.filled[word_at] & mask;
            (word != 0).then(|| {
                let place = word_at * 64 + word.trailing_zeros() as usize;
                first + ((place + BUCKETS - start) % BUCKETS) as u64
            })
        })
    }

    /// Makes the next bucket that is not empty the current one, if it begins before `end`.
    fn open_bucket(&mut self, end: Nanos) {
        let in_wheel = self.next_in_wheel();
        let later = self.later.keys().next().map(|key| bucket_number(key.at));
        let Some(number) = in_wheel.into_iter().chain(later).min() else {
            return;
        };
        if number << BUCKET_BITS >= end.0 {
            return;
        }
        self.current_number = number;
        let place = place_in_wheel(number);
        if in_wheel == Some(number) {
            let bucket = std::mem::take(&mut self.wheel[place]);
            self.spare
                .push(std::mem::replace(&mut self.current, bucket));
            self.filled[place / 64] &= !(1 << (place % 64));
        }
        while let Some(entry) = self.later.first_entry()
            && bucket_number(entry.key().at) == number
        {
            self.current.push(entry.remove_entry());
        }
        self.current.sort_unstable_by_key(|(key, _)| Reverse(*key));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Times within a bucket, some buckets apart, a turn of the wheel apart, and far ahead.
    fn any_time() -> impl Strategy<Value = u64> {
        let turn = (BUCKETS as u64) << BUCKET_BITS;
        prop_oneof![
            0u64..50,
            0u64..(8 << BUCKET_BITS),
            (turn - (2 << BUCKET_BITS))..(turn + (2 << BUCKET_BITS)),
            0u64..5 * turn,
        ]
    }

    proptest! {
        #[test]
        fn everything_comes_in_the_order_of_its_key(
            steps in prop::collection::vec(
                (prop::collection::vec((any_time(), 0u32..5), 0..20), any_time()),
                0..40,
            ),
        ) {
            let mut queue = Queue::default();
            let mut expected = std::collections::BTreeSet::new();
            let mut sequence = 0;
            let mut now = 0;
            for (pushed, pause) in steps {
                let mut together = Vec::new();
                for (wait, origin) in pushed {
                    sequence += 1;
                    let key = Key { at: Nanos(now + wait), origin, sequence };
                    if origin < 3 {
                        queue.push(key, key);
                    } else {
                        together.push((key, key));
                    }
                    expected.insert(key);
                }
                queue.push_all(together.into_iter());
                prop_assert_eq!(queue.next_at(), expected.first().map(|key| key.at));
                if pause % 5 == 0 {
                    for (key, what) in queue.take_all(|what| what.sequence % 4 == 0) {
                        prop_assert_eq!(key, what);
                        prop_assert!(expected.remove(&key) && key.sequence % 4 == 0);
                        let later = Key { at: Nanos(key.at.0 + pause), ..key };
                        queue.push(later, later);
                        expected.insert(later);
                    }
                }
                let end = now + pause;
                while let Some((key, what)) = queue.pop_before(Nanos(end)) {
                    prop_assert_eq!(key, what);
                    prop_assert_eq!(expected.pop_first(), Some(key));
                    if let Some(next) = queue.ahead(0) {
                        prop_assert_eq!(Some(*next), expected.first().copied());
                    }
                    // Something that is caused for the same or a near instant.
                    if key.sequence % 3 == 0 {
                        sequence += 1;
                        let at = Nanos(key.at.0 + u64::from(key.sequence % 7) * 1_000);
                        let caused = Key { at, origin: 9, sequence };
                        queue.push(caused, caused);
                        expected.insert(caused);
                    }
                }
                prop_assert!(expected.first().is_none_or(|key| key.at.0 >= end));
                now = end;
            }
        }
    }
}
