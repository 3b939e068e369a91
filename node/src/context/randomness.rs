//! The node's one source of chance: a seeded generator, so that the same inputs give the same
//! outputs on any machine.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Draws.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Randomness {
    /// Key of [`Randomness::short_id`]. It stands first, being needed oftener.
    key: [u64; 4],
    generator: ChaCha8Rng,
}

impl Randomness {
    pub(crate) fn new(seed: u64) -> Randomness {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let key = std::array::from_fn(|_| generator.next_u64());
        Randomness { key, generator }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Uniform below `bound`; zero if that is zero. The bias of the multiplication is below
    /// 2^-32 for every list that fits in memory.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.u64()) * bound as u128) >> 64) as usize
    }

    /// Exponentially distributed (the waits of a Poisson process), cut at ten times the mean.
    /// By inverse transform on `libm`, whose results are the same everywhere.
    pub(crate) fn exponential(&mut self, mean: Duration) -> Duration {
        // In (0, 1]: 53 bits, and never zero.
        let uniform = ((self.u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let factor = (-libm::log(uniform)).min(10.0);
        Duration::from_nanos((mean.as_nanos() as f64 * factor) as u64)
    }

    /// Uniform between half and one and a half of `mean`.
    pub(crate) fn jittered(&mut self, mean: Duration) -> Duration {
        let nanos = u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX);
        let spread = self.below(usize::try_from(nanos).unwrap_or(usize::MAX)) as u64;
        Duration::from_nanos((nanos / 2).saturating_add(spread))
    }

    /// A 64-bit stand-in for a hash, keyed so that nobody outside can make two of them collide.
    pub(crate) fn short_id(&self, hash: &[u8; 32]) -> u64 {
        let mut mixed = 0u64;
        for (word, key) in hash.chunks_exact(8).zip(self.key) {
            let word = u64::from_le_bytes(std::array::from_fn(|i| word[i]));
            // The multiply-and-fold of wyhash, one round a word.
            let product = u128::from(word ^ key) * u128::from(mixed ^ key.rotate_left(32) | 1);
            mixed = (product >> 64) as u64 ^ product as u64;
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let mut a = Randomness::new(7);
        let mut b = Randomness::new(7);
        assert_eq!(a.u64(), b.u64());
        assert_eq!(a.short_id(&[1; 32]), b.short_id(&[1; 32]));
        assert_ne!(a.short_id(&[1; 32]), Randomness::new(8).short_id(&[1; 32]));
    }

    #[test]
    fn exponential_waits_have_their_mean() {
        let mut randomness = Randomness::new(1);
        let mean = Duration::from_millis(100);
        let sum: Duration = (0..20_000).map(|_| randomness.exponential(mean)).sum();
        let measured = sum / 20_000;
        assert!((97..103).contains(&measured.as_millis()), "{measured:?}");
    }

    #[test]
    fn draws_stay_below_their_bound() {
        let mut randomness = Randomness::new(1);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            seen[randomness.below(5)] += 1;
        }
        assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
        assert_eq!(randomness.below(0), 0);
    }
}
