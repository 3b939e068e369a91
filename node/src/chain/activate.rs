//! Taking headers and blocks in, and keeping the active chain the one with the most work.

use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};

use super::block_check::check_block;
use super::coin::CoinChange;
use super::connect::{Place, check_connect, created_by};
use super::context_check::check_block_in_context;
use super::core::Chain;
use super::entry::{BlockStatus, HeaderEntry};
use super::error::{BlockError, BlockInvalid, HeaderError};
use super::header_check::{check_in_context, check_work};
use super::named_block::NamedBlock;
use super::store::{BlockUndo, StoreError};

/// Blocks this far above the tip are kept at most (as in Bitcoin Core): so bodies that arrive out
/// of order fit, and a peer cannot fill the disk with a chain that is never connected.
pub const MAX_BLOCKS_AHEAD: u32 = 288;

/// What came of a message of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadersAccepted {
    /// How many were not known before.
    pub new: usize,
    /// The last one, if there was any: the sender has this block.
    pub last: Option<BlockHash>,
    /// Whether the best header changed.
    pub best_changed: bool,
}

/// What came of a block.
#[derive(Clone, Debug, Default)]
pub struct BlockAccepted {
    /// Whether it was not known before.
    pub new: bool,
    /// Blocks that joined the active chain, in order.
    pub connected: Vec<NamedBlock>,
    /// Blocks that left the active chain, the former tip first.
    pub disconnected: Vec<NamedBlock>,
    /// Other blocks that were found invalid when their turn came to be connected.
    pub rejected: Vec<(BlockHash, BlockInvalid)>,
}

impl Chain {
    /// Takes headers in, in order, each the parent of the next. Those before a faulty one are
    /// kept.
    pub fn accept_headers(
        &mut self,
        unix_secs: u32,
        headers: &[Header],
    ) -> Result<HeadersAccepted, HeaderError> {
        let best_before = self.best_header().hash;
        let mut new = 0;
        let mut last: Option<BlockHash> = None;
        for header in headers {
            if last.is_some_and(|last| last != header.prev_blockhash) {
                return Err(HeaderError::NotContinuous);
            }
            let hash = header.block_hash();
            if self.accept_header(unix_secs, header, hash, false)? {
                new += 1;
            }
            last = Some(hash);
        }
        Ok(HeadersAccepted {
            new,
            last,
            best_changed: self.best_header().hash != best_before,
        })
    }

    /// Takes a block in: checks it, stores it, and activates the best chain if that changed. What
    /// it returns is durable. On an error the active chain is what it was.
    pub fn accept_block(
        &mut self,
        unix_secs: u32,
        block: Arc<Block>,
    ) -> Result<BlockAccepted, BlockError> {
        self.accept_named_block(unix_secs, block.block_hash(), block)
    }

    /// As [`Chain::accept_block`], where the hash is known.
    pub(super) fn accept_named_block(
        &mut self,
        unix_secs: u32,
        hash: BlockHash,
        block: Arc<Block>,
    ) -> Result<BlockAccepted, BlockError> {
        let staged = self.stage_block(unix_secs, hash, block);
        // A block found invalid is worth remembering too.
        self.settle()?;
        staged
    }

    /// As [`Chain::accept_block`], but durable only after the next [`Chain::settle`].
    pub(super) fn stage_block(
        &mut self,
        unix_secs: u32,
        hash: BlockHash,
        block: Arc<Block>,
    ) -> Result<BlockAccepted, BlockError> {
        if self
            .entry(&hash)
            .is_some_and(|entry| entry.status.has_body())
        {
            return Ok(BlockAccepted::default());
        }
        self.accept_header(unix_secs, &block.header, hash, true)?;
        self.accept_body(hash, block)?;
        let mut outcome = self.activate_best()?;
        if let Some(place) = outcome
            .rejected
            .iter()
            .position(|(rejected, _)| *rejected == hash)
        {
            let (_, invalid) = outcome.rejected.swap_remove(place);
            return Err(invalid.into());
        }
        if self
            .entry(&hash)
            .is_some_and(|entry| entry.status.is_invalid())
        {
            // It stands on a stored block whose fault showed only now.
            return Err(HeaderError::InvalidParent.into());
        }
        outcome.new = true;
        Ok(outcome)
    }

    /// Returns whether the header is new.
    fn accept_header(
        &mut self,
        unix_secs: u32,
        header: &Header,
        hash: BlockHash,
        with_body: bool,
    ) -> Result<bool, HeaderError> {
        if let Some(known) = self.entry(&hash) {
            return match known.status {
                BlockStatus::Invalid => Err(HeaderError::KnownInvalid),
                BlockStatus::InvalidAncestor => Err(HeaderError::InvalidParent),
                _ => Ok(false),
            };
        }
        check_work(header, &hash)?;
        let Some(parent) = self.entry(&header.prev_blockhash) else {
            return Err(HeaderError::UnknownParent(header.prev_blockhash));
        };
        if parent.status.is_invalid() {
            return Err(HeaderError::InvalidParent);
        }
        check_in_context(
            header,
            self.median_time_past(&header.prev_blockhash),
            unix_secs,
        )?;
        let tree = &mut self.ledger_mut().tree;
        if !tree.make_room(&header.prev_blockhash) && !with_body {
            return Err(HeaderError::TooManyHeaders);
        }
        tree.insert(*header, hash);
        Ok(true)
    }

