//! Hash tables for keys that are hashes: one that is the same in every process, and one on it whose
//! size is bounded.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::chain::fingerprint::fold;

/// A table of bounded size. When its younger half is full, the older half is forgotten; what is
/// asked for becomes young again.
pub struct Generations<K, V, const MAX: usize> {
    young: FoldMap<K, V>,
    old: FoldMap<K, V>,
}

impl<K, V, const MAX: usize> Default for Generations<K, V, MAX> {
    fn default() -> Self {
        Generations {
            young: FoldMap::default(),
            old: FoldMap::default(),
        }
    }
}

impl<K: Hash + Eq + Copy, V, const MAX: usize> Generations<K, V, MAX> {
    /// A value; it is young again.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.insert(*key, value);
        }
        self.young.get(key)
    }

    /// Adds or replaces a value.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// A hash map whose hasher is the same in every process, unlike the standard library's. Keys here are
/// hashes already, or hold some: a multiplication a word is enough.
#[expect(
    clippy::disallowed_types,
    reason = "the one alias, with a hasher of its own"
)]
pub type FoldMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FoldHasher>>;

/// See [`FoldMap`].
#[derive(Default)]
pub struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, 0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_at_least_its_younger_half_and_what_is_asked_for() {
        let mut table = Generations::<u64, u64, 64>::default();
        for n in 0..10_000 {
            table.insert(n, n);
            assert_eq!(table.get(&0), Some(&0));
            assert!(table.young.len() + table.old.len() <= 64);
        }
        assert!((9_970..10_000).all(|n| table.get(&n) == Some(&n)));
        assert_eq!(table.get(&5_000), None);
    }
}
