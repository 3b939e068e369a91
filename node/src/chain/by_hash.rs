//! Header entries by hash, in the order of the hashes' bytes. A map whose copies share what is
//! equal, and in which looking up costs little: nearly every message of a peer asks for a block or
//! two.

use std::ops::Index;

use bitcoin::BlockHash;
use imbl::OrdMap;

use super::entry::HeaderEntry;
use crate::hash_key::HashKey;

/// See the module.
#[derive(Clone, Debug)]
pub struct EntriesByHash(OrdMap<HashKey, HeaderEntry>);

impl EntriesByHash {
    /// One entry alone.
    pub fn of(entry: HeaderEntry) -> EntriesByHash {
        EntriesByHash(OrdMap::unit(HashKey::of(&entry.hash), entry))
    }

    pub fn get(&self, hash: &BlockHash) -> Option<&HeaderEntry> {
        self.0.get(&HashKey::of(hash))
    }

    /// To change an entry, but not its hash.
    pub fn get_mut(&mut self, hash: &BlockHash) -> Option<&mut HeaderEntry> {
        self.0.get_mut(&HashKey::of(hash))
    }

    /// Adds an entry. Returns what had its hash.
    pub fn insert(&mut self, entry: HeaderEntry) -> Option<HeaderEntry> {
        self.0.insert(HashKey::of(&entry.hash), entry)
    }

    pub fn remove(&mut self, hash: &BlockHash) -> Option<HeaderEntry> {
        self.0.remove(&HashKey::of(hash))
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
