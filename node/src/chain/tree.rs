//! The tree of all known headers: work, branches, which bodies are here, which chain is best.
//! It judges no block; it remembers the verdicts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};
use imbl::Vector;

use super::by_hash::EntriesByHash;
use super::entry::{BlockStatus, HeaderEntry};
use super::fingerprint::Fingerprint;
use super::rules::MEDIAN_TIME_SPAN;
use super::store::IndexRecord;

/// Headers without a body that are kept at most. A header costs a flooder two hashes on regtest
/// and this node some 400 bytes; the limit holds such a flood at about 26 MB while a sync from
/// nothing still looks 65,536 blocks ahead.
pub const MAX_HEADERS_WITHOUT_BODY: usize = 65_536;

/// How the best of several complete chains is found: most work, then first seen.
type Rank = (Work, Reverse<u64>, BlockHash);

/// All known headers, from genesis. Copies share what is equal.
#[derive(Clone, Debug)]
pub struct HeaderTree {
    entries: EntriesByHash,
    /// The sum of the entries' fingerprints.
    entries_print: Fingerprint,
    /// The chain of the most-work header that is not known to be invalid, by height.
    best_path: Vector<BlockHash>,
    /// The last of these.
    best: BlockHash,
    /// Complete, not invalid chain ends with at least the work of the tip.
    candidates: BTreeSet<Rank>,
    /// Blocks with a body whose parent's chain is not complete, by parent.
    unlinked: BTreeMap<BlockHash, Vec<BlockHash>>,
    without_body: usize,
    without_body_max: usize,
    last_sequence: u64,
}

impl HeaderTree {
    /// A tree of genesis alone.
    pub fn new(genesis: &Header) -> HeaderTree {
        let hash = genesis.block_hash();
        let root = HeaderEntry {
            hash,
            header: *genesis,
            height: 0,
            work: genesis.work(),
            status: BlockStatus::Valid,
            tx_count: Some(1),
            sequence: 0,
            noted: true,
        };
        HeaderTree {
            candidates: BTreeSet::from([rank(&root)]),
            entries_print: root.fingerprint(),
            entries: EntriesByHash::of(root),
            best_path: Vector::unit(hash),
            best: hash,
            unlinked: BTreeMap::new(),
            without_body: 0,
            without_body_max: MAX_HEADERS_WITHOUT_BODY,
            last_sequence: 0,
        }
    }

    /// The entry of a block.
    pub fn get(&self, hash: &BlockHash) -> Option<&HeaderEntry> {
        self.entries.get(hash)
    }

