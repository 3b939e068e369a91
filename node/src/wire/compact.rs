//! Compact blocks (BIP152) as messages carry them: a block's header, six bytes for each of its
//! transactions, and in full those that the receiver surely lacks. What a node makes of them
//! stands in `sync`.
//!
//! Whatever is read from the wire has passed [`CompactBlock::new`]: every index names a place in
//! the block, once and in order.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bitcoin::bip152::ShortId;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, Transaction, Wtxid};

use super::codec::{Payload, PayloadError, Reader, Writer, compact_size_bytes};

/// The version that is spoken: short ids are made of wtxids, and witnesses are sent. Version 1 is
/// from before segregated witness.
pub const COMPACT_VERSION: u64 = 2;
/// Transactions of a block in this form at most: they are counted in 16 bits.
pub const COMPACT_TRANSACTIONS_MAX: usize = u16::MAX as usize;
/// Bytes of a short id.
const SHORT_ID_BYTES: usize = 6;
/// The least bytes of a transaction: version, no inputs, no outputs, lock time.
const TX_BYTES_MIN: usize = 10;

/// A block in the form of `cmpctblock`.
///
/// It is shared as it is by all who pass it on, nonce included (see `sync`), and so is
/// what is worth working out only once in a process: the order of its short ids.
#[derive(Clone)]
pub struct CompactBlock {
    header: Header,
    hash: BlockHash,
    nonce: u64,
    short_ids: Vec<ShortId>,
    prefilled: Vec<(u16, Arc<Transaction>)>,
    names: OnceLock<Names>,
}

/// What finding transactions by their short ids takes.
#[derive(Clone, Debug)]
struct Names {
    keys: (u64, u64),
    /// Short id and place in the block, sorted.
    places: Vec<(u64, u16)>,
    /// Whether two places have the same short id.
    twins: bool,
}

/// Its content, and not what was worked out about it: two equal ones look the same.
impl fmt::Debug for CompactBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactBlock")
            .field("header", &self.header)
            .field("nonce", &self.nonce)
            .field("short_ids", &self.short_ids)
            .field("prefilled", &self.prefilled)
            .finish()
    }
}

/// By content; what was worked out about it does not count.
impl PartialEq for CompactBlock {
    fn eq(&self, other: &CompactBlock) -> bool {
        self.header == other.header
            && self.nonce == other.nonce
            && self.short_ids == other.short_ids
            && self.prefilled == other.prefilled
    }
}

impl Eq for CompactBlock {}

fn number(id: ShortId) -> u64 {
    let mut bytes = [0; 8];
    bytes[..SHORT_ID_BYTES].copy_from_slice(id.as_bytes());
    u64::from_le_bytes(bytes)
}

fn short_id(keys: (u64, u64), wtxid: Wtxid) -> ShortId {
    ShortId::with_siphash_keys(&wtxid.to_byte_array(), keys)
}

impl CompactBlock {
    /// From its parts. Prefilled transactions come with their places in the block.
    ///
    /// # Errors
    /// When the places are not ascending, or not of this block; when there are too many
    /// transactions, or none.
    pub fn new(
        header: Header,
        nonce: u64,
        short_ids: Vec<ShortId>,
        prefilled: Vec<(u16, Arc<Transaction>)>,
    ) -> Result<CompactBlock, PayloadError> {
        let count = short_ids.len() + prefilled.len();
        if count == 0 {
            return Err(PayloadError::Invalid("compact block of no transactions"));
        }
        if count > COMPACT_TRANSACTIONS_MAX {
            return Err(PayloadError::Limit("more than 65535 transactions"));
        }
        let ascending = prefilled.is_sorted_by(|a, b| a.0 < b.0);
        let inside = prefilled
            .last()
            .is_none_or(|(last, _)| usize::from(*last) < count);
        if !ascending || !inside {
            return Err(PayloadError::Invalid(
                "prefilled transaction out of its place",
            ));
        }
        Ok(CompactBlock {
            header,
            hash: header.block_hash(),
            nonce,
            short_ids,
            prefilled,
            names: OnceLock::new(),
        })
    }

