//! The content of `version`, which begins a handshake.

use std::net::SocketAddr;

use super::address::{ADDRESS_BYTES, read_endpoint, write_endpoint};
use super::codec::{Payload, PayloadError, Reader, Writer, compact_size_bytes};

/// Longest user agent (BIP14, `MAX_SUBVERSION_LENGTH`), bytes.
pub const USER_AGENT_BYTES_MAX: usize = 256;

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

impl Payload for Version {
    fn bytes(&self) -> usize {
        let agent = self.user_agent.len();
        4 + 8 + 8 + 2 * ADDRESS_BYTES + 8 + compact_size_bytes(agent as u64) + agent + 4 + 1
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.protocol.to_le_bytes());
        writer.bytes(&self.services.to_le_bytes());
        writer.bytes(&self.time_secs.to_le_bytes());
        write_endpoint(writer, self.receiver_services, self.receiver);
        write_endpoint(writer, self.services, self.sender);
        writer.bytes(&self.nonce.to_le_bytes());
        writer.compact_size(self.user_agent.len() as u64);
        writer.bytes(self.user_agent.as_bytes());
        writer.bytes(&self.start_height.to_le_bytes());
        writer.bytes(&[u8::from(self.relay)]);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Version, PayloadError> {
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
        // Later versions of the protocol may append to it.
        reader.skip_rest();
        Ok(Version {
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
        })
    }
}
