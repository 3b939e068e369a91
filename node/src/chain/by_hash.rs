//! Header entries by hash, in the order of the hashes' bytes. A map whose copies share what is
//! equal, and in which looking up costs little: nearly every message of a peer asks for a block or
//! two.

use std::ops::Index;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use imbl::OrdMap;

use super::entry::HeaderEntry;

/// A hash as words that compare as its bytes do: mostly the first one decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key([u64; 4]);

impl Key {
    fn of(hash: &BlockHash) -> Key {
        let bytes = hash.as_byte_array();
        Key(std::array::from_fn(|word| {
            u64::from_be_bytes(std::array::from_fn(|at| bytes[word * 8 + at]))
        }))
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct EntriesByHash(OrdMap<Key, HeaderEntry>);

impl EntriesByHash {
    /// One entry alone.
    pub fn of(entry: HeaderEntry) -> EntriesByHash {
        EntriesByHash(OrdMap::unit(Key::of(&entry.hash), entry))
    }

    pub fn get(&self, hash: &BlockHash) -> Option<&HeaderEntry> {
        self.0.get(&Key::of(hash))
    }

    /// To change an entry, but not its hash.
    pub fn get_mut(&mut self, hash: &BlockHash) -> Option<&mut HeaderEntry> {
        self.0.get_mut(&Key::of(hash))
    }

    /// Adds an entry. Returns what had its hash.
    pub fn insert(&mut self, entry: HeaderEntry) -> Option<HeaderEntry> {
        self.0.insert(Key::of(&entry.hash), entry)
    }

    pub fn remove(&mut self, hash: &BlockHash) -> Option<HeaderEntry> {
        self.0.remove(&Key::of(hash))
    }

    /// All, by hash.
    pub fn values(&self) -> impl Iterator<Item = &HeaderEntry> {
        self.0.values()
    }
}

impl Index<&BlockHash> for EntriesByHash {
    type Output = HeaderEntry;

    /// # Panics
    /// When the block is not known.
    fn index(&self, hash: &BlockHash) -> &HeaderEntry {
        self.get(hash)
            .unwrap_or_else(|| panic!("no block {hash} is known"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_the_hashes(
            mut one in any::<[u8; 32]>(), other in any::<[u8; 32]>(), same in 0..32usize,
        ) {
            // Hashes that differ late, as well.
            one[..same].copy_from_slice(&other[..same]);
            let (one, other) = (BlockHash::from_byte_array(one), BlockHash::from_byte_array(other));
            prop_assert_eq!(Key::of(&one).cmp(&Key::of(&other)), one.cmp(&other));
        }
    }
}
