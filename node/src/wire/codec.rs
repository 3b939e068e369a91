//! How the content of a message is written and read. Every list is counted before it is read, and
//! nothing is allocated on the word of a sender.

use std::sync::Arc;

use bitcoin::consensus::{Decodable, Encodable};
use bitcoin::{Block, VarInt};
use thiserror::Error;

/// The content of a message, or a part of one.
pub trait Payload: Sized {
    /// Exact length, bytes.
    fn bytes(&self) -> usize;

    /// Appends it.
    fn write(&self, writer: &mut Writer);

    /// Reads it from the front of a payload whose length the frame has bounded already.
    fn read(reader: &mut Reader<'_>) -> Result<Self, PayloadError>;
}

/// Why a payload is no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// It ends too soon.
    #[error("payload ends too soon")]
    Short,
    /// Bytes are left over.
    #[error("{0} bytes left over")]
    Trailing(usize),
    /// A list or text is longer than the protocol allows.
    #[error("limit exceeded: {0}")]
    Limit(&'static str),
    /// A value that the protocol does not have.
    #[error("invalid: {0}")]
    Invalid(&'static str),
    /// A header, block, transaction or inventory entry that cannot be read.
    #[error("{what}: {error}")]
    Consensus {
        /// What was read.
        what: &'static str,
        /// What the codec says.
        error: String,
    },
}

/// Reads a payload from its front.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of a whole payload.
    pub fn new(payload: &'a [u8]) -> Reader<'a> {
        Reader { rest: payload }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], PayloadError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(PayloadError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u32(&mut self) -> Result<u32, PayloadError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, PayloadError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count in Bitcoin's compact form; longer forms than needed are refused.
    pub fn compact_size(&mut self) -> Result<u64, PayloadError> {
        let (value, least) = match self.array::<1>()?[0] {
            0xfd => (u64::from(u16::from_le_bytes(self.array()?)), 0xfd),
            0xfe => (u64::from(self.u32()?), 0x1_0000),
            0xff => (self.u64()?, 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if value < least {
            return Err(PayloadError::Invalid("count not in its shortest form"));
        }
        Ok(value)
    }

    /// A count of entries of at least `entry_bytes_min`, no more than `max` and than can follow.
    pub fn count(
        &mut self,
        max: usize,
        entry_bytes_min: usize,
        what: &'static str,
    ) -> Result<usize, PayloadError> {
        let count = self.compact_size()?;
        if count > max as u64 {
            return Err(PayloadError::Limit(what));
        }
        let count = count as usize;
        if count * entry_bytes_min > self.rest.len() {
            return Err(PayloadError::Short);
        }
        Ok(count)
    }

    /// A list with its count, bounded as [`Reader::count`] says.
    pub fn list<T>(
        &mut self,
        max: usize,
        entry_bytes_min: usize,
        what: &'static str,
        mut read: impl FnMut(&mut Reader<'a>) -> Result<T, PayloadError>,
    ) -> Result<Vec<T>, PayloadError> {
        let count = self.count(max, entry_bytes_min, what)?;
        (0..count).map(|_| read(self)).collect()
    }

    pub fn consensus<T: Decodable>(&mut self, what: &'static str) -> Result<T, PayloadError> {
        T::consensus_decode_from_finite_reader(&mut self.rest).map_err(|error| {
            PayloadError::Consensus {
                what,
                error: error.to_string(),
            }
        })
    }

    /// What is left, unread.
    pub fn skip_rest(&mut self) {
        self.rest = &[];
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), PayloadError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(PayloadError::Trailing(left)),
        }
    }
}

/// Appends to a payload.
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new(bytes: Vec<u8>) -> Writer {
        Writer { bytes }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn compact_size(&mut self, value: u64) {
        self.consensus(&VarInt(value));
    }

    /// A list with its count.
    pub fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.compact_size(list.len() as u64);
        list.iter().for_each(|entry| write(self, entry));
    }

    pub fn consensus<T: Encodable>(&mut self, value: &T) {
        // Writing to memory cannot fail.
        let _ = value.consensus_encode(&mut self.bytes);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bytes of a count in compact form.
pub fn compact_size_bytes(value: u64) -> usize {
    match value {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Bytes of a list with its count.
pub fn list_bytes(count: usize, entry_bytes: usize) -> usize {
    compact_size_bytes(count as u64) + count * entry_bytes
}

impl<T: Payload> Payload for Box<T> {
    fn bytes(&self) -> usize {
        T::bytes(self)
    }

    fn write(&self, writer: &mut Writer) {
        T::write(self, writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Box<T>, PayloadError> {
        T::read(reader).map(Box::new)
    }
}

impl<T: Payload> Payload for Arc<T> {
    fn bytes(&self) -> usize {
        T::bytes(self)
    }

    fn write(&self, writer: &mut Writer) {
        T::write(self, writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Arc<T>, PayloadError> {
        T::read(reader).map(Arc::new)
    }
}

impl Payload for u64 {
    fn bytes(&self) -> usize {
        8
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<u64, PayloadError> {
        reader.u64()
    }
}

impl Payload for Block {
    fn bytes(&self) -> usize {
        self.total_size()
    }

    fn write(&self, writer: &mut Writer) {
        writer.consensus(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Block, PayloadError> {
        reader.consensus("block")
    }
}
