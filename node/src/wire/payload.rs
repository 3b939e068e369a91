//! The content of each message, to bytes and back. Every list is counted before it is read, and
//! nothing is allocated on the word of a sender.

use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::consensus::{Decodable, Encodable};
use bitcoin::p2p::message_blockdata::Inventory;
use thiserror::Error;

use super::address::{ADDRESS_BYTES, PeerAddress, read_endpoint, write_endpoint};
use super::command::{Command, CommandName};
use super::compact::{
    CompactBlock, TxPlaces, read_transactions, transactions_bytes, write_transactions,
};
use super::message::{
    BlockTransactions, BlockTransactionsRequest, HeadersRequest, Message, Version,
};
use super::named_transaction::NamedTransaction;

/// Most addresses in one message (Bitcoin's `MAX_ADDR_TO_SEND`).
pub const ADDRESSES_PER_MESSAGE_MAX: usize = 1_000;
/// Most headers in one message (`MAX_HEADERS_RESULTS`).
pub const HEADERS_PER_MESSAGE_MAX: usize = 2_000;
/// Most entries of `inv`, `getdata` and `notfound` (`MAX_INV_SZ`).
pub const INVENTORY_PER_MESSAGE_MAX: usize = 50_000;
/// Most hashes in a locator (`MAX_LOCATOR_SZ`): beyond 101 they would tell nothing new.
const LOCATOR_HASHES_MAX: usize = 101;
/// Longest user agent (BIP14, `MAX_SUBVERSION_LENGTH`), bytes.
pub const USER_AGENT_BYTES_MAX: usize = 256;
/// The version field of `getheaders`, which nobody reads.
const GETHEADERS_VERSION: u32 = 70_016;

/// Bytes of a header in `headers`: 80, and a transaction count of zero.
const HEADER_ENTRY_BYTES: usize = 81;
/// Bytes of one inventory entry.
const INVENTORY_BYTES: usize = 36;

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
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Reader<'a> {
        Reader { rest: payload }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], PayloadError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(PayloadError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PayloadError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PayloadError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count in Bitcoin's compact form; longer forms than needed are refused.
    pub(super) fn compact_size(&mut self) -> Result<u64, PayloadError> {
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
    pub(super) fn count(
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

    pub(super) fn consensus<T: Decodable>(
        &mut self,
        what: &'static str,
    ) -> Result<T, PayloadError> {
        T::consensus_decode_from_finite_reader(&mut self.rest).map_err(|error| {
            PayloadError::Consensus {
                what,
                error: error.to_string(),
            }
        })
    }

    fn finish(self) -> Result<(), PayloadError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(PayloadError::Trailing(left)),
        }
    }
}

