//! Questions about the chain. Nothing here changes anything.

use std::collections::BTreeSet;

use bitcoin::block::Header;
use bitcoin::{Amount, BlockHash};

use super::core::Chain;
use super::entry::{BlockStatus, ChainTip, ChainTipStatus, HeaderEntry};
use super::muhash::UtxoHash;

/// Hashes at the start of a locator that are one block apart; then the gaps double.
const LOCATOR_DENSE: usize = 10;

/// The coin set in numbers, as gettxoutsetinfo gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UtxoStats {
    /// Of the tip.
    pub height: u32,
    /// The tip.
    pub best_block: BlockHash,
    /// How many coins there are.
    pub txouts: u64,
    /// What they are worth together.
    pub total_amount: Amount,
    /// Bitcoin Core's measure of the set's size.
    pub bogosize: u64,
    /// MuHash3072 of the set.
    pub muhash: UtxoHash,
}

impl Chain {
    /// The most-work header that is not known to be invalid.
    pub fn best_header(&self) -> &HeaderEntry {
        self.tree().best_header()
    }

    /// What is known of a block.
    pub fn entry(&self, hash: &BlockHash) -> Option<&HeaderEntry> {
        self.tree().get(hash)
    }

    /// All known blocks, by hash.
    pub fn entries(&self) -> impl Iterator<Item = &HeaderEntry> {
        self.tree().iter()
    }

