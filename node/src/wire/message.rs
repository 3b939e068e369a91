//! The messages of the protocol: one table, from which everything that is said of each kind is made.
//! Blocks and transactions are shared, so that one of them is held once however many peers it is sent
//! to.

use std::sync::Arc;

use bitcoin::Block;
use bitcoin::block::Header;
use bitcoin::p2p::message_blockdata::Inventory;

use super::address::{ADDRESSES_PER_MESSAGE_MAX, AddressesV2, PeerAddress};
use super::codec::{Payload, PayloadError, Reader, Writer};
use super::command_name::CommandName;
use super::compact::{BlockTransactions, BlockTransactionsRequest, CompactBlock, SendCmpct};
use super::inventory::{
    HEADER_ENTRY_BYTES, HEADERS_PER_MESSAGE_MAX, INVENTORY_BYTES, INVENTORY_PER_MESSAGE_MAX,
    LOCATOR_HASHES_MAX, LocatorRequest,
};
use super::named_transaction::NamedTransaction;
use super::version::{USER_AGENT_BYTES_MAX, Version};

/// Makes [`Message`] and [`Command`] from a table whose rows are
/// `Variant(Content) = "name", largest payload in bytes;`, the content being a [`Payload`], or none.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $variant:ident $(($content:ty))? = $name:literal, $bytes_max:expr;
    )*) => {
        /// A message. Its bytes come from [`super::encode`] and are read by [`super::Decoder`]. Small,
        /// since messages are moved often: what is large is in a box.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $( $(#[$doc])* $variant $(($content))?, )*
            /// Anything else: tolerated and counted, as the protocol asks for.
            Unknown {
                /// Its name.
                command: CommandName,
                /// Its content, unread.
                payload: Box<[u8]>,
            },
        }

        /// The kinds of message that are counted apart; everything else is [`Command::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Command {
            $( $(#[$doc])* $variant, )*
            /// Any other.
            Other,
        }

        impl Command {
            /// Every kind that has a name, in the order of the names.
            pub const NAMED: [Command; [$( $name ),*].len()] = [$( Command::$variant ),*];

            /// As on the wire; `*other*` (as Bitcoin Core's RPC says) for [`Command::Other`].
            pub const fn name(self) -> &'static str {
                match self {
                    $( Command::$variant => $name, )*
                    Command::Other => "*other*",
                }
            }

            /// The largest payload that is read, bytes. Tighter than the protocol's general limit
            /// where the content has a limit of its own, so that a liar cannot make us buffer
            /// megabytes.
            pub const fn payload_bytes_max(self) -> usize {
                match self {
                    $( Command::$variant => $bytes_max, )*
                    Command::Other => PAYLOAD_BYTES_MAX,
                }
            }
        }

        impl Message {
            /// Its kind, for counting.
            pub fn command(&self) -> Command {
                match self {
                    $( Message::$variant { .. } => Command::$variant, )*
                    Message::Unknown { .. } => Command::Other,
                }
            }

            /// Exact length of its payload, bytes.
            pub(super) fn payload_bytes(&self) -> usize {
                match self {
                    $( $( Message::$variant(content) => <$content as Payload>::bytes(content), )? )*
                    Message::Unknown { payload, .. } => payload.len(),
                    // All that have no content.
                    _ => 0,
                }
            }

            /// Appends its payload.
            pub(super) fn write_payload(&self, writer: &mut Writer) {
                match self {
                    $( $( Message::$variant(content) => {
                        <$content as Payload>::write(content, writer);
                    } )? )*
                    Message::Unknown { payload, .. } => writer.bytes(payload),
                    // All that have no content.
                    _ => {}
                }
            }

            /// Reads a payload whose length the frame has bounded already.
            pub(super) fn read(name: CommandName, payload: &[u8]) -> Result<Message, PayloadError> {
                let mut reader = Reader::new(payload);
                let message = match Command::from_name(&name) {
                    $( Command::$variant => {
                        Message::$variant $((<$content as Payload>::read(&mut reader)?))?
                    } )*
                    Command::Other => {
                        let payload = payload.into();
                        return Ok(Message::Unknown { command: name, payload });
                    }
                };
                reader.finish()?;
                Ok(message)
            }
        }
    };
}

/// No message may be larger than this (Bitcoin's `MAX_PROTOCOL_MESSAGE_LENGTH`), bytes.
const PAYLOAD_BYTES_MAX: usize = 4_000_000;
/// A list of inventory with its count.
const INVENTORY_LIST_BYTES_MAX: usize = 5 + INVENTORY_PER_MESSAGE_MAX * INVENTORY_BYTES;
/// A version, 101 hashes with their count, and a stop hash.
const LOCATOR_BYTES_MAX: usize = 4 + 1 + (LOCATOR_HASHES_MAX + 1) * 32;

