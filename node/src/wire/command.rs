//! The names of messages, and how large each may be.

use std::fmt;

/// The kinds of message that this node counts apart; everything else is [`Command::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Command {
    /// Addresses of peers.
    Addr,
    /// Addresses of peers, BIP155.
    AddrV2,
    /// A block.
    Block,
    /// Transactions of a block, BIP152.
    BlockTxn,
    /// A block by short names of its transactions, BIP152.
    CmpctBlock,
    /// The least fee rate that a peer wants to hear of, BIP133.
    FeeFilter,
    /// Asks for addresses.
    GetAddr,
    /// Asks for transactions of a block, BIP152.
    GetBlockTxn,
    /// Asks for blocks and transactions.
    GetData,
    /// Asks for headers after a locator.
    GetHeaders,
    /// Block headers.
    Headers,
    /// Announces blocks and transactions.
    Inv,
    /// What was asked for is not there.
    NotFound,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// Asks for BIP155 addresses.
    SendAddrV2,
    /// Tells how compact blocks are wanted, BIP152.
    SendCmpct,
    /// Asks for announcements by headers, BIP130.
    SendHeaders,
    /// A transaction.
    Tx,
    /// Ends the handshake.
    Verack,
    /// Begins the handshake.
    Version,
    /// Asks for announcements by wtxid, BIP339.
    WtxidRelay,
    /// Any other.
    Other,
}

/// No message may be larger than this (Bitcoin's `MAX_PROTOCOL_MESSAGE_LENGTH`), bytes.
const PAYLOAD_BYTES_MAX: u32 = 4_000_000;

impl Command {
    /// Every kind that has a name, in the order of the names.
    pub const NAMED: [Command; 22] = [
        Command::Addr,
        Command::AddrV2,
        Command::Block,
        Command::BlockTxn,
        Command::CmpctBlock,
        Command::FeeFilter,
        Command::GetAddr,
        Command::GetBlockTxn,
        Command::GetData,
        Command::GetHeaders,
        Command::Headers,
        Command::Inv,
        Command::NotFound,
        Command::Ping,
        Command::Pong,
        Command::SendAddrV2,
        Command::SendCmpct,
        Command::SendHeaders,
        Command::Tx,
        Command::Verack,
        Command::Version,
        Command::WtxidRelay,
    ];

    /// As on the wire; `*other*` (as Bitcoin Core's RPC says) for [`Command::Other`].
    pub fn name(self) -> &'static str {
        match self {
            Command::Addr => "addr",
            Command::AddrV2 => "addrv2",
            Command::Block => "block",
            Command::BlockTxn => "blocktxn",
            Command::CmpctBlock => "cmpctblock",
            Command::FeeFilter => "feefilter",
            Command::GetAddr => "getaddr",
            Command::GetBlockTxn => "getblocktxn",
            Command::GetData => "getdata",
            Command::GetHeaders => "getheaders",
            Command::Headers => "headers",
            Command::Inv => "inv",
            Command::NotFound => "notfound",
            Command::Ping => "ping",
            Command::Pong => "pong",
            Command::SendAddrV2 => "sendaddrv2",
            Command::SendCmpct => "sendcmpct",
            Command::SendHeaders => "sendheaders",
            Command::Tx => "tx",
            Command::Verack => "verack",
            Command::Version => "version",
            Command::WtxidRelay => "wtxidrelay",
            Command::Other => "*other*",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &CommandName) -> Command {
        Command::NAMED
            .into_iter()
            .find(|c| CommandName::from(*c) == *name)
            .unwrap_or(Command::Other)
    }

    /// The largest payload that is read, bytes. Tighter than the protocol's general limit where
    /// the content has a limit of its own, so that a liar cannot make us buffer megabytes.
    pub fn payload_bytes_max(self) -> u32 {
        match self {
            // The count's three bytes, and 1,000 entries of 30 bytes.
            Command::Addr => 3 + 1_000 * 30,
            // 512 address bytes at most per entry, behind at most 4 + 9 + 1 + 3 bytes and a port.
            Command::AddrV2 => 3 + 1_000 * (512 + 19),
            Command::Inv | Command::GetData | Command::NotFound => 5 + 50_000 * 36,
            // 2,000 headers of 80 bytes, each with an empty transaction count.
            Command::Headers => 3 + 2_000 * 81,
            // A version, 101 hashes and a stop hash.
            Command::GetHeaders => 4 + 1 + 102 * 32,
            // A hash, a count, and as many places as there can be, each in its longest form.
            Command::GetBlockTxn => 32 + 3 + 65_535 * 3,
            // A switch and a version.
            Command::SendCmpct => 1 + 8,
            Command::Ping | Command::Pong | Command::FeeFilter => 8,
            Command::Version => 85 + 1 + 256 + 5 + 64,
            Command::GetAddr
            | Command::SendAddrV2
            | Command::SendHeaders
            | Command::Verack
            | Command::WtxidRelay => 0,
            // A transaction is at most 400,000 weight units by relay policy, yet a block's whole
            // weight by consensus. All that is not named in a compact block may be prefilled.
            Command::Block
            | Command::BlockTxn
            | Command::CmpctBlock
            | Command::Tx
            | Command::Other => PAYLOAD_BYTES_MAX,
        }
    }
}

/// A command as on the wire: printable ASCII, at most twelve bytes, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandName([u8; 12]);

impl CommandName {
    /// From the wire; `None` unless it is printable ASCII followed by zeros only.
    pub fn from_wire(bytes: [u8; 12]) -> Option<CommandName> {
        let length = bytes.iter().position(|b| *b == 0).unwrap_or(12);
        let well_formed = bytes[..length].iter().all(|b| (0x20..0x7f).contains(b))
            && bytes[length..].iter().all(|b| *b == 0);
        well_formed.then_some(CommandName(bytes))
    }

    /// As on the wire.
    pub fn to_wire(self) -> [u8; 12] {
        self.0
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|b| *b == 0).unwrap_or(12);
        // Only ASCII gets in.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl From<Command> for CommandName {
    fn from(command: Command) -> CommandName {
        let mut bytes = [0; 12];
        let name = command.name().as_bytes();
        bytes[..name.len()].copy_from_slice(name);
        CommandName(bytes)
    }
}

impl fmt::Debug for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_again() {
        for command in Command::NAMED {
            assert_eq!(Command::from_name(&CommandName::from(command)), command);
        }
    }

    #[test]
    fn an_unknown_name_is_other() {
        let name = CommandName::from_wire(*b"mystery\0\0\0\0\0").unwrap();
        assert_eq!(name.as_str(), "mystery");
        assert_eq!(Command::from_name(&name), Command::Other);
    }

    #[test]
    fn names_with_unprintable_bytes_or_text_behind_the_zeros_are_refused() {
        assert_eq!(CommandName::from_wire(*b"ping\x01\0\0\0\0\0\0\0"), None);
        assert_eq!(CommandName::from_wire(*b"ping\0x\0\0\0\0\0\0"), None);
    }
}
