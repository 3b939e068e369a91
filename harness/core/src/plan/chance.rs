//! Where chance comes from: one stream of random numbers per purpose, each derived from the seed
//! and a label. Adding a node or a fault disturbs no other stream. The numbers are the same on
//! every machine: ChaCha8, integer arithmetic, and IEEE operations that are exactly rounded.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// One stream.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a seed and a label.
    pub fn new(seed: u64, label: &str) -> Chance {
        let key = Sha256::new()
            .chain_update(b"peerlab plan 1")
            .chain_update(seed.to_le_bytes())
            .chain_update(label)
            .finalize();
        Chance(ChaCha8Rng::from_seed(key.into()))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Evenly distributed in [0, 1), in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Evenly distributed in (0, 1): safe for logarithms.
    pub fn open_unit(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
    }

    /// Evenly distributed in 0..`count`, without bias; 0 when `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        let count = count as u64;
        if count == 0 {
            return 0;
        }
        // Numbers from the last, incomplete round of `count` are drawn again.
        let rounds = u64::MAX - u64::MAX % count;
        loop {
            let bits = self.bits();
            if bits < rounds {
                return (bits % count) as usize;
            }
        }
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// `count` different items, or all when there are fewer, in random order.
    pub fn choose<T: Copy>(&mut self, from: &[T], count: usize) -> Vec<T> {
        let count = count.min(from.len());
        // Few out of many: draw until new. Otherwise shuffle.
        if count * 8 < from.len() {
            let mut seen = std::collections::BTreeSet::new();
            let mut chosen = Vec::with_capacity(count);
            while chosen.len() < count {
                let index = self.below(from.len());
                if seen.insert(index) {
                    chosen.push(from[index]);
                }
            }
            return chosen;
        }
        let mut all = from.to_vec();
        self.shuffle(&mut all);
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_stable_and_independent() {
        assert_eq!(Chance::new(1, "a").bits(), Chance::new(1, "a").bits());
        assert_ne!(Chance::new(1, "a").bits(), Chance::new(1, "b").bits());
        assert_ne!(Chance::new(1, "a").bits(), Chance::new(2, "a").bits());
    }

    #[test]
    fn draws_are_in_their_range_and_even() {
        let mut chance = Chance::new(7, "test");
        let mut counts = [0; 5];
        for _ in 0..50_000 {
            counts[chance.below(5)] += 1;
            let unit = chance.open_unit();
            assert!(unit > 0.0 && unit < 1.0);
        }
        // Five standard deviations of a binomial with n = 50,000 and p = 1/5.
        assert!(
            counts
                .iter()
                .all(|count| (*count as f64 - 10_000.0).abs() < 450.0),
            "{counts:?}"
        );
    }

    #[test]
    fn choices_are_different_items() {
        let mut chance = Chance::new(7, "test");
        let items: Vec<u32> = (0..100).collect();
        for count in [0, 3, 50, 100, 200] {
            let mut chosen = chance.choose(&items, count);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), count.min(100));
        }
    }
}
