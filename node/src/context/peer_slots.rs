//! Small numbers for connections, and sets of them: a bit each.

use smallvec::SmallVec;

/// Words of slots that a transaction has room for at once: 128 slots, which is enough for Bitcoin
/// Core's default of 125 connections.
const WORDS_INLINE: usize = 2;

/// A connection's number, the lowest that was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerSlot(u32);

impl PeerSlot {
    /// The slot with a number.
    pub(crate) const fn at(number: u32) -> PeerSlot {
        PeerSlot(number)
    }

    /// Its number.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    fn word(self) -> usize {
        (self.0 / u64::BITS) as usize
    }

    fn bit(self) -> u64 {
        1 << (self.0 % u64::BITS)
    }
}

/// Some slots, a bit each; what is beyond the last word is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerSlots(SmallVec<[u64; WORDS_INLINE]>);

impl PeerSlots {
    pub(crate) fn has(&self, slot: PeerSlot) -> bool {
        let word = self.0.get(slot.word());
        word.is_some_and(|word| word & slot.bit() != 0)
    }

    pub(crate) fn add(&mut self, slot: PeerSlot) {
        if self.0.len() <= slot.word() {
            self.0.resize(slot.word() + 1, 0);
        }
        self.0[slot.word()] |= slot.bit();
    }

    pub(crate) fn remove(&mut self, slot: PeerSlot) {
        if let Some(word) = self.0.get_mut(slot.word()) {
            *word &= !slot.bit();
        }
    }

    /// Those that are not among some others, in their order.
    pub(crate) fn without(&self, others: &PeerSlots) -> impl Iterator<Item = PeerSlot> {
        let words = self
            .0
            .iter()
            .zip(others.0.iter().chain(std::iter::repeat(&0)));
        (0..).zip(words).flat_map(|(at, (word, other))| {
            let mut left = word & !other;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(PeerSlot(at * u64::BITS + bit))
            })
        })
    }

    /// The lowest that is not among them.
    pub(crate) fn first_missing(&self) -> PeerSlot {
        let full = self.0.iter().take_while(|word| **word == u64::MAX).count();
        let bit = self.0.get(full).map_or(0, |word| word.trailing_ones());
        PeerSlot(full as u32 * u64::BITS + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_slots_without_others() {
        let slots = |numbers: &[u32]| {
            let mut slots = PeerSlots::default();
            numbers
                .iter()
                .for_each(|number| slots.add(PeerSlot(*number)));
            slots
        };
        let some = slots(&[0, 5, 63, 64, 200]);
        let left = |others: &[u32]| -> Vec<u32> {
            let others = slots(others);
            some.without(&others).map(|slot| slot.0).collect()
        };
        assert_eq!(left(&[]), [0, 5, 63, 64, 200]);
        assert_eq!(left(&[5, 64, 300]), [0, 63, 200]);
    }
}