    /// The block of the active chain at a height.
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.ledger.active().get(height as usize).copied()
    }

    /// Whether a block is in the active chain.
    pub fn is_active(&self, hash: &BlockHash) -> bool {
        self.entry(hash)
            .is_some_and(|entry| self.hash_at(entry.height) == Some(*hash))
    }

    /// The median of the times of a block and the ten before it (BIP113), in Unix seconds; 0 for
    /// an unknown block.
    pub fn median_time_past(&self, hash: &BlockHash) -> u32 {
        self.tree().median_time_past(hash)
    }

    /// Where two blocks' chains part: the last block of the active chain that is an ancestor of
    /// (or is) this one.
    pub fn fork_point(&self, hash: &BlockHash) -> Option<&HeaderEntry> {
        let mut entry = self.entry(hash)?;
        while !self.is_active(&entry.hash) {
            entry = self.entry(&entry.parent())?;
        }
        Some(entry)
    }

    /// Hashes from a block back to genesis, ever sparser, from which a peer can tell what this
    /// node lacks. Empty for an unknown block.
    pub fn locator(&self, from: &BlockHash) -> Vec<BlockHash> {
        let Some(mut entry) = self.entry(from) else {
            return Vec::new();
        };
        let mut locator = vec![entry.hash];
        let mut step = 1;
        while entry.height > 0 {
            let height = entry.height.saturating_sub(step);
            let Some(next) = self.ancestor(entry, height) else {
                break;
            };
            entry = next;
            locator.push(entry.hash);
            if locator.len() > LOCATOR_DENSE {
                step *= 2;
            }
        }
        locator
    }

    /// The ancestor of a block at a height.
    pub fn ancestor<'a>(&'a self, from: &'a HeaderEntry, height: u32) -> Option<&'a HeaderEntry> {
        let mut entry = from;
        while entry.height > height {
            for path in [self.ledger.active(), self.tree().best_path()] {
                if path.get(entry.height as usize) == Some(&entry.hash) {
                    return self.entry(path.get(height as usize)?);
                }
            }
            entry = self.entry(&entry.parent())?;
        }
        (entry.height == height).then_some(entry)
    }

    /// Answers getheaders: what follows the first known hash of the locator in the active chain,
    /// up to `stop` or to `max` headers. With an empty locator, the header of `stop` alone.
    pub fn headers_after(&self, locator: &[BlockHash], stop: BlockHash, max: usize) -> Vec<Header> {
        if locator.is_empty() {
            return self
                .entry(&stop)
                .map(|entry| entry.header)
                .into_iter()
                .take(max)
                .collect();
        }
        let mut headers = Vec::new();
        for hash in self.active_after(locator).take(max) {
            headers.extend(self.entry(&hash).map(|entry| entry.header));
            if hash == stop {
                break;
            }
        }
        headers
    }

    /// Answers getblocks: as [`Chain::headers_after`], but `stop` itself is left out, and an empty
    /// locator begins at genesis.
    pub fn hashes_after(
        &self,
        locator: &[BlockHash],
        stop: BlockHash,
        max: usize,
    ) -> Vec<BlockHash> {
        self.active_after(locator)
            .take_while(|hash| *hash != stop)
            .take(max)
            .collect()
    }

    /// What follows the first known hash of the locator, or genesis, in the active chain.
    fn active_after(&self, locator: &[BlockHash]) -> impl Iterator<Item = BlockHash> + '_ {
        let known = locator.iter().find(|hash| self.is_active(hash));
        let height = known
            .and_then(|hash| self.entry(hash))
            .map_or(0, |entry| entry.height);
        (height + 1..).map_while(|height| self.hash_at(height))
    }

    /// Bodies that are missing on the way to the best header, lowest first, with their heights;
    /// none so high that it would be refused as too far ahead.
    pub fn wanted_blocks(&self, max: usize) -> Vec<(BlockHash, u32)> {
        let end = self.best_header().height + 1;
        self.bodies_missing(self.best_hashes(end), max)
    }

    /// As [`Chain::wanted_blocks`], towards the block that a certain peer has.
    pub fn wanted_blocks_toward(&self, target: &BlockHash, max: usize) -> Vec<(BlockHash, u32)> {
        let best = self.tree().best_path();
        let mut branch = Vec::new();
        let mut next = self.entry(target);
        while let Some(entry) = next
            && !entry.is_linked()
            && best.get(entry.height as usize) != Some(&entry.hash)
        {
            branch.push(entry.hash);
            next = self.entry(&entry.parent());
        }
        branch.reverse();
        let Some(base) = next else { return Vec::new() };
        if base.is_linked() {
            return self.bodies_missing(branch.into_iter(), max);
        }
        let trunk = self.best_hashes(base.height + 1);
        self.bodies_missing(trunk.chain(branch), max)
    }

    /// The chain of the best header, from where bodies are missing up to and without `end`.
    fn best_hashes(&self, end: u32) -> impl Iterator<Item = BlockHash> + '_ {
        let path = self.tree().best_path();
        // Mostly the best chain goes on from the tip.
        let tip = self.tip();
        let here = match path.get(tip.height as usize) {
            Some(hash) if *hash == tip.hash => tip.height + 1,
            _ => 0,
        };
        (self.tree().first_gap(here, end)..end)
            .filter_map(|height| path.get(height as usize).copied())
    }

    fn bodies_missing(
        &self,
        hashes: impl Iterator<Item = BlockHash>,
        max: usize,
    ) -> Vec<(BlockHash, u32)> {
        let height_max = self.tip().height + super::activate::MAX_BLOCKS_AHEAD;
        hashes
            .filter_map(|hash| self.entry(&hash))
            .take_while(|entry| entry.height <= height_max && !entry.status.is_invalid())
            .filter(|entry| entry.status == BlockStatus::HeaderOnly)
            .map(|entry| (entry.hash, entry.height))
            .take(max)
            .collect()
    }

    /// The ends of all branches, highest first.
    pub fn tips(&self) -> Vec<ChainTip> {
        let parents: BTreeSet<BlockHash> = self.entries().map(HeaderEntry::parent).collect();
        let active = self.tip().hash;
        let mut tips: Vec<ChainTip> = self
            .entries()
            .filter(|entry| entry.hash == active || !parents.contains(&entry.hash))
            .map(|entry| ChainTip {
                height: entry.height,
                hash: entry.hash,
                branch_len: entry.height
                    - self
                        .fork_point(&entry.hash)
                        .map_or(entry.height, |fork| fork.height),
                status: self.tip_status(entry),
            })
            .collect();
        tips.sort_unstable_by(|left, right| {
            right
                .height
                .cmp(&left.height)
                .then(left.hash.cmp(&right.hash))
        });
        tips
    }

    fn tip_status(&self, entry: &HeaderEntry) -> ChainTipStatus {
        if entry.hash == self.tip().hash {
            ChainTipStatus::Active
        } else if entry.status.is_invalid() {
            ChainTipStatus::Invalid
        } else if !entry.is_linked() {
            ChainTipStatus::HeadersOnly
        } else if entry.status == BlockStatus::Valid {
            ChainTipStatus::ValidFork
        } else {
            ChainTipStatus::ValidHeaders
        }
    }

    /// The coin set in numbers. Costs one modular division.
    pub fn utxo_stats(&self) -> UtxoStats {
        let tip = self.tip();
        UtxoStats {
            height: tip.height,
            best_block: tip.hash,
            txouts: self.coins().len() as u64,
            total_amount: self.coins().total_amount(),
            bogosize: self.coins().bogosize(),
            muhash: self.coins().muhash().finalize(),
        }
    }
}
