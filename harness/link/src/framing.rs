//! Length-prefixed messages on a byte stream: u32, little endian, then postcard. No socket is
//! read here: whoever owns the stream pushes the bytes it got and takes the messages out.

use serde::{Serialize, de::DeserializeOwned};

use crate::proto::{Malformed, STREAM_MESSAGE_BYTES_MAX, decode};

/// Bytes of the length before each message.
pub const LENGTH_BYTES: usize = 4;

/// A stream holds something that is no message; it cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    /// A length beyond [`STREAM_MESSAGE_BYTES_MAX`].
    #[error("message of {0} bytes is longer than {STREAM_MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    /// The bytes are not the message expected.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Appends a message, its length before it, to `out`.
pub fn frame_into<T: Serialize>(message: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let body = crate::proto::encode(message);
    // Longer than u32 can tell is longer than any reader accepts.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&body);
}

/// One message with its length before it.
pub fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    let mut out = Vec::new();
    frame_into(message, &mut out);
    out
}

/// Cuts a byte stream into messages. Holds at most one message and one read.
#[derive(Debug, Default)]
pub struct Deframer {
    bytes: Vec<u8>,
    /// Where the first unread byte stands in `bytes`.
    start: usize,
}

impl Deframer {
    /// Nothing read yet.
    pub fn new() -> Deframer {
        Deframer::default()
    }

    /// Takes in what was read from the stream.
    pub fn push(&mut self, read: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(read);
    }

    /// The next whole message, if there is one. Call until it gives `None`, then push more.
    ///
    /// # Errors
    /// When the stream holds something else. The stream is lost then.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FramingError> {
        let unread = &self.bytes[self.start..];
        let Some((length, rest)) = unread.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > STREAM_MESSAGE_BYTES_MAX {
            return Err(FramingError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = decode(body)?;
        self.start += LENGTH_BYTES + length;
        Ok(Some(message))
    }

    /// What was pushed and belongs to no message yet: the first bytes of a plain stream that
    /// follows the last message.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_messages_in_any_pieces_come_out_whole(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            piece in 1usize..700,
        ) {
            let mut wire = Vec::new();
            for m in &messages {
                frame_into(m, &mut wire);
            }
            let mut deframer = Deframer::new();
            let mut got: Vec<Vec<u8>> = Vec::new();
            for bytes in wire.chunks(piece) {
                deframer.push(bytes);
                while let Some(m) = deframer.next_message().unwrap() {
                    got.push(m);
                }
            }
            prop_assert_eq!(got, messages);
            prop_assert!(deframer.into_rest().is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut deframer = Deframer::new();
            deframer.push(&bytes);
            while let Ok(Some(_)) = deframer.next_message::<crate::proto::FromFabric>() {}
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_body_comes() {
        let mut deframer = Deframer::new();
        deframer.push(&u32::MAX.to_le_bytes());
        assert!(matches!(
            deframer.next_message::<u8>(),
            Err(FramingError::TooLong(_))
        ));
    }

    #[test]
    fn bytes_after_the_last_message_are_handed_on() {
        let mut wire = frame(&7u8);
        wire.extend_from_slice(b"HTTP");
        let mut deframer = Deframer::new();
        deframer.push(&wire);
        assert_eq!(deframer.next_message::<u8>().unwrap(), Some(7));
        assert_eq!(deframer.into_rest(), b"HTTP");
    }
}
