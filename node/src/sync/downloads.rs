//! Which bodies are on their way, from whom, and how long a peer may take.

use std::time::Duration;

use bitcoin::BlockHash;
use litemap::LiteMap;

use crate::io::PeerId;

/// The longest a peer may take for a block, however often others stalled (as Bitcoin Core's
/// stalling timeout).
const TIMEOUT_MAX: Duration = Duration::from_secs(64);
/// Blocks whose giver is remembered until they are connected; no more can be kept unconnected.
const SOURCES_MAX: usize = 512;

/// Bodies on their way, and those that came but are not connected yet: mostly none or one, so that
/// sorted lists serve better than trees.
#[derive(Clone, Debug)]
pub(crate) struct Downloads {
    asked: LiteMap<BlockHash, PeerId>,
    /// Who gave a block that is not connected yet, to be blamed if it turns out invalid.
    sources: LiteMap<BlockHash, PeerId>,
    timeout_min: Duration,
    timeout: Duration,
}

impl Downloads {
    pub(crate) fn new(timeout: Duration) -> Downloads {
        Downloads {
            asked: LiteMap::new(),
            sources: LiteMap::new(),
            timeout_min: timeout,
            timeout,
        }
    }

    /// How long a peer may take for a block now.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many bodies are on their way.
    pub(super) fn count(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn is_asked(&self, hash: &BlockHash) -> bool {
        self.asked.contains_key(hash)
    }

    /// Who was asked for a body.
    pub(super) fn asked_of(&self, hash: &BlockHash) -> Option<PeerId> {
        self.asked.get(hash).copied()
    }

    pub(super) fn ask(&mut self, hash: BlockHash, peer: PeerId) {
        self.asked.insert(hash, peer);
    }

    /// A body is here, or no longer awaited. Who was asked for it.
    pub(super) fn forget(&mut self, hash: &BlockHash) -> Option<PeerId> {
        self.asked.remove(hash)
    }

    /// A body came as asked: the timeout shrinks back.
    pub(super) fn in_time(&mut self) {
        self.timeout = (self.timeout * 17 / 20).max(self.timeout_min);
    }

    /// A peer stalled: it may be the lines that are slow, so the timeout grows.
    pub(super) fn stalled(&mut self) {
        self.timeout = (self.timeout * 2).min(TIMEOUT_MAX.max(self.timeout_min));
    }

    /// Notes who gave a block.
    pub(super) fn came_from(&mut self, hash: BlockHash, peer: PeerId) {
        if self.sources.len() < SOURCES_MAX {
            self.sources.insert(hash, peer);
        }
    }

    /// Who gave a block, which is then forgotten.
    pub(super) fn take_source(&mut self, hash: &BlockHash) -> Option<PeerId> {
        self.sources.remove(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_grows_with_stalls_and_shrinks_with_deliveries() {
        let mut downloads = Downloads::new(Duration::from_secs(5));
        downloads.stalled();
        assert_eq!(downloads.timeout(), Duration::from_secs(10));
        (0..10).for_each(|_| downloads.stalled());
        assert_eq!(downloads.timeout(), TIMEOUT_MAX);
        (0..100).for_each(|_| downloads.in_time());
        assert_eq!(downloads.timeout(), Duration::from_secs(5));
    }
}
