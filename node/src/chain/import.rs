//! Taking in many blocks at once (loadblock, salvage): every block is validated as any other, but
//! many share one durable batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Block, BlockHash};

use super::core::Chain;
use super::error::{BlockError, HeaderError};
use super::store::StoreError;

/// Bytes of bodies after which a batch is made durable: one write for a whole pre-mined chain,
/// and still little memory.
const BATCH_BYTES: usize = 1024 * 1024;

/// Blocks whose parents come later in the source are held back up to this many bytes; beyond, the
/// one that came is dropped.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// Refused blocks that are named in the report.
const MAX_REFUSED_NAMED: usize = 16;

/// What came of an import.
#[derive(Debug, Default)]
pub struct Imported {
    /// Blocks that the source held.
    pub read: u64,
    /// Those that were not known before and are now stored.
    pub new: u64,
    /// Those whose parents did not appear.
    pub orphans: u64,
    /// How many were refused.
    pub refused: u64,
    /// The first of the refused, with their reasons.
    pub refused_first: Vec<(BlockHash, String)>,
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum ImportError<E> {
    /// The source failed.
    #[error(transparent)]
    Source(E),
    /// The store failed: the node must end.
    #[error("{0}")]
    Store(StoreError),
}

/// Blocks waiting for their parents.
#[derive(Default)]
struct Held {
    by_parent: BTreeMap<BlockHash, Vec<Arc<Block>>>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, block: Arc<Block>) -> bool {
        let bytes = block.total_size();
        if self.bytes + bytes > MAX_HELD_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.by_parent
            .entry(block.header.prev_blockhash)
            .or_default()
            .push(block);
        true
    }

    fn take(&mut self, parent: &BlockHash) -> Vec<Arc<Block>> {
        let children = self.by_parent.remove(parent).unwrap_or_default();
        self.bytes -= children
            .iter()
            .map(|block| block.total_size())
            .sum::<usize>();
        children
    }

    fn len(&self) -> usize {
        self.by_parent.values().map(Vec::len).sum()
    }
}

impl Chain {
    /// Takes in all blocks of a source, in any order that does not hold back too much. What was
    /// taken in is durable when this returns, with `Ok` or with a source error.
    pub fn import<E>(
        &mut self,
        unix_secs: u32,
        source: impl IntoIterator<Item = Result<Block, E>>,
    ) -> Result<Imported, ImportError<E>> {
        let mut report = Imported::default();
        let mut held = Held::default();
        let mut failed = None;
        for block in source {
            match block {
                Ok(block) => {
                    report.read += 1;
                    self.import_block(unix_secs, Arc::new(block), &mut held, &mut report)
                        .map_err(ImportError::Store)?;
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        report.orphans += held.len() as u64;
        self.settle().map_err(ImportError::Store)?;
        failed.map_or(Ok(report), |error| Err(ImportError::Source(error)))
    }

    fn import_block(
        &mut self,
        unix_secs: u32,
        block: Arc<Block>,
        held: &mut Held,
        report: &mut Imported,
    ) -> Result<(), StoreError> {
        let mut ready = vec![block];
        while let Some(block) = ready.pop() {
            let hash = block.block_hash();
            match self.stage_block(unix_secs, hash, Arc::clone(&block)) {
                Ok(accepted) => {
                    report.new += u64::from(accepted.new);
                    ready.extend(held.take(&hash));
                }
                Err(BlockError::Store(error)) => return Err(error),
                Err(BlockError::Header(HeaderError::UnknownParent(_))) => {
                    report.orphans += u64::from(!held.push(block));
                }
                Err(refusal) => {
                    report.refused += 1;
                    if report.refused_first.len() < MAX_REFUSED_NAMED {
                        report.refused_first.push((hash, refusal.to_string()));
                    }
                }
            }
            if self.storage.pending_bytes() >= BATCH_BYTES {
                self.settle()?;
            }
        }
        Ok(())
    }
}
