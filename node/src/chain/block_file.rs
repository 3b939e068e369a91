//! Bitcoin Core's block files (`blk*.dat`): network magic, length, block, again and again. For
//! `-loadblock`, and for whoever makes such a file.

use std::io::{self, Read, Write};

use bitcoin::p2p::Magic;
use bitcoin::{Block, consensus};

use super::rules::MAX_BLOCK_WEIGHT;

/// Regtest's network magic, as it stands before every block.
const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

/// A block's bytes are no more than its weight.
const MAX_BODY_BYTES: usize = MAX_BLOCK_WEIGHT as usize;

/// A block has at least a header and a transaction count.
const MIN_BODY_BYTES: usize = 81;

/// Bytes without a block that are skipped at most between blocks: Bitcoin Core allocates its
/// files in 16 MB pieces, so they end in that many zeros.
const MAX_GAP_BYTES: usize = 16 << 20;

/// Why a block file could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum BlockFileError {
    /// The file could not be read.
    #[error("cannot read the block file: {0}")]
    Io(#[from] io::Error),
    /// Too many bytes without a block.
    #[error("no block in {MAX_GAP_BYTES} bytes: not a regtest block file")]
    NoBlocks,
    /// The bytes after a magic are no block.
    #[error("the block at byte {offset} cannot be decoded")]
    BadBlock {
        /// Where its magic stands.
        offset: u64,
    },
    /// The file ends in the middle of a block.
    #[error("the file ends in the middle of the block at byte {offset}")]
    Truncated {
        /// Where its magic stands.
        offset: u64,
    },
}

/// The blocks of a file, one at a time. Ends after the first error.
pub struct BlockFileReader<R> {
    source: R,
    offset: u64,
    ended: bool,
}

impl<R: Read> BlockFileReader<R> {
    /// Reads from a source; give it a buffered one.
    pub fn new(source: R) -> BlockFileReader<R> {
        BlockFileReader {
            source,
            offset: 0,
            ended: false,
        }
    }

    fn read_block(&mut self) -> Result<Option<Block>, BlockFileError> {
        if !self.skip_to_magic()? {
            return Ok(None);
        }
        let offset = self.offset - MAGIC.len() as u64;
        let mut length = [0; 4];
        self.read_exact(&mut length, offset)?;
        let length = u32::from_le_bytes(length) as usize;
        if !(MIN_BODY_BYTES..=MAX_BODY_BYTES).contains(&length) {
            return Err(BlockFileError::BadBlock { offset });
        }
        let mut body = vec![0; length];
        self.read_exact(&mut body, offset)?;
        consensus::deserialize(&body)
            .map(Some)
            .map_err(|_| BlockFileError::BadBlock { offset })
    }

    /// Reads up to and with the next magic; `false` at the end of the file.
    fn skip_to_magic(&mut self) -> Result<bool, BlockFileError> {
        let mut last = [0; MAGIC.len()];
        for read in 1..=MAX_GAP_BYTES {
            let mut byte = [0];
            match self.source.read_exact(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                result => result?,
            }
            self.offset += 1;
            last.rotate_left(1);
            last[MAGIC.len() - 1] = byte[0];
            if read >= MAGIC.len() && last == MAGIC {
                return Ok(true);
            }
        }
        Err(BlockFileError::NoBlocks)
    }

    fn read_exact(&mut self, buffer: &mut [u8], block_offset: u64) -> Result<(), BlockFileError> {
        self.source
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => BlockFileError::Truncated {
                    offset: block_offset,
                },
                _ => BlockFileError::Io(error),
            })?;
        self.offset += buffer.len() as u64;
        Ok(())
    }
}

impl<R: Read> Iterator for BlockFileReader<R> {
    type Item = Result<Block, BlockFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read_block();
        self.ended = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

/// Appends a block to a block file.
pub fn write_block(sink: &mut impl Write, block: &Block) -> io::Result<()> {
    let body = consensus::serialize(block);
    sink.write_all(&Magic::REGTEST.to_bytes())?;
    sink.write_all(&(body.len() as u32).to_le_bytes())?;
    sink.write_all(&body)
}