    /// All entries, by hash.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderEntry> {
        self.entries.values()
    }

    /// The chain of the best header, by height.
    pub fn best_path(&self) -> &Vector<BlockHash> {
        &self.best_path
    }

    /// The height on the chain of the best header where bodies begin to be missing, or `below`;
    /// beneath `above` they are known not to.
    pub fn first_gap(&self, above: u32, below: u32) -> u32 {
        // Complete chains are closed under ancestry, so it can be found by halving.
        let (mut low, mut high) = (above.min(below), below);
        while low < high {
            let middle = low + (high - low) / 2;
            let linked = self
                .best_path
                .get(middle as usize)
                .is_some_and(|hash| self.is_linked(hash));
            if linked {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Stands for all that decides what the tree will do: how every block stands, which header is
    /// best, who waits for whom, and who is next among candidates. Of the order of arrival, only
    /// that between candidates counts: what has less work than the tip is never chosen again.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut print = self.entries_print;
        print.absorb(&self.best_header().hash);
        print.absorb_number(self.candidates.len() as u64);
        for (_, _, hash) in &self.candidates {
            print.absorb(hash);
        }
        for (parent, waiting) in &self.unlinked {
            print.absorb(parent);
            print.absorb_number(waiting.len() as u64);
            waiting.iter().for_each(|hash| print.absorb(hash));
        }
        print
    }

    /// Changes an entry.
    fn change<T>(
        &mut self,
        hash: &BlockHash,
        change: impl FnOnce(&mut HeaderEntry) -> T,
    ) -> Option<T> {
        let entry = self.entries.get_mut(hash)?;
        self.entries_print.subtract(entry.fingerprint());
        let result = change(entry);
        self.entries_print.add(entry.fingerprint());
        Some(result)
    }

    /// The most-work header not known to be invalid; first seen wins.
    pub fn best_header(&self) -> &HeaderEntry {
        &self.entries[&self.best]
    }

    /// The end of the best complete chain: what should be the tip.
    pub fn best_candidate(&self) -> BlockHash {
        let (_, _, hash) = self
            .candidates
            .last()
            .unwrap_or_else(|| unreachable!("the tip is always among them"));
        *hash
    }

    /// The median of the times of a block and the ten before it (BIP113).
    pub fn median_time_past(&self, hash: &BlockHash) -> u32 {
        let mut times = Vec::with_capacity(MEDIAN_TIME_SPAN);
        let mut next = *hash;
        while let Some(entry) = self.entries.get(&next)
            && times.len() < MEDIAN_TIME_SPAN
        {
            times.push(entry.header.time);
            next = entry.parent();
        }
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    }

    /// Whether one more header without a body has room, after making room if need be: branches
    /// of bare headers beside the best one go first, and what extends the best one too far ahead
    /// has to wait.
    pub fn make_room(&mut self, parent: &BlockHash) -> bool {
        if self.without_body < self.without_body_max {
            return true;
        }
        self.drop_bare_branches(parent);
        // Dropping walks the whole tree, so it must have been worth it: an eighth stays free for
        // the headers to come, or nothing is taken.
        self.without_body <= self.without_body_max - self.without_body_max / 8
    }

    /// Adds a header whose parent is known, sound as far as a header can be. Invalid ancestry is
    /// inherited.
    pub fn insert(&mut self, header: Header, hash: BlockHash) {
        let Some(parent) = self.entries.get(&header.prev_blockhash) else {
            return;
        };
        let entry = HeaderEntry {
            hash,
            header,
            height: parent.height + 1,
            work: parent.work + header.work(),
            status: if parent.status.is_invalid() {
                BlockStatus::InvalidAncestor
            } else {
                BlockStatus::HeaderOnly
            },
            tx_count: None,
            sequence: 0,
            noted: false,
        };
        let better = !entry.status.is_invalid() && entry.work > self.best_header().work;
        self.entries_print.add(entry.fingerprint());
        match self.entries.insert(entry) {
            None => self.without_body += 1,
            Some(old) => self.entries_print.subtract(old.fingerprint()),
        }
        if better {
            self.lead_best_path_to(hash);
        }
    }

    /// Notes that a body was stored. Returns the blocks whose chains this completed.
    pub fn body_stored(&mut self, hash: &BlockHash, tx_count: u32) -> Vec<BlockHash> {
        let Some(entry) = self.entries.get(hash) else {
            return Vec::new();
        };
        if entry.status != BlockStatus::HeaderOnly {
            return Vec::new();
        }
        let parent = entry.parent();
        self.change(hash, |entry| {
            entry.status = BlockStatus::Stored;
            entry.tx_count = Some(tx_count);
        });
        self.without_body -= 1;
        if !self.is_linked(&parent) {
            self.unlinked.entry(parent).or_default().push(*hash);
            return Vec::new();
        }
        let mut linked = vec![*hash];
        let mut next = 0;
        while next < linked.len() {
            self.last_sequence += 1;
            let sequence = self.last_sequence;
            let ranked = self.change(&linked[next], |entry| {
                entry.sequence = sequence;
                rank(entry)
            });
            self.candidates.extend(ranked);
            linked.extend(self.unlinked.remove(&linked[next]).unwrap_or_default());
            next += 1;
        }
        linked
    }

    /// Notes that the store has, or will have, an entry. Returns whether that is new.
    pub fn note(&mut self, hash: &BlockHash) -> bool {
        let unsaved = self.entries.get(hash).is_some_and(|entry| !entry.noted);
        if unsaved {
            self.change(hash, |entry| entry.noted = true);
        }
        unsaved
    }

    /// Puts back what the store knew, parents first.
    pub fn restore(&mut self, hash: BlockHash, record: &IndexRecord) {
        self.insert(record.header, hash);
        self.note(&hash);
        if record.status.has_body() {
            self.body_stored(&hash, record.tx_count.unwrap_or(0));
        }
        if record.sequence > 0
            && let Some(entry) = self.entries.get(&hash)
            && entry.sequence > 0
        {
            self.candidates.remove(&rank(entry));
            let ranked = self.change(&hash, |entry| {
                entry.sequence = record.sequence;
                rank(entry)
            });
            self.candidates.extend(ranked);
            self.last_sequence = self.last_sequence.max(record.sequence);
        }
        match record.status {
            BlockStatus::Valid => self.mark_valid(&hash),
            BlockStatus::Invalid => {
                self.mark_invalid(&hash);
            }
            _ => {}
        }
    }

    /// Notes that every rule held.
    pub fn mark_valid(&mut self, hash: &BlockHash) {
        let stored = |entry: &HeaderEntry| entry.status == BlockStatus::Stored;
        if self.entries.get(hash).is_some_and(stored) {
            self.change(hash, |entry| entry.status = BlockStatus::Valid);
        }
    }

    /// Notes that a block breaks a rule; its descendants fall with it. Returns all that changed,
    /// the block first.
    pub fn mark_invalid(&mut self, hash: &BlockHash) -> Vec<BlockHash> {
        let Some(first) = self.entries.get(hash) else {
            return Vec::new();
        };
        let mut above: Vec<(u32, BlockHash, BlockHash)> = self
            .entries
            .values()
            .filter(|entry| entry.height > first.height)
            .map(|entry| (entry.height, entry.hash, entry.parent()))
            .collect();
        above.sort_unstable();
        let mut fallen = vec![*hash];
        let mut lookup = BTreeSet::from([*hash]);
        for (_, hash, parent) in above {
            if lookup.contains(&parent) {
                lookup.insert(hash);
                fallen.push(hash);
            }
        }
        for (index, hash) in fallen.iter().enumerate() {
            let status = if index == 0 {
                BlockStatus::Invalid
            } else {
                BlockStatus::InvalidAncestor
            };
            self.condemn(hash, status);
        }
        self.find_best_path();
        fallen
    }

    fn condemn(&mut self, hash: &BlockHash, status: BlockStatus) {
        let Some(entry) = self.entries.get(hash) else {
            return;
        };
        let parent = entry.parent();
        self.candidates.remove(&rank(entry));
        if entry.status.has_body() {
            // From now on it counts as bare: nothing will ask for its body again.
            self.without_body += 1;
        }
        self.change(hash, |entry| entry.status = status);
        self.unlinked.remove(hash);
        if let Some(siblings) = self.unlinked.get_mut(&parent) {
            siblings.retain(|sibling| sibling != hash);
            if siblings.is_empty() {
                self.unlinked.remove(&parent);
            }
        }
    }

    /// Forgets candidates that the tip has outdone.
    pub fn prune_candidates(&mut self, tip: &BlockHash) {
        if let Some(tip) = self.entries.get(tip) {
            let floor = (tip.work, Reverse(u64::MAX), BlockHash::all_zeros());
            self.candidates = self.candidates.split_off(&floor);
        }
    }

    /// The way from one block to another: what to take off, tip first, and what to put on, in
    /// order.
    pub fn path(&self, from: &BlockHash, to: &BlockHash) -> (Vec<BlockHash>, Vec<BlockHash>) {
        let (mut left, mut right) = (&self.entries[from], &self.entries[to]);
        let (mut off, mut on) = (Vec::new(), Vec::new());
        while left.hash != right.hash {
            if left.height >= right.height {
                off.push(left.hash);
                left = &self.entries[&left.parent()];
            } else {
                on.push(right.hash);
                right = &self.entries[&right.parent()];
            }
        }
        on.reverse();
        (off, on)
    }

    /// Whether a block and all its ancestors have their bodies here, and none is invalid.
    pub fn is_linked(&self, hash: &BlockHash) -> bool {
        self.entries.get(hash).is_some_and(HeaderEntry::is_linked)
    }

    fn lead_best_path_to(&mut self, hash: BlockHash) {
        let mut missing = Vec::new();
        let mut next = &self.entries[&hash];
        while self.best_path.get(next.height as usize) != Some(&next.hash) {
            missing.push(next.hash);
            next = &self.entries[&next.parent()];
        }
        let height = next.height as usize;
        self.best_path.truncate(height + 1);
        self.best_path.extend(missing.into_iter().rev());
        self.best = hash;
    }

    /// Finds the best header anew. Among equals the one whose chain was complete first wins, then
    /// the lower hash.
    fn find_best_path(&mut self) {
        if !self.best_header().status.is_invalid() {
            return;
        }
        let best = self
            .entries
            .values()
            .filter(|entry| !entry.status.is_invalid())
            .max_by_key(|entry| {
                let seen = if entry.sequence == 0 {
                    u64::MAX
                } else {
                    entry.sequence
                };
                (entry.work, Reverse(seen), Reverse(entry.hash))
            })
            .map(|entry| entry.hash);
        if let Some(best) = best {
            self.lead_best_path_to(best);
        }
    }

    /// Forgets bare headers that lead neither to the best header, nor to a body, nor to `keep`.
    fn drop_bare_branches(&mut self, keep: &BlockHash) {
        let mut kept: BTreeSet<BlockHash> = self.best_path.iter().copied().collect();
        let ends: Vec<BlockHash> = self
            .entries
            .values()
            .filter(|entry| entry.status.has_body())
            .map(|entry| entry.hash)
            .chain([*keep])
            .collect();
        for mut hash in ends {
            while kept.insert(hash)
                && let Some(entry) = self.entries.get(&hash)
            {
                hash = entry.parent();
            }
        }
        let dropped: Vec<BlockHash> = self
            .entries
            .values()
            .map(|entry| entry.hash)
            .filter(|hash| !kept.contains(hash))
            .collect();
        for hash in &dropped {
            if let Some(entry) = self.entries.remove(hash) {
                self.entries_print.subtract(entry.fingerprint());
            }
        }
        self.without_body = self
            .entries
            .values()
            .filter(|entry| !entry.status.has_body())
            .count();
    }

    #[cfg(test)]
    pub(crate) fn limit_bare_headers(&mut self, max: usize) {
        self.without_body_max = max;
    }
}

fn rank(entry: &HeaderEntry) -> Rank {
    (entry.work, Reverse(entry.sequence), entry.hash)
}