    /// A block in this form, its coinbase prefilled: nobody can have that beforehand.
    ///
    /// # Errors
    /// When the block has more transactions than fit in this form, or none.
    pub fn of(block: &Block, nonce: u64) -> Result<CompactBlock, PayloadError> {
        let keys = ShortId::calculate_siphash_keys(&block.header, nonce);
        let others = block.txdata.iter().skip(1);
        let short_ids = others
            .map(|tx| short_id(keys, tx.compute_wtxid()))
            .collect();
        let coinbase = block.txdata.first().map(|tx| (0, Arc::new(tx.clone())));
        let prefilled = coinbase.into_iter().collect();
        CompactBlock::new(block.header, nonce, short_ids, prefilled)
    }

    /// The block's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// What its short ids are salted with, besides the header.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// How many transactions the block has.
    pub fn transaction_count(&self) -> usize {
        self.short_ids.len() + self.prefilled.len()
    }

    /// The short ids of those that are not prefilled, in their order.
    pub fn short_ids(&self) -> &[ShortId] {
        &self.short_ids
    }

    /// The transactions that it holds, with their places.
    pub fn prefilled(&self) -> &[(u16, Arc<Transaction>)] {
        &self.prefilled
    }

    /// Whether two of its transactions have the same short id: nobody can tell them apart.
    pub fn has_twins(&self) -> bool {
        self.names().twins
    }

    /// The place in the block of the transaction whose short id a wtxid has, if there is one.
    pub fn place_of(&self, wtxid: Wtxid) -> Option<u16> {
        let names = self.names();
        let id = number(short_id(names.keys, wtxid));
        let at = names.places.binary_search_by_key(&id, |name| name.0).ok()?;
        Some(names.places[at].1)
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(|| {
            let ids = self.short_ids.iter().map(|id| number(*id));
            let mut places: Vec<(u64, u16)> = ids.zip(self.open_places()).collect();
            places.sort_unstable();
            Names {
                keys: ShortId::calculate_siphash_keys(&self.header, self.nonce),
                twins: places.windows(2).any(|pair| pair[0].0 == pair[1].0),
                places,
            }
        })
    }

    /// Places that are not prefilled, ascending.
    fn open_places(&self) -> impl Iterator<Item = u16> + '_ {
        let mut prefilled = self.prefilled.iter().map(|(place, _)| *place).peekable();
        // `new` has seen to it that the count fits.
        (0..self.transaction_count() as u16)
            .filter(move |place| prefilled.next_if_eq(place).is_none())
    }
}

impl Payload for CompactBlock {
    fn bytes(&self) -> usize {
        let prefilled = gaps(self.prefilled.iter().map(|(place, _)| *place))
            .zip(&self.prefilled)
            .map(|(gap, (_, tx))| compact_size_bytes(gap) + tx.total_size());
        Header::SIZE
            + 8
            + compact_size_bytes(self.short_ids.len() as u64)
            + self.short_ids.len() * SHORT_ID_BYTES
            + compact_size_bytes(self.prefilled.len() as u64)
            + prefilled.sum::<usize>()
    }

