//! What passes between two nodes' kernels: packets of a reliable stream, as TCP sends them. Data
//! only; how a stream behaves is `stream`.

use peerlab_link::{Nanos, NodeId, Passage};
use peerlab_node::wire::Message;

/// IPv4 and TCP header with timestamps, bytes: every segment but those of the handshake.
pub const HEADER_BYTES: u32 = 20 + 32;
/// A SYN or SYN-ACK as Linux sends it: no data, 20 bytes of options.
const SYN_BYTES: u32 = 20 + 40;
/// A reset: no options.
const RESET_BYTES: u32 = 20 + 20;

/// One end of a connection, in its node's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndId {
    /// Its place in the table.
    pub slot: u32,
    /// How many connections had this place before: tells an end from one that is gone.
    pub generation: u32,
}

/// One packet, or a train of segments that were sent together. It begins a cache line, so that it has
/// no more of them than it needs.
#[derive(Debug)]
#[repr(align(64))]
pub struct Packet {
    pub src: NodeId,
    /// From which of its connection ends.
    pub from: EndId,
    pub dst: NodeId,
    /// To which of its connection ends; that of a SYN is not looked at.
    pub to: EndId,
    /// Segments in it.
    pub segments: u32,
    /// With all headers and framing.
    pub wire_bytes: u32,
    /// Of its last segment.
    pub last: Passage,
    /// When it has passed the other's access link, if that is idle and its segments come together
    /// with the first one.
    pub passed: Nanos,
    /// When its data were sent first.
    pub first_sent: Nanos,
    /// How often its data were sent again.
    pub tries: u8,
    pub body: Body,
}

impl Packet {
    /// One segment's share of a time that all of them take.
    pub fn share(&self, whole: Nanos) -> Nanos {
        Nanos(whole.0 / u64::from(self.segments.max(1)))
    }

    /// Of data: sequence, bytes, whether the sender waits for the acknowledgement, and the load, which
    /// is taken out of it.
    #[inline]
    pub fn take_data(&mut self) -> Option<(u32, u32, bool, Load)> {
        match &mut self.body {
            Body::Data {
                sequence,
                bytes,
                acknowledge,
                load,
            } => {
                let load = std::mem::replace(load, Load::Hole);
                Some((*sequence, *bytes, *acknowledge, load))
            }
            _ => None,
        }
    }
}

/// What a packet is.
#[derive(Debug)]
pub enum Body {
    /// Asks for a connection.
    Syn,
    /// Grants it.
    SynAck,
    /// Ends the handshake.
    Established,
    /// There is no such connection, or nobody listens.
    Reset,
    /// A part of the stream.
    Data {
        /// Its place in the stream.
        sequence: u32,
        /// Bytes of the stream in it.
        bytes: u32,
        /// Whether the sender waits for the acknowledgement to send more.
        acknowledge: bool,
        /// What is complete with it.
        load: Load,
    },
    /// So many bytes came.
    Acknowledged {
        /// Bytes of the stream.
        bytes: u32,
        /// When they were sent (RFC 7323, TSecr); if more than once, the first time.
        sent: Nanos,
    },
    /// Is anybody there (TCP keep-alive)?
    Probe,
    ProbeAnswer,
}

impl Body {
    /// Of one packet that has no data, bytes.
    pub fn header_bytes(&self) -> u32 {
        match self {
            Body::Syn | Body::SynAck => SYN_BYTES,
            Body::Reset => RESET_BYTES,
            _ => HEADER_BYTES,
        }
    }
}

/// What a part of the stream completes.
#[derive(Debug)]
pub enum Load {
    /// Nothing that is in order: the part that completes it was lost, and comes again.
    Hole,
    /// Nothing yet: the middle of a message.
    Part,
    /// A message, with its size on the wire.
    One(Message, u32),
    /// Several messages that were written together.
    Many(Vec<(Message, u32)>),
    /// The stream ends here.
    Close,
}

impl Load {
    /// Adds a message to what is written together.
    pub fn add(self, message: Message, bytes: u32) -> Load {
        match self {
            Load::One(first, first_bytes) => {
                Load::Many(vec![(first, first_bytes), (message, bytes)])
            }
            Load::Many(mut messages) => {
                messages.push((message, bytes));
                Load::Many(messages)
            }
            Load::Hole | Load::Part | Load::Close => Load::One(message, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_two_cache_lines() {
        assert_eq!(size_of::<Packet>(), 128);
    }
}
