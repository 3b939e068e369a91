//! Small numbers for connections, and sets of them: a bit each.

use smallvec::SmallVec;

/// Words of places that a transaction has room for at once: 128 places, which is enough for Bitcoin
/// Core's default of 125 connections.
const WORDS_IN_PLACE: usize = 2;

/// A connection's number, the lowest that was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u32);

impl Place {
    /// The place with a number.
    pub(crate) const fn at(number: u32) -> Place {
        Place(number)
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

/// Some places, a bit each; what is beyond the last word is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(SmallVec<[u64; WORDS_IN_PLACE]>);

impl Places {
    pub(crate) fn has(&self, place: Place) -> bool {
        let word = self.0.get(place.word());
        word.is_some_and(|word| word & place.bit() != 0)
    }

    pub(crate) fn add(&mut self, place: Place) {
        if self.0.len() <= place.word() {
            self.0.resize(place.word() + 1, 0);
        }
        self.0[place.word()] |= place.bit();
    }

    pub(crate) fn remove(&mut self, place: Place) {
        if let Some(word) = self.0.get_mut(place.word()) {
            *word &= !place.bit();
        }
    }

    /// Those that are not among some others, in their order.
    pub(crate) fn without(&self, others: &Places) -> impl Iterator<Item = Place> {
        let words = self
            .0
            .iter()
            .zip(others.0.iter().chain(std::iter::repeat(&0)));
        (0..).zip(words).flat_map(|(at, (word, other))| {
            let mut left = word & !other;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(Place(at * u64::BITS + bit))
            })
        })
    }

    /// The lowest that is not among them.
    pub(crate) fn first_missing(&self) -> Place {
        let full = self.0.iter().take_while(|word| **word == u64::MAX).count();
        let bit = self.0.get(full).map_or(0, |word| word.trailing_ones());
        Place(full as u32 * u64::BITS + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_places_without_others() {
        let places = |numbers: &[u32]| {
            let mut places = Places::default();
            numbers.iter().for_each(|number| places.add(Place(*number)));
            places
        };
        let some = places(&[0, 5, 63, 64, 200]);
        let left = |others: &[u32]| -> Vec<u32> {
            let others = places(others);
            some.without(&others).map(|place| place.0).collect()
        };
        assert_eq!(left(&[]), [0, 5, 63, 64, 200]);
        assert_eq!(left(&[5, 64, 300]), [0, 63, 200]);
    }
}
