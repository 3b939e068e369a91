//! The wire: what a message is, its bytes, and how a byte stream is cut into messages. It knows
//! no peer and no ledger; whether a message makes sense is decided elsewhere. To add a message is to
//! add a row to the table in `message`, with a content that is a `codec::Payload`.

mod address;
mod codec;
mod command_name;
mod compact;
mod frame;
mod inventory;
mod message;
mod named_transaction;
mod version;

pub use address::{ADDRESSES_PER_MESSAGE_MAX, AddressesV2, PeerAddress};
pub use codec::PayloadError;
pub use command_name::CommandName;
pub use compact::{
    BlockTransactions, BlockTransactionsRequest, COMPACT_TRANSACTIONS_MAX, COMPACT_VERSION,
    CompactBlock, SendCmpct, TxPlaces,
};
pub use frame::{DecodeError, Decoder, FRAME_HEADER_BYTES, MAGIC_REGTEST, encode};
pub use inventory::{HEADERS_PER_MESSAGE_MAX, INVENTORY_PER_MESSAGE_MAX, LocatorRequest};
pub use message::{Command, Message};
pub use named_transaction::NamedTransaction;
pub use version::{USER_AGENT_BYTES_MAX, Version};
