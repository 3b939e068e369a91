//! The wire: what a message is, its bytes, and how a byte stream is cut into messages. It knows
//! no peer and no ledger; whether a message makes sense is decided elsewhere.

mod address;
mod command;
mod compact;
mod frame;
mod message;
mod named_transaction;
mod payload;

pub use address::PeerAddress;
pub use command::{Command, CommandName};
pub use compact::{COMPACT_TRANSACTIONS_MAX, COMPACT_VERSION, CompactBlock, TxPlaces};
pub use frame::{DecodeError, Decoder, FRAME_HEADER_BYTES, MAGIC_REGTEST, encode};
pub use message::{BlockTransactions, BlockTransactionsRequest, HeadersRequest, Message, Version};
pub use named_transaction::NamedTransaction;
pub use payload::{
    ADDRESSES_PER_MESSAGE_MAX, HEADERS_PER_MESSAGE_MAX, INVENTORY_PER_MESSAGE_MAX, PayloadError,
    USER_AGENT_BYTES_MAX,
};