messages! {
    /// Addresses of peers in the old form.
    // The count's three bytes, and entries of 30 bytes.
    Addr(Vec<PeerAddress>) = "addr", 3 + ADDRESSES_PER_MESSAGE_MAX * 30;
    /// Addresses of peers in the form of BIP155.
    // 512 address bytes at most per entry, behind at most 4 + 9 + 1 + 3 bytes and a port.
    AddrV2(AddressesV2) = "addrv2", 3 + ADDRESSES_PER_MESSAGE_MAX * (512 + 19);
    /// A block.
    Block(Arc<Block>) = "block", PAYLOAD_BYTES_MAX;
    /// Answers `getblocktxn`, BIP152.
    BlockTxn(Box<BlockTransactions>) = "blocktxn", PAYLOAD_BYTES_MAX;
    /// A block by short names of its transactions, BIP152.
    // All that is not named may be prefilled.
    CmpctBlock(Arc<CompactBlock>) = "cmpctblock", PAYLOAD_BYTES_MAX;
    /// The least fee rate to announce, satoshis per 1,000 virtual bytes, BIP133.
    FeeFilter(u64) = "feefilter", 8;
    /// Asks for addresses.
    GetAddr = "getaddr", 0;
    /// Asks for the hashes of the blocks that follow the first known hash of the locator.
    GetBlocks(Box<LocatorRequest>) = "getblocks", LOCATOR_BYTES_MAX;
    /// Asks for transactions of a block that came in the compact form, BIP152.
    // A hash, a count, and as many places as there can be, each in its longest form.
    GetBlockTxn(Box<BlockTransactionsRequest>) = "getblocktxn", 32 + 3 + 65_535 * 3;
    /// Asks for blocks and transactions.
    GetData(Vec<Inventory>) = "getdata", INVENTORY_LIST_BYTES_MAX;
    /// Asks for the headers that follow the first known hash of the locator.
    GetHeaders(Box<LocatorRequest>) = "getheaders", LOCATOR_BYTES_MAX;
    /// Block headers, each the child of the one before.
    Headers(Arc<[Header]>) = "headers", 3 + HEADERS_PER_MESSAGE_MAX * HEADER_ENTRY_BYTES;
    /// Announces blocks and transactions.
    Inv(Vec<Inventory>) = "inv", INVENTORY_LIST_BYTES_MAX;
    /// Answers `getdata` for what is not there.
    NotFound(Vec<Inventory>) = "notfound", INVENTORY_LIST_BYTES_MAX;
    /// Are you there?
    Ping(u64) = "ping", 8;
    /// With the ping's nonce.
    Pong(u64) = "pong", 8;
    /// Send addresses in the form of BIP155.
    SendAddrV2 = "sendaddrv2", 0;
    /// How compact blocks are wanted, BIP152.
    SendCmpct(SendCmpct) = "sendcmpct", 1 + 8;
    /// Announce blocks by headers, BIP130.
    SendHeaders = "sendheaders", 0;
    /// A transaction.
    // At most 400,000 weight units by relay policy, yet a block's whole weight by consensus.
    Tx(NamedTransaction) = "tx", PAYLOAD_BYTES_MAX;
    /// Ends the handshake.
    Verack = "verack", 0;
    /// Begins the handshake.
    // Later versions of the protocol may append to it.
    Version(Box<Version>) = "version", 85 + 1 + USER_AGENT_BYTES_MAX + 5 + 64;
    /// Announce transactions by wtxid, BIP339.
    WtxidRelay = "wtxidrelay", 0;
}

impl Command {
    /// The kind of a name.
    pub fn from_name(name: &CommandName) -> Command {
        let mut named = Command::NAMED.into_iter();
        named
            .find(|command| CommandName::from(*command) == *name)
            .unwrap_or(Command::Other)
    }
}

impl From<Command> for CommandName {
    fn from(command: Command) -> CommandName {
        CommandName::of(command.name())
    }
}

impl Message {
    /// Its name on the wire.
    pub fn command_name(&self) -> CommandName {
        match self {
            Message::Unknown { command, .. } => *command,
            known => known.command().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small() {
        assert_eq!(size_of::<Message>(), 32);
    }

    #[test]
    fn every_name_is_found_again() {
        for command in Command::NAMED {
            assert_eq!(Command::from_name(&CommandName::from(command)), command);
        }
        assert!(Command::NAMED.is_sorted_by_key(|command| command.name()));
    }

    #[test]
    fn an_unknown_name_is_other() {
        let name = CommandName::from_wire(*b"mystery\0\0\0\0\0").unwrap();
        assert_eq!(name.as_str(), "mystery");
        assert_eq!(Command::from_name(&name), Command::Other);
    }
}
