//! The one order in which everything happens: by time, then by who caused it, then by how many
//! things that one had caused before. No part of the key depends on how the nodes are spread over
//! threads, so neither does the order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use peerlab_link::Nanos;

/// When and by whose doing something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// When.
    pub at: Nanos,
    /// The node that caused it.
    pub origin: u32,
    /// How many things it had caused before.
    pub sequence: u32,
}

/// An entry of the heap: the rest of the happening stands elsewhere, so that little is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    key: Key,
    slot: u32,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first; the earliest is wanted.
        other.key.cmp(&self.key)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is still to happen.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Entry>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds a happening.
    pub fn push(&mut self, key: Key, what: T) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(what);
                slot
            }
            None => {
                self.slots.push(Some(what));
                (self.slots.len() - 1) as u32
            }
        };
        self.heap.push(Entry { key, slot });
    }

    /// When the next one happens.
    pub fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|entry| entry.key.at)
    }

    /// Takes the next one, if it happens before `end`.
    pub fn pop_before(&mut self, end: Nanos) -> Option<(Key, T)> {
        let next = self.heap.peek().filter(|entry| entry.key.at < end)?;
        let Entry { key, slot } = *next;
        self.heap.pop();
        self.free.push(slot);
        let what = self.slots[slot as usize].take();
        Some((
            key,
            what.unwrap_or_else(|| unreachable!("every entry has its slot")),
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_comes_in_the_order_of_its_key(
            keys in prop::collection::btree_set((0u64..50, 0u32..5, 0u32..50), 0..300),
            order in any::<prop::sample::Index>(),
        ) {
            let mut shuffled: Vec<_> = keys.iter().copied().collect();
            let middle = if shuffled.is_empty() { 0 } else { order.index(shuffled.len()) };
            shuffled.rotate_left(middle);
            let mut queue = Queue::default();
            for (at, origin, sequence) in shuffled {
                let key = Key { at: Nanos(at), origin, sequence };
                queue.push(key, (at, origin, sequence));
            }
            let mut popped = Vec::new();
            while let Some((key, what)) = queue.pop_before(Nanos(40)) {
                prop_assert_eq!((key.at.0, key.origin, key.sequence), what);
                popped.push(what);
            }
            let expected: Vec<_> = keys.into_iter().filter(|key| key.0 < 40).collect();
            prop_assert_eq!(popped, expected);
            prop_assert!(queue.next_at().is_none_or(|at| at >= Nanos(40)));
        }
    }
}
