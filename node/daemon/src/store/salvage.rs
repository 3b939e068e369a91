//! Finding sound records in a damaged file, whatever became of its structure. Bodies and index
//! records start with a mark, have a known length, end with a checksum, and lie in one piece.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bitcoin::block::Header;
use bitcoin::{BlockHash, consensus};
use peerlab_node::chain::{IndexRecord, Salvage, check_work, genesis_hash};

use super::record::{
    BLOCK_HEAD_BYTES, BLOCK_MAGIC, CHECKSUM_BYTES, INDEX_BYTES, INDEX_MAGIC, MAX_BODY_BYTES,
    body_len, decode_index, index_hash, sound_hash,
};

/// Bytes looked through at a time.
const WINDOW_BYTES: u64 = 256 * 1024;

/// Bytes of a mark.
const MAGIC_BYTES: usize = BLOCK_MAGIC.len();

/// Bytes of candidate bodies that are read at most, as a multiple of the file's length. Blocks
/// may be full of false marks with good headers; without a limit each would cost four megabytes
/// of reading.
const READ_FACTOR_MAX: u64 = 8;

/// A sound body in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    bytes: usize,
}

/// Looks through a file. One that is not there holds nothing.
pub fn of_file(path: &Path) -> io::Result<Salvage> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Salvage {
                index: BTreeMap::new(),
                bodies: Box::new(std::iter::empty()),
            });
        }
        Err(error) => return Err(error),
    };
    let file_bytes = file.metadata()?.len();
    let mut search = Search {
        file: &file,
        file_bytes,
        budget: file_bytes.saturating_mul(READ_FACTOR_MAX),
        bodies: BTreeMap::new(),
        index: BTreeMap::new(),
    };
    search.run()?;
    let places = search.in_order();
    let index = search.index;
    let bodies = places.into_iter().filter_map(move |place| {
        let mut body = vec![0; place.bytes];
        file.read_exact_at(&mut body, place.offset).ok()?;
        consensus::deserialize(&body).ok()
    });
    Ok(Salvage {
        index,
        bodies: Box::new(bodies),
    })
}

/// What a search has found so far.
struct Search<'a> {
    file: &'a File,
    file_bytes: u64,
    budget: u64,
    /// Sound bodies, each with its parent.
    bodies: BTreeMap<BlockHash, (BlockHash, Place)>,
    index: BTreeMap<BlockHash, IndexRecord>,
}

impl Search<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut file = self.file;
        let mut window = Vec::with_capacity(WINDOW_BYTES as usize);
        let mut start = 0;
        while start < self.file_bytes {
            window.clear();
            file.seek(SeekFrom::Start(start))?;
            file.take(WINDOW_BYTES).read_to_end(&mut window)?;
            // The last few bytes may be the first of a mark: they are looked at again.
            let end = start + window.len().saturating_sub(MAGIC_BYTES - 1).max(1) as u64;
            let mut next = start;
            while next < end {
                let rest = &window[(next - start) as usize..];
                let found = rest
                    .windows(MAGIC_BYTES)
                    .position(|mark| *mark == BLOCK_MAGIC || *mark == INDEX_MAGIC);
                next = found.map_or(end, |found| self.examine(next + found as u64));
            }
            start = next;
        }
        Ok(())
    }

    /// Looks at what follows a mark; returns where to go on.
    fn examine(&mut self, offset: u64) -> u64 {
        if let Some((hash, parent, place)) = self.body_at(offset) {
            self.bodies.insert(hash, (parent, place));
            return place.offset + place.bytes as u64;
        }
        if let Some((hash, record)) = self.index_at(offset) {
            // Older copies may lie about; the one that knows more is the newer one.
            let known = self.index.entry(hash).or_insert_with(|| record.clone());
            if record.status > known.status {
                *known = record;
            }
            return offset + INDEX_BYTES as u64;
        }
        offset + 1
    }

    /// The bodies by height, so that the chain can grow from the first to the last; the index
    /// bridges gaps. What hangs in the air comes last.
    fn in_order(&mut self) -> Vec<Place> {
        let of_bodies = self
            .bodies
            .iter()
            .map(|(hash, (parent, _))| (*parent, *hash));
        let of_index = self
            .index
            .iter()
            .map(|(hash, record)| (record.header.prev_blockhash, *hash));
        let mut children: BTreeMap<BlockHash, BTreeSet<BlockHash>> = BTreeMap::new();
        for (parent, hash) in of_bodies.chain(of_index) {
            children.entry(parent).or_default().insert(hash);
        }
        let mut places = Vec::new();
        let mut row = vec![genesis_hash()];
        while !row.is_empty() {
            row = row
                .iter()
                .filter_map(|hash| children.remove(hash))
                .flatten()
                .collect();
            let found = row.iter().filter_map(|hash| self.bodies.remove(hash));
            places.extend(found.map(|(_, place)| place));
        }
        places.extend(
            std::mem::take(&mut self.bodies)
                .into_values()
                .map(|(_, place)| place),
        );
        places
    }

    fn body_at(&mut self, offset: u64) -> Option<(BlockHash, BlockHash, Place)> {
        let mut head = [0; BLOCK_HEAD_BYTES + Header::SIZE];
        self.file.read_exact_at(&mut head, offset).ok()?;
        let (head, header) = head.split_first_chunk()?;
        let bytes = body_len(head);
        let place = Place {
            offset: offset + BLOCK_HEAD_BYTES as u64,
            bytes,
        };
        let with_sum = bytes + CHECKSUM_BYTES;
        let fits = place.offset + with_sum as u64 <= self.file_bytes;
        if !head.starts_with(&BLOCK_MAGIC) || bytes > MAX_BODY_BYTES || !fits {
            return None;
        }
        let header: Header = consensus::deserialize(header).ok()?;
        check_work(&header, &header.block_hash()).ok()?;
        self.budget = self.budget.checked_sub(with_sum as u64)?;
        let mut body = vec![0; with_sum];
        self.file.read_exact_at(&mut body, place.offset).ok()?;
        Some((sound_hash(&body)?, header.prev_blockhash, place))
    }

    fn index_at(&self, offset: u64) -> Option<(BlockHash, IndexRecord)> {
        let mut record = [0; INDEX_BYTES];
        self.file.read_exact_at(&mut record, offset).ok()?;
        let hash = index_hash(&record);
        Some((hash, decode_index(&hash, &record).ok()?))
    }
}
