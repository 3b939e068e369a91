//! Contents that name blocks and transactions: inventory, locators, headers.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::p2p::message_blockdata::Inventory;

use super::codec::{Payload, PayloadError, Reader, Writer, list_bytes};

/// Most headers in one message (`MAX_HEADERS_RESULTS`).
pub const HEADERS_PER_MESSAGE_MAX: usize = 2_000;
/// Most entries of `inv`, `getdata` and `notfound` (`MAX_INV_SZ`).
pub const INVENTORY_PER_MESSAGE_MAX: usize = 50_000;
/// Most hashes in a locator (`MAX_LOCATOR_SZ`): beyond 101 they would say nothing new.
pub const LOCATOR_HASHES_MAX: usize = 101;
/// The version field before a locator, which nobody reads.
const LOCATOR_VERSION: u32 = 70_016;

/// Bytes of a header in `headers`: 80, and a transaction count of zero.
pub const HEADER_ENTRY_BYTES: usize = 81;
/// Bytes of one inventory entry.
pub const INVENTORY_BYTES: usize = 36;

/// Asks for what follows a place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatorRequest {
    /// The place: hashes from the newest to the genesis block.
    pub locator: Vec<BlockHash>,
    /// Where to stop; zero for as many as fit.
    pub stop: BlockHash,
}

impl Payload for LocatorRequest {
    fn bytes(&self) -> usize {
        4 + list_bytes(self.locator.len(), 32) + 32
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&LOCATOR_VERSION.to_le_bytes());
        writer.list(&self.locator, Writer::consensus);
        writer.consensus(&self.stop);
    }

    fn read(reader: &mut Reader<'_>) -> Result<LocatorRequest, PayloadError> {
        let _version = reader.u32()?;
        Ok(LocatorRequest {
            locator: reader.list(
                LOCATOR_HASHES_MAX,
                32,
                "more than 101 locator hashes",
                |reader| reader.consensus("block hash"),
            )?,
            stop: reader.consensus("block hash")?,
        })
    }
}

impl Payload for Arc<[Header]> {
    fn bytes(&self) -> usize {
        list_bytes(self.len(), HEADER_ENTRY_BYTES)
    }

    fn write(&self, writer: &mut Writer) {
        writer.list(self, |writer, header| {
            writer.consensus(header);
            writer.compact_size(0);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Arc<[Header]>, PayloadError> {
        let list = reader.list(
            HEADERS_PER_MESSAGE_MAX,
            HEADER_ENTRY_BYTES,
            "more than 2000 headers",
            |reader| {
                let header = reader.consensus("header")?;
                match reader.compact_size()? {
                    0 => Ok(header),
                    _ => Err(PayloadError::Invalid("header with transactions")),
                }
            },
        )?;
        Ok(list.into())
    }
}

impl Payload for Vec<Inventory> {
    fn bytes(&self) -> usize {
        list_bytes(self.len(), INVENTORY_BYTES)
    }

    fn write(&self, writer: &mut Writer) {
        writer.list(self, Writer::consensus);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Vec<Inventory>, PayloadError> {
        reader.list(
            INVENTORY_PER_MESSAGE_MAX,
            INVENTORY_BYTES,
            "more than 50000 inventory entries",
            |reader| reader.consensus("inventory entry"),
        )
    }
}