/// Appends to a payload.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(bytes: Vec<u8>) -> Writer {
        Writer { bytes }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn compact_size(&mut self, value: u64) {
        match value {
            0..=0xfc => self.bytes(&[value as u8]),
            0xfd..=0xffff => {
                self.bytes(&[0xfd]);
                self.bytes(&(value as u16).to_le_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes(&[0xfe]);
                self.bytes(&(value as u32).to_le_bytes());
            }
            _ => {
                self.bytes(&[0xff]);
                self.bytes(&value.to_le_bytes());
            }
        }
    }

    pub(super) fn consensus<T: Encodable>(&mut self, value: &T) {
        // Writing to memory cannot fail.
        let _ = value.consensus_encode(&mut self.bytes);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bytes of a count in compact form.
pub(super) fn compact_size_bytes(value: u64) -> usize {
    match value {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn list_bytes(count: usize, entry_bytes: usize) -> usize {
    compact_size_bytes(count as u64) + count * entry_bytes
}

/// Exact length of a message's payload, bytes.
pub(super) fn size(message: &Message) -> usize {
    match message {
        Message::Version(v) => {
            let agent = v.user_agent.len();
            4 + 8 + 8 + 2 * ADDRESS_BYTES + 8 + compact_size_bytes(agent as u64) + agent + 4 + 1
        }
        Message::Verack
        | Message::WtxidRelay
        | Message::SendAddrV2
        | Message::SendHeaders
        | Message::GetAddr => 0,
        Message::SendCmpct { .. } => 1 + 8,
        Message::FeeFilter(_) | Message::Ping(_) | Message::Pong(_) => 8,
        Message::Addr(list) => list_bytes(list.len(), 4 + ADDRESS_BYTES),
        Message::AddrV2(list) => {
            list_bytes(list.len(), 0) + list.iter().map(PeerAddress::v2_bytes).sum::<usize>()
        }
        Message::GetHeaders(asked) => 4 + list_bytes(asked.locator.len(), 32) + 32,
        Message::Headers(list) => list_bytes(list.len(), HEADER_ENTRY_BYTES),
        Message::Inv(list) | Message::GetData(list) | Message::NotFound(list) => {
            list_bytes(list.len(), INVENTORY_BYTES)
        }
        Message::Block(block) => block.total_size(),
        Message::CmpctBlock(compact) => compact.payload_bytes(),
        Message::GetBlockTxn(asked) => 32 + asked.places.payload_bytes(),
        Message::BlockTxn(given) => 32 + transactions_bytes(&given.transactions),
        Message::Tx(tx) => tx.bytes(),
        Message::Unknown { payload, .. } => payload.len(),
    }
}

/// Appends a message's payload.
pub(super) fn write(message: &Message, writer: &mut Writer) {
    match message {
        Message::Version(version) => write_version(version, writer),
        Message::Verack
        | Message::WtxidRelay
        | Message::SendAddrV2
        | Message::SendHeaders
        | Message::GetAddr => {}
        Message::SendCmpct {
            high_bandwidth,
            version,
        } => {
            writer.bytes(&[u8::from(*high_bandwidth)]);
            writer.bytes(&version.to_le_bytes());
        }
        Message::FeeFilter(value) | Message::Ping(value) | Message::Pong(value) => {
            writer.bytes(&value.to_le_bytes());
        }
        Message::Addr(list) => {
            writer.compact_size(list.len() as u64);
            list.iter().for_each(|a| a.write_v1(writer));
        }
        Message::AddrV2(list) => {
            writer.compact_size(list.len() as u64);
            list.iter().for_each(|a| a.write_v2(writer));
        }
        Message::GetHeaders(asked) => {
            writer.bytes(&GETHEADERS_VERSION.to_le_bytes());
            writer.compact_size(asked.locator.len() as u64);
            asked.locator.iter().for_each(|hash| writer.consensus(hash));
            writer.consensus(&asked.stop);
        }
        Message::Headers(list) => {
            writer.compact_size(list.len() as u64);
            for header in list.iter() {
                writer.consensus(header);
                writer.compact_size(0);
            }
        }
        Message::Inv(list) | Message::GetData(list) | Message::NotFound(list) => {
            writer.compact_size(list.len() as u64);
            list.iter().for_each(|entry| writer.consensus(entry));
        }
        Message::Block(block) => writer.consensus(&**block),
        Message::CmpctBlock(compact) => compact.write(writer),
        Message::GetBlockTxn(asked) => {
            writer.consensus(&asked.block);
            asked.places.write(writer);
        }
        Message::BlockTxn(given) => {
            writer.consensus(&given.block);
            write_transactions(&given.transactions, writer);
        }
        Message::Tx(tx) => writer.consensus(&**tx),
        Message::Unknown { payload, .. } => writer.bytes(payload),
    }
}

fn write_version(version: &Version, writer: &mut Writer) {
    writer.bytes(&version.protocol.to_le_bytes());
    writer.bytes(&version.services.to_le_bytes());
    writer.bytes(&version.time_secs.to_le_bytes());
    write_endpoint(writer, version.receiver_services, version.receiver);
    write_endpoint(writer, version.services, version.sender);
    writer.bytes(&version.nonce.to_le_bytes());
    writer.compact_size(version.user_agent.len() as u64);
    writer.bytes(version.user_agent.as_bytes());
    writer.bytes(&version.start_height.to_le_bytes());
    writer.bytes(&[u8::from(version.relay)]);
}

/// Reads a payload whose length the frame has bounded already.
pub(super) fn read(command: CommandName, payload: &[u8]) -> Result<Message, PayloadError> {
    let mut reader = Reader::new(payload);
    let message = match Command::from_name(&command) {
        // Later versions of the protocol may append to it.
        Command::Version => return read_version(&mut reader),
        Command::Other => {
            return Ok(Message::Unknown {
                command,
                payload: payload.into(),
            });
        }
        Command::Verack => Message::Verack,
        Command::WtxidRelay => Message::WtxidRelay,
        Command::SendAddrV2 => Message::SendAddrV2,
        Command::SendHeaders => Message::SendHeaders,
        Command::GetAddr => Message::GetAddr,
        Command::SendCmpct => Message::SendCmpct {
            high_bandwidth: reader.array::<1>()?[0] != 0,
            version: reader.u64()?,
        },
        Command::FeeFilter => Message::FeeFilter(reader.u64()?),
        Command::Ping => Message::Ping(reader.u64()?),
        Command::Pong => Message::Pong(reader.u64()?),
        Command::Addr => Message::Addr(read_addresses(&mut reader)?),
        Command::AddrV2 => Message::AddrV2(read_addresses_v2(&mut reader)?),
        Command::GetHeaders => read_getheaders(&mut reader)?,
        Command::Headers => Message::Headers(read_headers(&mut reader)?.into()),
        Command::Inv => Message::Inv(read_inventory(&mut reader)?),
        Command::GetData => Message::GetData(read_inventory(&mut reader)?),
        Command::NotFound => Message::NotFound(read_inventory(&mut reader)?),
        Command::Block => Message::Block(Arc::new(reader.consensus("block")?)),
        Command::CmpctBlock => Message::CmpctBlock(Arc::new(CompactBlock::read(&mut reader)?)),
        Command::GetBlockTxn => Message::GetBlockTxn(Box::new(BlockTransactionsRequest {
            block: reader.consensus("block hash")?,
            places: TxPlaces::read(&mut reader)?,
        })),
        Command::BlockTxn => Message::BlockTxn(Box::new(BlockTransactions {
            block: reader.consensus("block hash")?,
            transactions: read_transactions(&mut reader)?,
        })),
        Command::Tx => Message::Tx(NamedTransaction::of(Arc::new(
            reader.consensus("transaction")?,
        ))),
    };
    reader.finish()?;
    Ok(message)
}

fn read_version(reader: &mut Reader<'_>) -> Result<Message, PayloadError> {
    let protocol = reader.u32()?;
    let services = reader.u64()?;
    let time_secs = i64::from_le_bytes(reader.array()?);
    let (receiver_services, receiver) = read_endpoint(reader)?;
    let (_, sender) = read_endpoint(reader)?;
    let nonce = reader.u64()?;
    let agent_bytes = reader.count(USER_AGENT_BYTES_MAX, 1, "user agent over 256 bytes")?;
    // Shown to people and put into JSON: only printable ASCII is kept, as Bitcoin Core does.
    let user_agent = reader
        .take(agent_bytes)?
        .iter()
        .filter(|b| (0x20..0x7f).contains(*b))
        .map(|b| char::from(*b))
        .collect::<String>()
        .into();
    let start_height = i32::from_le_bytes(reader.array()?);
    let relay = match reader.array::<1>() {
        Ok([flag]) => flag != 0,
        // BIP37: where it is missing, it is true.
        Err(_) => true,
    };
    Ok(Message::Version(Box::new(Version {
        protocol,
        services,
        time_secs,
        receiver_services,
        receiver,
        sender,
        nonce,
        user_agent,
        start_height,
        relay,
    })))
}

fn read_addresses(reader: &mut Reader<'_>) -> Result<Vec<PeerAddress>, PayloadError> {
    let count = reader.count(
        ADDRESSES_PER_MESSAGE_MAX,
        4 + ADDRESS_BYTES,
        "more than 1000 addresses",
    )?;
    (0..count).map(|_| PeerAddress::read_v1(reader)).collect()
}

fn read_addresses_v2(reader: &mut Reader<'_>) -> Result<Vec<PeerAddress>, PayloadError> {
    // Time, services, network, an empty address, port.
    const ENTRY_BYTES_MIN: usize = 4 + 1 + 1 + 1 + 2;
    let count = reader.count(
        ADDRESSES_PER_MESSAGE_MAX,
        ENTRY_BYTES_MIN,
        "more than 1000 addresses",
    )?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.extend(PeerAddress::read_v2(reader)?);
    }
    Ok(list)
}

fn read_getheaders(reader: &mut Reader<'_>) -> Result<Message, PayloadError> {
    let _version = reader.u32()?;
    let count = reader.count(LOCATOR_HASHES_MAX, 32, "more than 101 locator hashes")?;
    let locator = (0..count)
        .map(|_| reader.consensus("block hash"))
        .collect::<Result<Vec<_>, _>>()?;
    let stop = reader.consensus("block hash")?;
    let asked = HeadersRequest { locator, stop };
    Ok(Message::GetHeaders(Box::new(asked)))
}

fn read_headers(reader: &mut Reader<'_>) -> Result<Vec<Header>, PayloadError> {
    let count = reader.count(
        HEADERS_PER_MESSAGE_MAX,
        HEADER_ENTRY_BYTES,
        "more than 2000 headers",
    )?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(reader.consensus("header")?);
        if reader.compact_size()? != 0 {
            return Err(PayloadError::Invalid("header with transactions"));
        }
    }
    Ok(list)
}

fn read_inventory(reader: &mut Reader<'_>) -> Result<Vec<Inventory>, PayloadError> {
    let count = reader.count(
        INVENTORY_PER_MESSAGE_MAX,
        INVENTORY_BYTES,
        "more than 50000 inventory entries",
    )?;
    (0..count)
        .map(|_| reader.consensus("inventory entry"))
        .collect()
}
