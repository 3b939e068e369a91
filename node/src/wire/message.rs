//! The messages of the protocol, typed. Blocks and transactions are shared, so that one of them
//! is held once however many peers it is sent to.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Block, BlockHash, Transaction};

use super::address::PeerAddress;
use super::command::{Command, CommandName};
use super::compact::{CompactBlock, TxPlaces};
use super::named_transaction::NamedTransaction;

/// A message. Its bytes come from [`super::encode`] and are read by [`super::Decoder`]. Small, since
/// messages are moved often: what is large is in a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Begins the handshake.
    Version(Box<Version>),
    /// Ends the handshake.
    Verack,
    /// Announce transactions by wtxid, BIP339.
    WtxidRelay,
    /// Send addresses in the form of BIP155.
    SendAddrV2,
    /// Announce blocks by headers, BIP130.
    SendHeaders,
    /// How compact blocks are wanted, BIP152.
    SendCmpct {
        /// At once and unasked for, or announced as other blocks are.
        high_bandwidth: bool,
        /// Of compact blocks.
        version: u64,
    },
    /// The least fee rate to announce, satoshis per 1,000 virtual bytes, BIP133.
    FeeFilter(u64),
    /// Are you there?
    Ping(u64),
    /// With the ping's nonce.
    Pong(u64),
    /// Asks for addresses.
    GetAddr,
    /// Addresses in the old form.
    Addr(Vec<PeerAddress>),
    /// Addresses in the form of BIP155; those of networks that cannot be dialled are left out.
    AddrV2(Vec<PeerAddress>),
    /// Asks for the headers that follow the first known hash of the locator.
    GetHeaders(Box<HeadersRequest>),
    /// Headers, each the child of the one before.
    Headers(Arc<[Header]>),
    /// Announces.
    Inv(Vec<Inventory>),
    /// Asks for.
    GetData(Vec<Inventory>),
    /// Answers [`Message::GetData`] for what is not there.
    NotFound(Vec<Inventory>),
    /// A block.
    Block(Arc<Block>),
    /// A block by short names of its transactions, BIP152.
    CmpctBlock(Arc<CompactBlock>),
    /// Asks for transactions of a block that was told of in the compact form.
    GetBlockTxn(Box<BlockTransactionsRequest>),
    /// Answers [`Message::GetBlockTxn`].
    BlockTxn(Box<BlockTransactions>),
    /// A transaction.
    Tx(NamedTransaction),
    /// Anything else: tolerated and counted, as the protocol asks for.
    Unknown {
        /// Its name.
        command: CommandName,
        /// Its content, unread.
        payload: Box<[u8]>,
    },
}

/// The content of `getheaders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadersRequest {
    /// From the newest to the genesis block.
    pub locator: Vec<BlockHash>,
    /// The last one wanted; zero for as many as fit.
    pub stop: BlockHash,
}

/// The content of `getblocktxn`, BIP152.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTransactionsRequest {
    /// Which block.
    pub block: BlockHash,
    /// Which of its transactions.
    pub places: TxPlaces,
}

/// The content of `blocktxn`, BIP152.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTransactions {
    /// Which block.
    pub block: BlockHash,
    /// As asked for, in their order.
    pub transactions: Vec<Arc<Transaction>>,
}

/// The content of `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Protocol version.
    pub protocol: u32,
    /// Service bits of the sender.
    pub services: u64,
    /// The sender's clock, seconds since the Unix epoch.
    pub time_secs: i64,
    /// Service bits that the sender believes the receiver has.
    pub receiver_services: u64,
    /// The receiver as the sender sees it.
    pub receiver: SocketAddr,
    /// Where the sender listens; unspecified address or port zero when it does not say.
    pub sender: SocketAddr,
    /// Random, to notice a connection to oneself.
    pub nonce: u64,
    /// Name and version of the program (BIP14), at most 256 bytes.
    pub user_agent: Box<str>,
    /// Height of the sender's chain.
    pub start_height: i32,
    /// Whether the sender wants announcements of transactions.
    pub relay: bool,
}

impl Message {
    /// Its kind, for counting.
    pub fn command(&self) -> Command {
        match self {
            Message::Version(_) => Command::Version,
            Message::Verack => Command::Verack,
            Message::WtxidRelay => Command::WtxidRelay,
            Message::SendAddrV2 => Command::SendAddrV2,
            Message::SendHeaders => Command::SendHeaders,
            Message::SendCmpct { .. } => Command::SendCmpct,
            Message::FeeFilter(_) => Command::FeeFilter,
            Message::Ping(_) => Command::Ping,
            Message::Pong(_) => Command::Pong,
            Message::GetAddr => Command::GetAddr,
            Message::Addr(_) => Command::Addr,
            Message::AddrV2(_) => Command::AddrV2,
            Message::GetHeaders(_) => Command::GetHeaders,
            Message::Headers(_) => Command::Headers,
            Message::Inv(_) => Command::Inv,
            Message::GetData(_) => Command::GetData,
            Message::NotFound(_) => Command::NotFound,
            Message::Block(_) => Command::Block,
            Message::CmpctBlock(_) => Command::CmpctBlock,
            Message::GetBlockTxn(_) => Command::GetBlockTxn,
            Message::BlockTxn(_) => Command::BlockTxn,
            Message::Tx(_) => Command::Tx,
            Message::Unknown { .. } => Command::Other,
        }
    }

    /// Its name on the wire.
    pub fn command_name(&self) -> CommandName {
        match self {
            Message::Unknown { command, .. } => *command,
            known => known.command().into(),
        }
    }

    /// Its exact size on the wire, header included, without encoding it. Bytes.
    pub fn wire_size(&self) -> u32 {
        let payload = super::payload::size(self);
        // Nothing that is sent comes near 4 GB; saturate rather than lie about it.
        u32::try_from(super::FRAME_HEADER_BYTES + payload).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small() {
        assert_eq!(size_of::<Message>(), 32);
    }
}