    /// Checks a body as far as it can be without coins, and stores it.
    fn accept_body(&mut self, hash: BlockHash, block: Arc<Block>) -> Result<(), BlockError> {
        let height = self.entry(&hash).map_or(0, |entry| entry.height);
        let height_max = self.tip().height + MAX_BLOCKS_AHEAD;
        if height > height_max {
            return Err(BlockError::TooFarAhead { height, height_max });
        }
        if !self.storage.has_body(&hash, &block) {
            let block = NamedBlock::new(hash, Arc::clone(&block));
            if let Err(invalid) = self.check_body(&block, height) {
                if !invalid.mutated {
                    self.condemn(&hash);
                }
                return Err(invalid.into());
            }
            self.storage.keep_body(block);
        }
        let tx_count = block.txdata.len() as u32;
        let linked = self.ledger_mut().tree.body_stored(&hash, tx_count);
        for linked in linked.into_iter().chain([hash]) {
            self.note_entry(&linked);
        }
        Ok(())
    }

    /// Checks a body by itself and in its place.
    fn check_body(&self, block: &NamedBlock, height: u32) -> Result<(), BlockInvalid> {
        let parent_median_time = self.median_time_past(&block.header.prev_blockhash);
        check_block(block, block.ids())?;
        check_block_in_context(block, block.ids(), height, parent_median_time)
    }

    /// Moves to the best complete chain, trying the next best when a block turns out invalid.
    pub(super) fn activate_best(&mut self) -> Result<BlockAccepted, StoreError> {
        let start = self.tip().hash;
        let mut rejected = Vec::new();
        loop {
            let best = self.tree().best_candidate();
            if best == self.tip().hash {
                break;
            }
            let (off, on) = self.tree().path(&self.tip().hash, &best);
            #[cfg(feature = "planted-bugs")]
            if self.keeps_first_branch && !off.is_empty() {
                break;
            }
            for _ in off {
                self.disconnect_tip()?;
            }
            for hash in on {
                if let Err(invalid) = self.connect(hash)? {
                    self.condemn(&hash);
                    rejected.push((hash, invalid));
                    break;
                }
            }
        }
        let tip = self.tip().hash;
        self.ledger_mut().tree.prune_candidates(&tip);
        let (off, on) = self.tree().path(&start, &tip);
        let bodies = |hashes: Vec<BlockHash>| -> Result<Vec<NamedBlock>, StoreError> {
            hashes.iter().map(|hash| self.body(hash)).collect()
        };
        Ok(BlockAccepted {
            new: false,
            connected: bodies(on)?,
            disconnected: bodies(off)?,
            rejected,
        })
    }

    /// Puts a block on the tip, or says why it may not be there.
    fn connect(&mut self, hash: BlockHash) -> Result<Result<(), BlockInvalid>, StoreError> {
        if let Some(coins) = self.storage.coins_after(&hash) {
            self.ledger_mut().coins = coins;
        } else {
            let change = match self.judge(&hash)? {
                Ok(change) => change,
                Err(invalid) => return Ok(Err(invalid)),
            };
            self.apply(&change);
            let undo = BlockUndo {
                spent: change.spent,
            };
            self.storage.keep_undo(hash, Arc::new(undo));
            self.storage.keep_coins_after(hash, &self.ledger.coins);
        }
        let ledger = self.ledger_mut();
        ledger.push_tip(hash);
        ledger.tree.mark_valid(&hash);
        self.note_entry(&hash);
        Ok(Ok(()))
    }

    /// What a block does to the coins if it is put on the tip, or why it may not be there.
    fn judge(&self, hash: &BlockHash) -> Result<Result<CoinChange, BlockInvalid>, StoreError> {
        let block = self.body(hash)?;
        let tip = self.tip();
        let height = tip.height + 1;
        let place = Place {
            height,
            parent_median_time: self.median_time_past(&tip.hash),
            median_time_at: &|height| {
                self.hash_at(height)
                    .map_or(0, |hash| self.median_time_past(&hash))
            },
            scripts: &self.scripts,
        };
        Ok(check_connect(self.coins(), &block, block.ids(), &place))
    }

    /// Takes the tip off.
    fn disconnect_tip(&mut self) -> Result<(), StoreError> {
        let HeaderEntry { hash, height, .. } = *self.tip();
        let block = self.body(&hash)?;
        let undo = self.undo(&hash)?;
        let created = created_by(&block, block.ids(), height, self.coins());
        self.apply(&CoinChange {
            spent: created,
            created: undo.spent.clone(),
        });
        self.storage.drop_undo(hash);
        self.ledger_mut().pop_tip();
        Ok(())
    }

    /// Marks a block and its descendants as invalid, and remembers it.
    fn condemn(&mut self, hash: &BlockHash) {
        for fallen in self.ledger_mut().tree.mark_invalid(hash) {
            self.note_entry(&fallen);
            self.storage.drop_body(fallen);
        }
    }
}