    fn write(&self, writer: &mut Writer) {
        writer.consensus(&self.header);
        writer.bytes(&self.nonce.to_le_bytes());
        writer.list(&self.short_ids, |writer, id| writer.bytes(id.as_bytes()));
        writer.compact_size(self.prefilled.len() as u64);
        let gaps = gaps(self.prefilled.iter().map(|(place, _)| *place));
        for (gap, (_, tx)) in gaps.zip(&self.prefilled) {
            writer.compact_size(gap);
            writer.consensus(&**tx);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<CompactBlock, PayloadError> {
        let header = reader.consensus("header")?;
        let nonce = reader.u64()?;
        let short_ids = reader.list(
            COMPACT_TRANSACTIONS_MAX,
            SHORT_ID_BYTES,
            "more than 65535 short ids",
            |reader| reader.consensus("short id"),
        )?;
        let mut next = 0;
        let prefilled = reader.list(
            COMPACT_TRANSACTIONS_MAX,
            1 + TX_BYTES_MIN,
            "more than 65535 prefilled transactions",
            |reader| {
                let place = read_place(reader, &mut next)?;
                Ok((place, Arc::new(reader.consensus("transaction")?)))
            },
        )?;
        CompactBlock::new(header, nonce, short_ids, prefilled)
    }
}

/// Places of transactions in a block, ascending, each once: what `getblocktxn` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxPlaces(Vec<u16>);

impl FromIterator<u16> for TxPlaces {
    fn from_iter<I: IntoIterator<Item = u16>>(places: I) -> TxPlaces {
        let mut places: Vec<u16> = places.into_iter().collect();
        places.sort_unstable();
        places.dedup();
        TxPlaces(places)
    }
}

impl TxPlaces {
    /// Them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u16> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Payload for TxPlaces {
    fn bytes(&self) -> usize {
        let gaps = gaps(self.iter()).map(compact_size_bytes);
        compact_size_bytes(self.0.len() as u64) + gaps.sum::<usize>()
    }

    fn write(&self, writer: &mut Writer) {
        writer.compact_size(self.0.len() as u64);
        gaps(self.iter()).for_each(|gap| writer.compact_size(gap));
    }

    fn read(reader: &mut Reader<'_>) -> Result<TxPlaces, PayloadError> {
        let mut next = 0;
        let read = |reader: &mut Reader<'_>| read_place(reader, &mut next);
        let places = reader.list(COMPACT_TRANSACTIONS_MAX, 1, "more than 65535 places", read);
        places.map(TxPlaces)
    }
}

/// The content of `sendcmpct`: how compact blocks are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendCmpct {
    /// At once and unasked for, or announced as other blocks are.
    pub high_bandwidth: bool,
    /// Of compact blocks.
    pub version: u64,
}

impl Payload for SendCmpct {
    fn bytes(&self) -> usize {
        1 + 8
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&[u8::from(self.high_bandwidth)]);
        self.version.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<SendCmpct, PayloadError> {
        Ok(SendCmpct {
            high_bandwidth: reader.array::<1>()?[0] != 0,
            version: reader.u64()?,
        })
    }
}

/// The content of `getblocktxn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTransactionsRequest {
    /// Which block.
    pub block: BlockHash,
    /// Which of its transactions.
    pub places: TxPlaces,
}

impl Payload for BlockTransactionsRequest {
    fn bytes(&self) -> usize {
        32 + self.places.bytes()
    }

    fn write(&self, writer: &mut Writer) {
        writer.consensus(&self.block);
        self.places.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<BlockTransactionsRequest, PayloadError> {
        Ok(BlockTransactionsRequest {
            block: reader.consensus("block hash")?,
            places: TxPlaces::read(reader)?,
        })
    }
}

/// The content of `blocktxn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTransactions {
    /// Which block.
    pub block: BlockHash,
    /// As asked for, in their order.
    pub transactions: Vec<Arc<Transaction>>,
}

impl Payload for BlockTransactions {
    fn bytes(&self) -> usize {
        let sizes = self.transactions.iter().map(|tx| tx.total_size());
        32 + compact_size_bytes(self.transactions.len() as u64) + sizes.sum::<usize>()
    }

    fn write(&self, writer: &mut Writer) {
        writer.consensus(&self.block);
        writer.list(&self.transactions, |writer, tx| writer.consensus(&**tx));
    }

    fn read(reader: &mut Reader<'_>) -> Result<BlockTransactions, PayloadError> {
        Ok(BlockTransactions {
            block: reader.consensus("block hash")?,
            transactions: reader.list(
                COMPACT_TRANSACTIONS_MAX,
                TX_BYTES_MIN,
                "more than 65535 transactions",
                |reader| reader.consensus("transaction").map(Arc::new),
            )?,
        })
    }
}

/// Ascending places as the wire has them: how many are left out before each.
fn gaps(places: impl Iterator<Item = u16>) -> impl Iterator<Item = u64> {
    places.scan(0, |next, place| {
        let gap = u64::from(place) - *next;
        *next = u64::from(place) + 1;
        Some(gap)
    })
}

/// Reads the next of ascending places. `next` is the lowest that it may be.
fn read_place(reader: &mut Reader<'_>, next: &mut u64) -> Result<u16, PayloadError> {
    let place = next.checked_add(reader.compact_size()?);
    let place = place.and_then(|place| u16::try_from(place).ok());
    let place = place.ok_or(PayloadError::Limit("place over 16 bits"))?;
    *next = u64::from(place) + 1;
    Ok(place)
}

#[cfg(test)]
mod tests;
