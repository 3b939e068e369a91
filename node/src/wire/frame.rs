//! Frames: the 24-byte header before every payload, and the cutting of a byte stream.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::DisplayHex;
use thiserror::Error;

use super::codec::{PayloadError, Writer};
use super::command_name::CommandName;
use super::message::{Command, Message};

/// Magic, command, length, checksum.
pub const FRAME_HEADER_BYTES: usize = 4 + 12 + 4 + 4;
/// The first bytes of every message of a regtest network.
pub const MAGIC_REGTEST: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

/// A buffer that has grown beyond this is given back once it is empty, so that a node which has
/// received one large block does not keep its size per connection. Bytes.
const BUFFER_KEPT_BYTES_MAX: usize = 16 * 1024;

/// Why a byte stream cannot be read on. The connection is of no use after it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not this network, or not this protocol.
    #[error("wrong network magic {}", .0.as_hex())]
    Magic([u8; 4]),
    /// A command that is no text.
    #[error("malformed command name")]
    Command,
    /// A payload larger than its kind may be.
    #[error("oversized message: {command} of {bytes} bytes, at most {limit}")]
    Oversized {
        /// Which kind.
        command: CommandName,
        /// As its header says.
        bytes: u32,
        /// The limit of its kind.
        limit: u32,
    },
    /// The payload was damaged.
    #[error("checksum of {0} does not match")]
    Checksum(CommandName),
    /// The payload is not what the command says.
    #[error("malformed {command}: {error}")]
    Payload {
        /// Which kind.
        command: CommandName,
        /// What is wrong.
        error: PayloadError,
    },
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    let hash = sha256d::Hash::hash(payload).to_byte_array();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The message's bytes, header included.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut writer = Writer::new(Vec::with_capacity(message.wire_size() as usize));
    writer.bytes(&[0; FRAME_HEADER_BYTES]);
    message.write_payload(&mut writer);
    let mut bytes = writer.into_bytes();
    let length = (bytes.len() - FRAME_HEADER_BYTES) as u32;
    let sum = checksum(&bytes[FRAME_HEADER_BYTES..]);
    bytes[..4].copy_from_slice(&MAGIC_REGTEST);
    bytes[4..16].copy_from_slice(&message.command_name().to_wire());
    bytes[16..20].copy_from_slice(&length.to_le_bytes());
    bytes[20..24].copy_from_slice(&sum);
    bytes
}

impl Message {
    /// Its exact size on the wire, header included, without encoding it. Bytes.
    pub fn wire_size(&self) -> u32 {
        // Nothing that is sent comes near 4 GB; saturate rather than lie about it.
        u32::try_from(FRAME_HEADER_BYTES + self.payload_bytes()).unwrap_or(u32::MAX)
    }
}

/// Cuts one connection's byte stream into messages. Push what arrives, then call
/// [`Decoder::next_message`] until it gives none. A header is judged as soon as it is there, so the buffer
/// never holds more than one allowed message and what came in the same read behind it.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Read already; cut off when the buffer is next pushed to.
    consumed: usize,
}

impl Decoder {
    /// For a new connection.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Takes over what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
            if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_KEPT_BYTES_MAX {
                self.buffer = Vec::new();
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their message.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    /// The next whole message with its size on the wire, or `None` until more arrives.
    ///
    /// # Errors
    /// When the stream cannot be understood; every later call fails likewise.
    pub fn next_message(&mut self) -> Result<Option<(Message, u32)>, DecodeError> {
        let bytes = &self.buffer[self.consumed..];
        let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else {
            return Ok(None);
        };
        let (command, length, sum) = read_header(header)?;
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        if checksum(payload) != sum {
            return Err(DecodeError::Checksum(command));
        }
        let message = Message::read(command, payload)
            .map_err(|error| DecodeError::Payload { command, error })?;
        let wire_bytes = FRAME_HEADER_BYTES + length;
        self.consumed += wire_bytes;
        if self.consumed == self.buffer.len() && self.buffer.capacity() > BUFFER_KEPT_BYTES_MAX {
            self.buffer = Vec::new();
            self.consumed = 0;
        }
        Ok(Some((message, wire_bytes as u32)))
    }
}

/// Command, payload length and checksum of a frame's header.
fn read_header(header: &[u8]) -> Result<(CommandName, usize, [u8; 4]), DecodeError> {
    let mut magic = [0; 4];
    magic.copy_from_slice(&header[..4]);
    if magic != MAGIC_REGTEST {
        return Err(DecodeError::Magic(magic));
    }
    let mut name = [0; 12];
    name.copy_from_slice(&header[4..16]);
    let command = CommandName::from_wire(name).ok_or(DecodeError::Command)?;
    let bytes = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    // No kind's limit comes near 4 GB.
    let limit = Command::from_name(&command).payload_bytes_max() as u32;
    if bytes > limit {
        return Err(DecodeError::Oversized {
            command,
            bytes,
            limit,
        });
    }
    let mut sum = [0; 4];
    sum.copy_from_slice(&header[20..24]);
    Ok((command, bytes as usize, sum))
}

#[cfg(test)]
mod tests;
